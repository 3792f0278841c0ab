"""Facts in the database on a real disk: over checkpoints, kills, edits, damage, and who only reads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import QUEUED, RUNNING, Item, TaskItem
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.errors import DatabaseError
from adaptive_scheduler.io.storage import database, row_codec, tinydb_file
from adaptive_scheduler.io.storage.checkpoint import write_checkpoint
from adaptive_scheduler.io.storage.database import Database, create
from adaptive_scheduler.io.storage.read_only import read_tables

CONFIG = RunConfig("run", [Resources()], ["job"], "/logs")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "x.tinydb")
    create(folder.database, row_codec.new_tables([], None))
    return folder


def put(store: Database, *items: int) -> None:
    for n in items:
        store.put_fact("spec", n, b"spec %d" % n)
        store.put(database.ITEMS, n, TaskItem(n, "", QUEUED))


def specs(folder: RunFolder, n: int) -> list[bytes | None]:
    store = Database(folder)
    found = [store.fact("spec", k) for k in range(n)]
    store.close()
    return found


def expected(n: int) -> list[bytes]:
    return [b"spec %d" % k for k in range(n)]


def test_facts_are_found_while_a_checkpoint_runs_after_it_and_by_the_next(
    folder: RunFolder,
) -> None:
    store = Database(folder)
    put(store, 0, 1)
    store.begin_checkpoint()
    put(store, 2)
    assert [store.fact("spec", k) for k in range(3)] == expected(3)
    store.commit()
    store.checkpoint()
    assert [store.fact("spec", k) for k in range(3)] == expected(3)
    store.close()
    assert specs(folder, 3) == expected(3)


@pytest.mark.parametrize("when", ["before", "after the tables", "while it is read"])
def test_a_checkpoint_of_a_manager_that_died_ends_while_the_next_one_opens(
    folder: RunFolder, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it moves from the journal to `facts` is found in one of the two."""
    store = Database(folder)
    put(store, 0, 1, 2)
    store.close()
    last = max(int(path.stem) for path in folder.journals.iterdir())
    read, done = tinydb_file.AtomicStorage.read, list[str]()

    def finish() -> None:
        if not done:
            done.append("")
            write_checkpoint(folder, last, os.getppid(), False)

    def read_and_finish(
        self: tinydb_file.AtomicStorage, *, undecoded: bool = False
    ) -> database.Tables | None:
        if when == "while it is read":
            finish()
            return read(self, undecoded=undecoded)
        tables = read(self, undecoded=undecoded)
        finish()
        return tables

    if when == "before":
        finish()
    else:
        monkeypatch.setattr(tinydb_file.AtomicStorage, "read", read_and_finish)
    assert specs(folder, 3) == expected(3)
    assert done


def test_a_checkpoint_that_was_killed_in_the_middle_is_made_good(folder: RunFolder) -> None:
    """It had copied the facts, and not yet written the file."""
    code = (
        "import sys, os\n"
        "from adaptive_scheduler.core.paths import RunFolder\n"
        "from adaptive_scheduler.io.storage import checkpoint, tinydb_file\n"
        "tinydb_file.AtomicStorage.write = lambda *_: os.kill(os.getpid(), 9)\n"
        "checkpoint.write_checkpoint(RunFolder(sys.argv[1]), int(sys.argv[2]), os.getppid(), False)\n"
    )
    store = Database(folder)
    put(store, 0, 1)
    store.close()
    last = max(int(path.stem) for path in folder.journals.iterdir())
    died = subprocess.run(
        [sys.executable, "-c", code, str(folder.database), str(last)], check=False
    )
    assert died.returncode == -9
    assert list(folder.facts.glob("*.index")), "the facts were copied"
    assert specs(folder, 2) == expected(2)
    store = Database(folder)
    put(store, 2)
    store.checkpoint()
    store.close()
    assert specs(folder, 3) == expected(3)


def test_the_last_of_two_facts_counts_wherever_it_lies(folder: RunFolder) -> None:
    store = Database(folder)
    for n in range(3):
        store.put_fact("error", 0, b"%d" % n)
        if n:
            store.checkpoint()
        assert store.fact("error", 0) == b"%d" % n
    store.put_fact("error", 0, b"a")
    store.put_fact("error", 0, b"b")
    store.checkpoint()
    assert store.fact("error", 0) == b"b"
    store.close()
    store = Database(folder)
    assert store.fact("error", 0) == b"b"
    store.close()


def test_a_damaged_fact_is_named_with_its_line(folder: RunFolder) -> None:
    store = Database(folder)
    put(store, 0, 1)
    store.close()
    path = max(path for path in folder.journals.iterdir() if path.stat().st_size)
    path.write_bytes(path.read_bytes().replace(b'["f:spec","1"', b'["f:spec","?"'))
    with pytest.raises(DatabaseError, match="line 3 cannot be read"):
        Database(folder)


def test_who_only_reads_sees_rows_and_leaves_facts_alone(folder: RunFolder) -> None:
    store = Database(folder)
    put(store, 0, 1)
    store.commit()
    assert len(read_tables(folder)[database.ITEMS]) == 2
    store.checkpoint()
    assert read_tables(folder).keys() >= {database.ITEMS}
    assert not any(name.startswith("f:") for name in read_tables(folder))
    store.close()


def test_all_is_there_after_somebody_has_edited_the_file(folder: RunFolder) -> None:
    """Resources and batches, which rows refer to, are written anew as the rows are."""
    store = Database(folder)
    state = row_codec.open_state(store.take_tables(), folder, CONFIG, 0.0, store)
    shape = state.tasks.submitted.number_of(TaskResources(threads_per_rank=3))
    store.put_fact("spec", 0, b"spec 0")
    state.items.append([TaskItem(0, "", QUEUED, shape=shape)], 0.0)
    state.tasks.submitted.note_batch("b", [0])
    row_codec.note_changes(store, state)
    store.checkpoint()
    folder.database.write_text("{}")
    assert store.keep_edited_file()
    row_codec.note_everything(store, state)
    store.checkpoint(discard_file=True)
    store.close()
    store = Database(folder)
    again = row_codec.open_state(store.take_tables(), folder, CONFIG, 0.0, store)
    assert again.items.rows == state.items.rows
    assert again.tasks.resources == state.tasks.resources
    assert again.tasks.submitted.batches == {"b": [0]}
    assert store.fact("spec", 0) == b"spec 0"
    store.close()


def test_facts_and_functions_are_private(folder: RunFolder) -> None:
    before = os.umask(0)
    try:
        store = Database(folder)
        put(store, 0)
        store.put_function("0" * 32, b"function")
        store.checkpoint()
        store.close()
    finally:
        os.umask(before)
    for path in (
        folder.facts,
        folder.functions,
        *folder.facts.iterdir(),
        *folder.functions.iterdir(),
    ):
        assert path.stat().st_mode & 0o077 == 0, path


def rows_of(folder: RunFolder, *, undecoded: bool) -> list[Item]:
    store = Database(folder, undecoded=undecoded)
    items = row_codec.read_items(store.take_tables(), folder)
    store.close()
    return items


@pytest.mark.parametrize("kind", [Item, TaskItem])
def test_rows_that_are_read_as_their_texts_are_the_same(
    folder: RunFolder, kind: type[Item]
) -> None:
    """As a manager reads them; in file and journal, changed and deleted ones, in any order."""
    store = Database(folder)
    for n in (2, 0, 1, 3):
        store.put(database.ITEMS, n, kind(n, "", QUEUED, priority=n))
    store.put(row_codec.BATCHES, "b", {"items": [0, 1, 2]})
    store.checkpoint()
    store.put(database.ITEMS, 1, kind(1, "", RUNNING, job="7", token=5))
    store.put(database.ITEMS, 4, kind(4, "", QUEUED))
    store.put(database.ITEMS, 3, None)
    store.put(database.ITEMS, 4, None)
    store.close()
    found = rows_of(folder, undecoded=True)
    assert found == rows_of(folder, undecoded=False)
    assert [(type(one), one.id, one.token) for one in found] == [
        (kind, 0, 0), (kind, 1, 5), (kind, 2, 0)
    ]  # fmt: skip


@pytest.mark.parametrize("undecoded", [False, True])
def test_tasks_of_a_submit_that_was_written_in_part_are_left_out(
    folder: RunFolder, undecoded: bool
) -> None:
    store = Database(folder)
    put(store, 0, 1, 2, 3)
    store.put(row_codec.BATCHES, "b", {"items": [0, -1, 1]})
    store.close()
    assert [item.id for item in rows_of(folder, undecoded=undecoded)] == [0, 1]


@pytest.mark.parametrize("undecoded", [False, True])
@pytest.mark.parametrize("row", [None, {"kind": "task", "id": "no number"}])
def test_a_row_that_is_missing_or_wrong_is_told(
    folder: RunFolder, row: object, undecoded: bool
) -> None:
    store = Database(folder)
    put(store, 0, 1, 2)
    store.put(database.ITEMS, 1, row)
    store.put(row_codec.BATCHES, "b", {"items": [0, 1, 2]})
    store.close()
    with pytest.raises(DatabaseError, match="no item of this version"):
        rows_of(folder, undecoded=undecoded)
