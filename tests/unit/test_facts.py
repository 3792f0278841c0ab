"""Facts: written once, found again after every restart and every checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.errors import DatabaseError
from adaptive_scheduler.io.storage import facts


def test_a_fact_is_found_before_and_after_the_checkpoint(tmp_path: Path) -> None:
    store = facts.Facts(tmp_path / "facts")
    line = store.note(1, "value", 7, b"\0result")
    assert store.get("value", 7) == b"\0result"
    facts.copy(tmp_path / "facts", 1, [line])
    store.copied(1)
    assert store.get("value", 7) == b"\0result"
    assert store.get("value", 8) is None
    assert store.get("spec", 7) is None
    store.close()


def test_a_fact_is_found_by_the_next_manager(tmp_path: Path) -> None:
    store = facts.Facts(tmp_path / "facts")
    facts.copy(tmp_path / "facts", 1, [store.note(1, "spec", n, b"%d" % n) for n in range(5000)])
    left = store.note(2, "spec", 5000, b"last")
    store.close()
    again = facts.Facts(tmp_path / "facts")
    again.found(2, left)
    assert [again.get("spec", n) for n in (0, 4999, 5000)] == [b"0", b"4999", b"last"]
    again.close()


def test_a_segment_copied_twice_is_as_one(tmp_path: Path) -> None:
    lines = [facts.line("value", n, b"x" * n) for n in range(10)]
    for _ in range(2):
        facts.copy(tmp_path, 3, lines)
    store = facts.Facts(tmp_path)
    assert [store.get("value", n) for n in range(10)] == [b"x" * n for n in range(10)]
    store.close()


def test_the_newest_fact_of_an_item_counts(tmp_path: Path) -> None:
    """A task that a person retries has a second result."""
    store = facts.Facts(tmp_path)
    facts.copy(tmp_path, 1, [store.note(1, "value", 1, b"old")])
    store.copied(1)
    line = store.note(2, "value", 1, b"new")
    assert store.get("value", 1) == b"new"
    facts.copy(tmp_path, 2, [line])
    store.copied(2)
    assert store.get("value", 1) == b"new"
    store.close()


def test_few_files_are_open_however_many_checkpoints_there_were(tmp_path: Path) -> None:
    """A run of some days has more of them than a process may open files."""
    n = 3 * facts.MOST_OPEN
    for segment in range(1, n + 1):
        facts.copy(tmp_path, segment, [facts.line("spec", segment, b"%d" % segment)])
    before = len(list(Path("/proc/self/fd").iterdir()))
    store = facts.Facts(tmp_path)
    for _ in range(2):
        assert [store.get("spec", k) for k in range(1, n + 1)] == [
            b"%d" % k for k in range(1, n + 1)
        ]
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + facts.MOST_OPEN
    store.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    facts.copy(tmp_path, 1, [facts.line("value", 1, b"result")])
    path = facts.lines_path(tmp_path, 1)
    path.write_bytes(path.read_bytes().replace(b'"', b"?"))
    store = facts.Facts(tmp_path)
    with pytest.raises(DatabaseError, match=r"000001.jsonl"):
        store.get("value", 1)
    store.close()


@given(st.sampled_from(facts.TABLES), st.integers(0, 2**32 - 1), st.binary(max_size=200))
def test_every_line_is_read_as_it_was_written(table: str, item: int, data: bytes) -> None:
    text = facts.line(table, item, data)
    assert text.startswith(facts.PREFIX)
    assert b"\n" not in text
    assert facts.parse(text) == (table, item, data)


@pytest.mark.parametrize(
    "text", [b"", b'["items","1",{}]', b'["f:spec","x","eA=="]', b'["f:other","1","eA=="]']
)
def test_other_lines_are_no_facts(text: bytes) -> None:
    with pytest.raises(ValueError, match="not a fact"):
        facts.parse(text)
