"""The database on a real disk: what survives a crash at any byte, a checkpoint, a kill, an edit."""

from __future__ import annotations

import json
import os
import random
import signal
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil
import pytest
import tinydb

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.errors import DatabaseError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.disk.lock import Holder
from adaptive_scheduler.io.storage import database, row_codec
from adaptive_scheduler.io.storage.database import Database, create
from adaptive_scheduler.io.storage.read_only import read_tables
from tests.integration.agent_node import is_alive


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "x.tinydb")
    create(folder.database, {database.ITEMS: {str(n): {"id": n, "n": 0} for n in range(3)}})
    return folder


def rows(folder: RunFolder) -> dict[str, int]:
    store = Database(folder)
    found = {key: row["n"] for key, row in store.tables[database.ITEMS].items()}
    store.close()
    return found


def put(store: Database, key: int, n: int) -> None:
    store.put(database.ITEMS, key, {"id": key, "n": n})


def newest(folder: RunFolder) -> Path:
    written = [path for path in folder.journals.iterdir() if path.stat().st_size]
    return max(written)


# ------------------------------------------------------------------------- opening


def test_a_missing_database_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="create_empty_db"):
        Database(RunFolder(tmp_path / "none.tinydb"))


def test_a_file_that_is_no_database_is_named_and_not_touched(folder: RunFolder) -> None:
    folder.database.write_text('{"_default": {"1"')
    with pytest.raises(DatabaseError, match=r"x\.tinydb: is not a TinyDB file"):
        Database(folder)
    assert folder.database.read_text() == '{"_default": {"1"'


def test_committed_rows_are_read_again(folder: RunFolder) -> None:
    store = Database(folder)
    put(store, 1, 7)
    store.commit()
    put(store, 2, 9)  # never committed
    assert rows(folder) == {"0": 0, "1": 7, "2": 0}
    store.put(database.ITEMS, 0, None)
    store.close()
    assert rows(folder) == {"1": 7, "2": 9}


def test_fault_21_it_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = RunFolder(tmp_path / "x.tinydb")
        create(folder.database, {})
        store = Database(folder)
        put(store, 1, 1)
        store.commit()
        store.checkpoint()
        store.close()
    finally:
        os.umask(before)
    for path in [folder.database, *folder.journals.iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    for path in [folder.folder, folder.journals]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path


def test_plain_tinydb_reads_and_queries_it(folder: RunFolder) -> None:
    store = Database(folder)
    put(store, 1, 7)
    store.commit()
    store.checkpoint()
    store.close()
    with tinydb.TinyDB(folder.database) as db:
        assert db.get(tinydb.Query().n == 7) == {"id": 1, "n": 7}
        assert len(db) == 3
        assert db.table("_meta").all()[0]["version"] == 1


# ------------------------------------------------------------------ a crash at any byte


def test_a_crash_at_any_byte_leaves_the_state_before_or_after(folder: RunFolder) -> None:
    store = Database(folder)
    for n in range(1, 40):
        put(store, n % 3, n)
        store.commit()
    store.close()
    whole = newest(folder).read_bytes()
    rng = random.Random(1)
    for cut in [0, 1, len(whole) - 1, *rng.sample(range(len(whole)), 60)]:
        for path in folder.journals.iterdir():
            path.unlink()
        (folder.journals / "00000001.jsonl").write_bytes(whole[:cut])
        complete = whole[:cut].count(b"\n")
        expected = {"0": 0, "1": 0, "2": 0} | {str(n % 3): n for n in range(1, complete + 1)}
        torn = not whole[:cut].endswith(b"\n") and cut > 0
        store = Database(folder)
        assert bool(store.remarks) == torn, "what is dropped is said"
        put(store, 1, 1000 + cut)
        store.close()
        for _ in range(2):  # a second and a third opening find nothing to complain of
            store = Database(folder)
            assert not store.remarks
            found = {key: row["n"] for key, row in store.tables[database.ITEMS].items()}
            assert found == expected | {"1": 1000 + cut}
            store.close()


def test_damage_before_the_end_is_an_error_that_names_the_line(folder: RunFolder) -> None:
    store = Database(folder)
    for n in range(3):
        put(store, n, 5)
    store.close()
    path = newest(folder)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"garbage\n" + lines[2])
    with pytest.raises(DatabaseError, match=r"00000001\.jsonl: line 2 cannot be read"):
        Database(folder)
    assert path.read_bytes() == lines[0] + b"garbage\n" + lines[2]


class FullDisk(files.Operations):
    """A disk that takes half of one write, then nothing, until it is emptied."""

    def __init__(self) -> None:
        self.full = False

    def write(self, fd: int, data: bytes | memoryview) -> int:
        if not self.full:
            return super().write(fd, data)
        if len(data) > 1:
            super().write(fd, data[: len(data) // 2])
        raise OSError(28, "No space left on device")


def test_a_full_disk_is_an_error_until_there_is_space(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk()
    monkeypatch.setattr(files, "operations", disk)
    store = Database(folder)
    put(store, 0, 1)
    store.commit()
    disk.full = True
    put(store, 1, 2)
    for _ in range(3):
        with pytest.raises(DatabaseError, match="No space left"):
            store.commit()
    disk.full = False
    put(store, 2, 3)
    store.commit()
    store.close()
    assert rows(folder) == {"0": 1, "1": 2, "2": 3}


def test_a_torn_tail_before_an_empty_segment_is_the_journals_end(folder: RunFolder) -> None:
    """A manager tore a line, began a segment, and died; that is no damage in the middle."""
    store = Database(folder)
    put(store, 1, 7)
    store.close()
    path = newest(folder)
    path.write_bytes(path.read_bytes() + b'["_default","2"')
    (folder.journals / "00000002.jsonl").touch()
    assert rows(folder) == {"0": 0, "1": 7, "2": 0}
    assert rows(folder) == {"0": 0, "1": 7, "2": 0}


def test_a_deleted_segment_is_an_error(folder: RunFolder) -> None:
    for n in range(3):
        store = Database(folder)
        put(store, n, 5)
        store.close()
    (folder.journals / "00000002.jsonl").unlink()
    with pytest.raises(DatabaseError, match=r"00000002\.jsonl: is missing"):
        Database(folder)


class LostBySync(files.Operations):
    """Linux after a failed fsync: what was written is gone, and taken for written."""

    broken = True

    def fsync(self, fd: int) -> None:
        if self.broken:
            self.broken = False
            raise OSError(5, "Input/output error")


def test_what_a_failed_fsync_may_have_lost_is_written_again_once(folder: RunFolder) -> None:
    store = Database(folder)
    put(store, 1, 7)
    with files.through(LostBySync()):
        with pytest.raises(DatabaseError, match="Input/output error"):
            store.commit()
        store.commit()
    assert newest(folder).read_bytes().count(b"\n") == 1
    store.close()
    assert rows(folder)["1"] == 7


# --------------------------------------------------------------------------- checkpoints


def test_writing_goes_on_during_a_checkpoint(folder: RunFolder) -> None:
    store = Database(folder)
    expected = {"0": 0, "1": 0, "2": 0}
    checkpoints, n = 0, 0
    end = time.monotonic() + 60
    while checkpoints < 3 and time.monotonic() < end:
        n += 1
        put(store, n % 7, n)
        expected[str(n % 7)] = n
        store.commit()
        if not store.checkpoint_runs():
            store.begin_checkpoint()
            checkpoints += 1
    assert {key: row["n"] for key, row in read_tables(folder)[database.ITEMS].items()} == expected
    store.close()
    assert rows(folder) == expected
    assert not store.remarks


#: A checkpoint that comes to the file, and does not write it.
ENDLESS_CHECKPOINT = """
import os, sys, time
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.io.storage import checkpoint, tinydb_file
tinydb_file.AtomicStorage.write = lambda *_: time.sleep(1000)
checkpoint.write_checkpoint(RunFolder(sys.argv[1]), int(sys.argv[2]), os.getppid(), False)
"""


def endless_checkpoint(folder: RunFolder, last: int, _: bool) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-c", ENDLESS_CHECKPOINT, str(folder.database), str(last)]
    return subprocess.Popen(argv)


def test_a_killed_checkpoint_loses_nothing_and_is_repeated(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Database(folder)
    put(store, 0, 1)
    with monkeypatch.context() as patch:  # a real one may have ended before it is killed
        patch.setattr(Database, "start_checkpoint", staticmethod(endless_checkpoint))
        store.begin_checkpoint()
    assert store._checkpoint is not None
    store._checkpoint.send_signal(signal.SIGKILL)
    store._checkpoint.wait()
    put(store, 1, 2)
    with pytest.raises(DatabaseError, match="the journal holds all"):
        store.checkpoint_runs()
    assert store.lines, "it is to be tried again"
    store.checkpoint()
    store.close()
    with tinydb.TinyDB(folder.database) as db:
        assert sorted(row["n"] for row in db) == [0, 1, 2]
    assert rows(folder) == {"0": 1, "1": 2, "2": 0}


def test_a_checkpoint_gives_up_when_another_manager_has_the_lock(folder: RunFolder) -> None:
    """Of the folder's next run, for example."""
    store = Database(folder)
    store.put(database.ITEMS, "0", {"id": 0, "n": 5})
    before = folder.database.read_bytes()
    other = Holder("here", 1, "", 0.0, "secret")
    folder.lock.write_bytes(msgspec.json.encode(other))
    store.checkpoint()
    assert folder.database.read_bytes() == before
    folder.lock.write_bytes(msgspec.json.encode(msgspec.structs.replace(other, pid=os.getpid())))
    store.checkpoint()
    assert folder.database.read_bytes() != before
    store.close()
    assert rows(folder)["0"] == 5


def test_a_checkpoint_gives_up_when_its_manager_has_died(folder: RunFolder) -> None:
    """The next manager may make one already: an old checkpoint must not replace a newer file."""
    store = Database(folder)
    put(store, 0, 1)
    store.close()
    before = folder.database.read_bytes()
    argv = [
        sys.executable,
        "-m",
        "adaptive_scheduler.io.storage.checkpoint",
        folder.database,
        "1",
        "1",
        "",
    ]
    assert subprocess.run(argv, check=False, timeout=60).returncode == 0
    assert folder.database.read_bytes() == before
    assert rows(folder)["0"] == 1


MANAGER_OF_A_CHECKPOINT = """
import os, subprocess, sys, time
argv = [sys.executable, "-P", "-m", "adaptive_scheduler.io.storage.checkpoint"]
print(subprocess.Popen([*argv, sys.argv[1], "1", str(os.getpid()), ""]).pid, flush=True)
time.sleep(1000)
"""


def test_a_checkpoint_that_stands_still_ends_with_its_manager(folder: RunFolder) -> None:
    """It would have replaced the file when it went on, perhaps one that the next manager had written."""
    folder.database.unlink()
    os.mkfifo(folder.database)  # as slow a disk as there can be
    argv = [sys.executable, "-c", MANAGER_OF_A_CHECKPOINT, str(folder.database)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as manager:
        assert manager.stdout is not None
        checkpoint = psutil.Process(int(manager.stdout.readline()))
        try:
            end = time.monotonic() + 60
            while True:
                try:
                    fd = os.open(folder.database, os.O_WRONLY | os.O_NONBLOCK)
                    break
                except OSError:  # it does not read yet
                    assert time.monotonic() < end
                    time.sleep(0.02)
            manager.kill()
            manager.wait()
            end = time.monotonic() + 60
            while is_alive(checkpoint.pid):
                assert time.monotonic() < end, "it goes on without its manager"
                time.sleep(0.02)
            os.close(fd)
        finally:
            manager.kill()
            with suppress(psutil.NoSuchProcess):
                checkpoint.kill()


WRITER = """
import sys
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.io.storage import database
store = database.Database(RunFolder(sys.argv[1]))
n = 0
while True:
    n += 1
    for row in range(3):
        store.put(database.ITEMS, row, {"id": row, "n": n})
    store.commit()
    print(n, flush=True)
    if n % 20 == 0:
        store.begin_checkpoint()
"""


def test_kill_9_at_random_times_loses_no_confirmed_change(folder: RunFolder) -> None:
    rng = random.Random(2)
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, folder.database], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.4))
        process.kill()
        said = process.stdout.read().split()
        process.wait()
        if said and said[-1]:
            found = rows(folder)
            assert min(found.values()) >= int(said[-1])
            assert max(found.values()) <= int(said[-1]) + 1
        create_again = Database(folder)
        for row in range(3):
            put(create_again, row, 0)
        create_again.close()


# ---------------------------------------------------------------- a person's own edits


def test_an_edited_file_is_kept_aside_and_replaced(folder: RunFolder) -> None:
    store = Database(folder)
    put(store, 0, 1)
    store.commit()
    assert not store.keep_edited_file()
    with tinydb.TinyDB(folder.database) as db:
        db.update({"n": 77})
    assert store.keep_edited_file()
    assert "is kept as" in store.remarks[-1]
    for row, n in {0: 1, 1: 0, 2: 0}.items():
        put(store, row, n)
    store.checkpoint(discard_file=True)
    store.close()
    assert rows(folder) == {"0": 1, "1": 0, "2": 0}
    kept = json.loads(Path(f"{folder.database}.edited").read_text())
    assert {row["n"] for row in kept[database.ITEMS].values()} == {77}


def test_a_removed_file_is_written_anew(folder: RunFolder) -> None:
    store = Database(folder)
    folder.database.unlink()
    assert store.keep_edited_file()
    put(store, 0, 4)
    store.checkpoint(discard_file=True)
    assert not store.keep_edited_file()
    store.close()
    assert rows(folder) == {"0": 4}


def test_the_size_of_the_journal_is_counted_from_the_last_checkpoint(folder: RunFolder) -> None:
    store = Database(folder)
    store.put_fact("spec", 0, bytes(3000))
    assert store.size == 0
    store.commit()
    store.commit()
    assert 4000 < store.size < 4100
    store.checkpoint()
    assert store.size == 0
    store.close()


def wait_for_checkpoint(store: Database) -> None:
    while store.checkpoint_runs():
        time.sleep(0.01)


def test_a_file_that_a_checkpoint_wrote_was_edited_by_nobody_whatever_failed_after_it(
    folder: RunFolder,
) -> None:
    store = Database(folder)
    before = folder.database.stat().st_ino
    store.put_fact("spec", 0, b"x")
    store.begin_checkpoint()
    while folder.database.stat().st_ino == before:
        time.sleep(0.01)
    (folder.facts / "000001.index").unlink()
    (folder.facts / "000001.index").mkdir()
    with pytest.raises(DatabaseError, match="cannot be read"):
        wait_for_checkpoint(store)
    assert not store.keep_edited_file()
    assert store.fact("spec", 0) == b"x"
    store.close()


# ------------------------------------------------------------------------------ size


def test_opening_100_000_rows_is_quick(tmp_path: Path) -> None:
    """0.4 s of the processor, which a machine under load may double: its caches are others', too."""
    folder = RunFolder(tmp_path / "x.tinydb")
    items = [Item(n, f"data/some/long/name-{n}.pickle", Phase.QUEUED) for n in range(100_000)]
    create(folder.database, row_codec.new_tables(items, None))
    store = Database(folder)
    for item in items:
        store.put(database.ITEMS, item.id, msgspec.structs.replace(item, phase=Phase.DONE))
    store.close()
    config = RunConfig("run", [Resources()], [], "")
    began, wall = time.process_time(), time.monotonic()
    store = Database(folder)
    run = row_codec.open_state(store.tables, folder, config, 0.0)
    seconds, wall = time.process_time() - began, time.monotonic() - wall
    store.close()
    print(f"100,000 rows and as many journal lines: {seconds:.2f} s, {wall:.2f} s by the clock")
    assert run.items.rows[99_999].phase is Phase.DONE
    assert seconds < 4, f"opening took {seconds:.1f} s"
