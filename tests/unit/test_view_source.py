"""A run without a manager, as a view reads and changes it."""

from __future__ import annotations

import errno
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.storage import database, read_only, row_codec
from adaptive_scheduler.io.storage.journal import JournalTail
from adaptive_scheduler.io.storage.run_config import read_config, write_config
from adaptive_scheduler.runs.views.drawing.drawings import BEGUN
from adaptive_scheduler.runs.views.page.messages import Detail, DoAction, ShowRows
from adaptive_scheduler.runs.views.page.pace import Pace
from adaptive_scheduler.runs.views.page.session import ViewSession
from adaptive_scheduler.runs.views.page.source import KeptDetails, RunSource


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "my $run")
    files.private_folder(run.folder)
    items = [
        Item(0, "/data/x=0", Phase.DONE, npoints=7),
        Item(1, "/data/x=1", Phase.FAILED, reason="your function raised ValueError: no solution", traceback="Traceback …"),
        Item(2, "/data/x=2", Phase.FAILED, reason="your function raised ValueError: no solution"),
        Item(3, "/data/x=3", Phase.QUEUED),
    ]  # fmt: skip
    database.create(run.database, row_codec.new_tables(items, None))
    files.private_folder(run.journals)
    write_config(run, RunConfig("bench", [Resources(cores=1)], ["bench"], str(tmp_path / "logs")))
    return run


@pytest.fixture
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a reading that a busy machine has held up for a second it would pause for half a minute."""
    monkeypatch.setattr(Pace, "did", lambda *_: None)


@pytest.fixture
def source(folder: RunFolder, without_pauses: None) -> Iterator[RunSource]:
    made = RunSource(folder, interval=0.0)
    yield made
    made.close()


def detail_of(source: RunSource, item: int) -> Detail:
    """All about one item, however long its files are being read."""
    deadline = time.monotonic() + 60
    while ("", "Its files are being read …") in (found := source.detail(item, False)).facts:
        assert time.monotonic() < deadline, found
        time.sleep(0.01)
    return found


def test_what_is_on_disk_is_shown_and_said_to_be_that(source: RunSource) -> None:
    (summary,) = ViewSession(source, True).receive({"type": "hello"})
    assert summary["sentence"].startswith("No manager runs: 1 of 4 learners done.")
    assert "this is what the database has" in summary["age_text"]
    assert summary["failures"] == [
        {
            "reason": "your function raised ValueError: no solution",
            "count": 2,
            "items": [1, 2],
            "search": "your function raised ValueError: no solution",
        }
    ]
    names = [action["name"] for action in summary["actions"]]
    assert names == ["cancel_run", "retry_all", "resume", "max_jobs"]


def test_the_files_are_read_again_only_when_they_have_changed(
    source: RunSource, folder: RunFolder
) -> None:
    first, table = source.snapshot(), source.table()
    assert source.snapshot() is first
    assert source.table() is table
    assert source.carry_out(DoAction(1, "cancel", [3])).startswith("1 learner cancelled")
    assert source.snapshot().phases == {"done": 1, "failed": 2, "cancelled": 1}
    assert source.table().page(ShowRows(1, offset=3)).rows[0][2] == "cancelled"


def test_an_item_has_its_facts_and_its_traceback(source: RunSource) -> None:
    detail = detail_of(source, 1)
    assert detail.title == "learner 1: x=1"
    assert ("why", "your function raised ValueError: no solution") in detail.facts
    assert detail.traceback == "Traceback …"
    assert [action.name for action in detail.actions] == ["retry"]


def test_the_folder_that_all_share_is_not_in_each_row(source: RunSource) -> None:
    rows = source.table().page(ShowRows(1)).rows
    assert [row[1] for row in rows] == ["x=0", "x=1", "x=2", "x=3"]


def test_data_that_cannot_be_shown_say_why(source: RunSource) -> None:
    deadline = time.monotonic() + 200
    # its files are being read, and then another process draws it
    while (plot := source.detail(0, with_plot=True).plot) in (None, BEGUN):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert plot is not None  # there are no learners
    assert plot["kind"] == "text"
    assert "learners.pickles" in plot["text"]


def test_most_jobs_are_written_for_the_next_manager(source: RunSource, folder: RunFolder) -> None:
    text = source.carry_out(DoAction(1, "max_jobs", number=250))
    assert text == "At most 250 jobs at a time from now on; it was 100."
    assert read_config(folder).limits.max_jobs == 250


def test_a_number_that_makes_no_sense_changes_nothing(source: RunSource, folder: RunFolder) -> None:
    session = ViewSession(source, True)
    for number in (0, -3, None):
        message = {"type": "do", "request": 1, "action": "max_jobs", "number": number}
        (error,) = session.receive(message)
        assert error["type"] == "error"
        assert "give a number from 1" in error["text"]
    assert read_config(folder).limits.max_jobs == 100


def test_what_was_cancelled_twice_is_said(source: RunSource) -> None:
    source.carry_out(DoAction(1, "cancel_run"))
    assert source.carry_out(DoAction(2, "cancel_run")) == "Nothing to cancel: it had ended before."
    assert source.snapshot().over


def test_a_run_that_is_removed_is_said_to_be_gone(source: RunSource, folder: RunFolder) -> None:
    session = ViewSession(source, True)
    session.receive({"type": "hello"})
    shutil.rmtree(folder.home)
    (summary,) = session.tick()
    assert summary["is_old"]
    assert "the run cannot be read" in summary["age_text"]


class Manager:
    """What a manager does to the files of a run."""

    def __init__(self, folder: RunFolder) -> None:
        self.store = database.Database(folder)

    def write(self, *items: Item) -> None:
        for item in items:
            self.store.put(database.ITEMS, str(item.id), item)
        self.store.commit()


def await_rows(source: RunSource, column: int, wanted: list[str]) -> None:
    """Wait until they are shown."""
    deadline = time.monotonic() + 60
    while (found := [row[column] for row in source.table().page(ShowRows(1)).rows]) != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.005)


def test_a_row_that_changes_is_shown_at_once_and_no_other_is_read(
    source: RunSource, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = Manager(folder)
    manager.write(Item(0, "/data/x=0", Phase.QUEUED))
    await_rows(source, 2, ["queued", "failed", "failed", "queued"])
    monkeypatch.setattr(
        "adaptive_scheduler.runs.views.page.source.read_tables", None
    )  # of all rows
    manager.write(Item(3, "/data/x=3", Phase.DONE, npoints=5))
    await_rows(source, 2, ["queued", "failed", "failed", "done"])
    manager.write(Item(0, "/data/x=0", Phase.CANCELLED), Item(4, "/data/x=4", Phase.QUEUED))
    await_rows(source, 2, ["cancelled", "failed", "failed", "done", "queued"])
    assert detail_of(source, 4).title == "learner 4: x=4"
    table = source.table()
    assert source.table() is table
    manager.store.close()


def test_rows_are_found_through_checkpoints_and_in_a_run_that_is_begun_anew(
    source: RunSource, folder: RunFolder
) -> None:
    manager = Manager(folder)
    for n in range(5):
        for phase in (Phase.RUNNING, Phase.DONE):
            manager.write(Item(3, "/data/x=3", phase, job="1" if phase is Phase.RUNNING else None))
            await_rows(source, 2, ["done", "failed", "failed", phase.value])
        manager.write(Item(0, f"/data/new{n}", Phase.DONE))
        manager.store.checkpoint()  # what was not read yet is not in the journal any more
        await_rows(source, 1, [f"new{n}", "x=1", "x=2", "x=3"])
    manager.store.close()
    read_only.put_aside(folder)
    database.create(
        folder.database, row_codec.new_tables([Item(0, "/data/other", Phase.QUEUED)], None)
    )
    files.private_folder(folder.journals)
    await_rows(source, 2, ["queued"])


def test_rows_that_could_not_be_read_for_a_moment_are_read_afterwards(
    source: RunSource, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = Manager(folder)
    await_rows(source, 2, ["done", "failed", "failed", "queued"])
    manager.write(Item(3, "/data/x=3", Phase.DONE))
    manager.store.checkpoint()  # so that all must be read
    with monkeypatch.context() as patch:
        patch.setattr("adaptive_scheduler.runs.views.page.source.read_tables", _away)
        with pytest.raises(OSError, match="stale"):
            await_rows(source, 2, [])
    await_rows(source, 2, ["done", "failed", "failed", "done"])
    manager.write(Item(1, "/data/x=1", Phase.QUEUED))
    await_rows(source, 2, ["done", "queued", "failed", "done"])
    manager.store.close()


def _away(*_: object, **__: object) -> None:
    raise OSError(errno.ESTALE, "stale file handle")


def test_a_journal_tells_that_it_lacks_something(folder: RunFolder) -> None:
    tail = JournalTail(folder)
    tail.go_to_end()
    assert tail.new_items() is None, "there is none yet"
    manager = Manager(folder)
    manager.write(Item(0, "a", Phase.DONE))
    tail.go_to_end()
    assert tail.new_items() == {}
    manager.write(Item(1, "b", Phase.DONE), Item(0, "a", Phase.QUEUED))
    assert sorted(tail.new_items() or {}) == ["0", "1"]
    segment = max(folder.journals.iterdir())
    with segment.open("ab") as file:
        file.write(b'["items","2",{"torn')
    assert tail.new_items() == {}, "half a line was never confirmed"
    segment.unlink()
    assert tail.new_items() is None
    assert tail.new_items() is None, "and not less, until all is read again"
    manager.store.close()


def test_a_task_that_is_open_is_read_again_only_if_something_was_written(
    folder: RunFolder, without_pauses: None
) -> None:
    kept, reads = KeptDetails(folder, 0.0), []

    def read(item: int, phase: Phase) -> Detail:
        def really() -> Detail:
            reads.append(item)
            return Detail(item, f"task {item}: {len(reads)}")

        return kept.detail(item, phase, really)

    first = read(1, Phase.DONE)
    assert [read(1, Phase.DONE) for _ in range(5)] == [first] * 5
    read(2, Phase.QUEUED)
    assert read(1, Phase.DONE) is first, "another window has another one open"
    assert read(1, Phase.QUEUED) is not first, "a change of its phase is shown at once"
    manager = Manager(folder)
    manager.write(Item(3, "/data/x=3", Phase.DONE))
    deadline = time.monotonic() + 60
    while len(reads) < 4:
        assert time.monotonic() < deadline
        read(1, Phase.QUEUED)
    kept.forget()
    read(2, Phase.QUEUED)
    assert reads == [1, 2, 1, 1, 2]
    manager.store.close()


def test_details_are_kept_and_forgotten_by_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the open items is read by a thread of its own, and a button forgets all."""
    monkeypatch.setattr("adaptive_scheduler.runs.views.page.source.written", lambda _: ())
    kept = KeptDetails(RunFolder("run"), 0.0)
    found = Detail(0, "task 0", "done", [])

    def read(first: int) -> set[int]:
        items = range(first, first + 20_000)
        return {id(kept.detail(item, Phase.DONE, lambda: found)) for item in items}

    def forget() -> None:
        while not all(one.done() for one in reading):
            kept.forget()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(5) as threads:
            reading = [threads.submit(read, n * 10**6) for n in range(4)]
            threads.submit(forget).result()
            assert [one.result() for one in reading] == [{id(found)}] * 4
    finally:
        sys.setswitchinterval(interval)
    assert len(kept._kept) <= KeptDetails.MOST + 3
