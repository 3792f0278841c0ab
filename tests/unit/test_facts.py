"""Facts: written once, found again after every restart and every checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.errors import DatabaseError
from adaptive_scheduler.io.storage import fact_files, fact_line, facts
from adaptive_scheduler.io.storage.fact_files import Span


def test_a_fact_is_found_before_and_after_the_checkpoint(tmp_path: Path) -> None:
    store = facts.Facts(tmp_path / "facts")
    line = store.note(1, "value", 7, b"\0result")
    assert store.get("value", 7) == b"\0result"
    fact_files.copy(tmp_path / "facts", 1, [line])
    store.copied(1)
    assert store.get("value", 7) == b"\0result"
    assert store.get("value", 8) is None
    assert store.get("spec", 7) is None
    store.close()


def test_a_fact_is_found_by_the_next_manager(tmp_path: Path) -> None:
    store = facts.Facts(tmp_path / "facts")
    fact_files.copy(
        tmp_path / "facts", 1, [store.note(1, "spec", n, b"%d" % n) for n in range(5000)]
    )
    left = store.note(2, "spec", 5000, b"last")
    store.close()
    again = facts.Facts(tmp_path / "facts")
    again.found(2, left)
    assert [again.get("spec", n) for n in (0, 4999, 5000)] == [b"0", b"4999", b"last"]
    again.close()


def test_a_segment_copied_twice_is_as_one(tmp_path: Path) -> None:
    lines = [fact_line.line("value", n, b"x" * n) for n in range(10)]
    for _ in range(2):
        fact_files.copy(tmp_path, 3, lines)
    store = facts.Facts(tmp_path)
    assert [store.get("value", n) for n in range(10)] == [b"x" * n for n in range(10)]
    store.close()


def test_the_newest_fact_of_an_item_counts(tmp_path: Path) -> None:
    """A task that a person retries has a second result."""
    store = facts.Facts(tmp_path)
    fact_files.copy(tmp_path, 1, [store.note(1, "value", 1, b"old")])
    store.copied(1)
    line = store.note(2, "value", 1, b"new")
    assert store.get("value", 1) == b"new"
    fact_files.copy(tmp_path, 2, [line])
    store.copied(2)
    assert store.get("value", 1) == b"new"
    store.close()


def test_few_files_are_open_however_many_checkpoints_there_were(tmp_path: Path) -> None:
    """A run of some days has more of them than a process may open files."""
    n = 3 * facts.MOST_OPEN
    for segment in range(1, n + 1):
        fact_files.copy(tmp_path, segment, [fact_line.line("spec", segment, b"%d" % segment)])
    before = len(list(Path("/proc/self/fd").iterdir()))
    store = facts.Facts(tmp_path)
    for _ in range(2):
        assert [store.get("spec", k) for k in range(1, n + 1)] == [
            b"%d" % k for k in range(1, n + 1)
        ]
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + facts.MOST_OPEN
    store.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def numbered(folder: Path, segment: int) -> bytes:
    """Make the file of a segment with one fact, and put files together."""
    data = b"%d" % segment
    fact_files.copy(folder, segment, [fact_line.line("value", segment, data)])
    fact_files.merge(folder)
    return data


def test_files_stay_few_however_many_checkpoints_there_are(tmp_path: Path) -> None:
    """Who reads meanwhile, told or not, finds all of them; so does the next manager."""
    told, untold = facts.Facts(tmp_path), facts.Facts(tmp_path)
    written = {}
    for segment in range(1, 70):
        written[segment] = numbered(tmp_path, segment)
        told.copied(segment)
        assert len(list(tmp_path.iterdir())) <= 2 * 8
        if segment == 1:
            assert untold._look()
    for store in (told, facts.Facts(tmp_path)):
        assert {n: store.get("value", n) for n in written} == written
        store.close()
    assert untold.get("value", 1) == b"1"
    untold.close()


def test_of_two_facts_of_a_task_the_newer_one_counts_in_files_that_were_put_together(
    tmp_path: Path,
) -> None:
    for segment, data in ((1, b"old"), (2, b"new")):
        fact_files.copy(tmp_path, segment, [fact_line.line("value", 7, data)])
    slow = facts.Facts(tmp_path)  # looks at files in an order in which nobody writes them
    fact_files.merge(tmp_path)
    for store in (slow, facts.Facts(tmp_path)):
        assert store.get("value", 7) == b"new"
        store.close()
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "000001-000002.index", "000001-000002.jsonl",
    ]  # fmt: skip


def test_large_files_are_left_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fact_files, "MOST_MERGED", 300)
    for segment in range(1, 40):
        numbered(tmp_path, segment)
    sizes = [path.stat().st_size for path in tmp_path.glob("*.jsonl")]
    assert max(sizes) <= 300
    assert len(sizes) < 13


@pytest.mark.parametrize("damage", ["gone", "short", "changed"])
def test_an_index_that_is_damaged_is_made_anew_from_the_lines(tmp_path: Path, damage: str) -> None:
    fact_files.copy(tmp_path, 3, [fact_line.line("value", n, b"x" * n) for n in range(10)])
    index = fact_files.index_path(tmp_path, Span(3, 3))
    data = index.read_bytes()
    if damage == "gone":
        index.unlink()
    else:
        index.write_bytes(data[:-7] if damage == "short" else data[:50] + b"\xff" + data[51:])
    store = facts.Facts(tmp_path)
    assert [store.get("value", n) for n in range(10)] == [b"x" * n for n in range(10)]
    store.close()


@pytest.mark.parametrize("damage", ["gone", "short", "changed"])
def test_only_what_is_damaged_is_lost(tmp_path: Path, damage: str) -> None:
    """It is named, before and after further checkpoints, which leave that file as it is."""
    texts = [fact_line.line("value", n, b"x" * 9) for n in range(3)]
    fact_files.copy(tmp_path, 1, texts)
    path = fact_files.lines_path(tmp_path, Span(1, 1))
    whole = path.read_bytes()
    damaged = whole[: len(texts[0]) + 5] if damage == "short" else whole.replace(b"e", b"f", 1)
    path.write_bytes(damaged)
    if damage == "gone":
        path.unlink()
    lost = {"gone": (0, 1, 2), "short": (1, 2), "changed": (0,)}[damage]
    store = facts.Facts(tmp_path)
    for segment in (4, 5, 6):
        numbered(tmp_path, segment)
        store.copied(segment)
        for n in (0, 1, 2):
            if n in lost:
                with pytest.raises(DatabaseError, match=r"00000.*\.jsonl"):
                    store.get("value", n)
            else:
                assert store.get("value", n) == b"x" * 9
        assert store.get("value", segment) == b"%d" % segment
    store.close()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    fact_files.copy(tmp_path, 1, [fact_line.line("value", 1, b"result")])
    path = fact_files.lines_path(tmp_path, Span(1, 1))
    path.write_bytes(path.read_bytes().replace(b'"', b"?"))
    store = facts.Facts(tmp_path)
    with pytest.raises(DatabaseError, match=r"000001.jsonl"):
        store.get("value", 1)
    store.close()


@given(st.sampled_from(fact_line.TABLES), st.integers(0, 2**32 - 1), st.binary(max_size=200))
def test_every_line_is_read_as_it_was_written(table: str, item: int, data: bytes) -> None:
    text = fact_line.line(table, item, data)
    assert text.startswith(fact_line.PREFIX)
    assert b"\n" not in text
    assert fact_line.parse(text) == (table, item, data)


@pytest.mark.parametrize(
    "text", [b"", b'["items","1",{}]', b'["f:spec","x","eA=="]', b'["f:other","1","eA=="]']
)
def test_other_lines_are_no_facts(text: bytes) -> None:
    with pytest.raises(ValueError, match="not a fact"):
        fact_line.parse(text)
