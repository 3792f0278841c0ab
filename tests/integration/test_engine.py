"""The whole manager over real sockets and a real disk, killed as often as it takes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
import tinydb

from adaptive_scheduler.core.config import RunConfig, Timing
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.core.wire.messages import (
    Assigned,
    Beat,
    Cancel,
    CancelItems,
    ChangeMaxJobs,
    Claim,
    Fail,
    Finish,
    Goodbye,
    Hello,
    Idle,
    Ok,
    Owner,
    Picture,
    Refused,
    Reply,
    Request,
    Retry,
    Status,
    Stop,
    Welcome,
)
from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.errors import ManagerUnreachableError, RunError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.disk.lock import Lock
from adaptive_scheduler.io.storage import checkpoint, database, row_codec
from adaptive_scheduler.io.storage.database import Database
from adaptive_scheduler.io.storage.read_only import read_tables
from adaptive_scheduler.io.transport import url_registry
from adaptive_scheduler.io.transport.connection import Connection
from adaptive_scheduler.manager import dispatch, persistence
from adaptive_scheduler.manager.engine import Engine

#: Seconds that a manager stays whose run is over: who has still something to ask may be late.
LONG = 600.0
MANAGER = f"""
import sys
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.manager import dispatch
from adaptive_scheduler.manager.engine import Engine
from adaptive_scheduler.io.storage.run_config import read_config
dispatch.LINGER = {LONG}
folder = RunFolder(sys.argv[1])
Engine(folder, read_config(folder)).run()
"""


def make_run(path: Path, n: int) -> tuple[RunFolder, RunConfig]:
    path.mkdir(exist_ok=True)
    folder = RunFolder(path / "x.tinydb")
    items = [Item(row, f"data/{row}", Phase.QUEUED) for row in range(n)]
    database.create(folder.database, row_codec.new_tables(items, None))
    config = RunConfig("run", [Resources()], ["job"], str(path), interface="127.0.0.1")
    files.private_folder(folder.folder)
    folder.config.write_bytes(msgspec.json.encode(config))
    return folder, config


class Talker:
    """One client's side: numbers its requests, and repeats each until it is answered."""

    def __init__(self, folder: RunFolder, name: str) -> None:
        self.owner = Owner(f"local:here:{name}", 0, 0, name)
        self._connection = Connection(folder)
        self._number = 0

    def ask(self, body: Request, patience: float = 60.0) -> Reply:
        self._number += 1
        end = time.monotonic() + patience
        while True:
            try:
                return self._connection.ask(self.owner, self._number, body, 0.5)
            except ManagerUnreachableError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def status(self) -> Snapshot:
        reply = self.ask(Status("all"))
        assert isinstance(reply, Picture)
        return msgspec.msgpack.decode(reply.snapshot, type=Snapshot)

    def close(self) -> None:
        self._connection.close()


def has_no_space(talker: Talker) -> bool:
    """Whether the manager says so; it may note other things, such as a connection that was given up."""
    return any("No space left" in note for note in talker.status().notes)


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Engine, Talker]]:
    monkeypatch.setattr(dispatch, "LINGER", LONG)
    folder, config = make_run(tmp_path, 5)
    engine = Engine(folder, config)
    thread = threading.Thread(target=engine.run)
    thread.start()
    talker = Talker(folder, "me")
    assert isinstance(talker.ask(Hello("here", 1, 1)), Welcome)
    yield engine, talker
    talker.close()
    engine.stop()
    thread.join(60)
    assert engine.ended.is_set()
    engine.stop()  # harmless afterwards


# ------------------------------------------------------------------------- one manager


def test_a_run_to_its_end(running: tuple[Engine, Talker], monkeypatch: pytest.MonkeyPatch) -> None:
    engine, me = running
    for row in range(5):
        got = me.ask(Claim())
        assert isinstance(got, Assigned)
        assert (got.item, got.token, got.fname) == (row, row + 1, f"data/{row}")
        assert me.ask(Finish(got.token)) == Ok()
    assert me.ask(Claim()) == Idle(1.0, over=True)
    assert me.status().phases == {"done": 5}
    assert me.ask(Goodbye("over")) == Ok()
    monkeypatch.setattr(dispatch, "LINGER", 1.0)
    assert engine.ended.wait(60)
    assert not engine.folder.manager.exists()
    assert not engine.folder.lock.exists()
    with tinydb.TinyDB(engine.folder.database) as db:
        assert [row["phase"] for row in db] == ["done"] * 5


def test_a_second_manager_is_refused_and_does_no_harm(running: tuple[Engine, Talker]) -> None:
    engine, me = running
    with pytest.raises(RunError, match="Attach to it"):
        Engine(engine.folder, engine.state.config)
    assert isinstance(me.ask(Claim()), Assigned)


def test_cancel_and_retry(running: tuple[Engine, Talker]) -> None:
    _, me = running
    got = me.ask(Claim())
    assert isinstance(got, Assigned)
    assert me.ask(Cancel()) == Ok(5)
    refused = me.ask(Finish(got.token))
    assert isinstance(refused, Refused)
    assert refused.code == "cancelled"
    assert me.ask(Retry([9])) == Refused("no_such_item", "there is no learner 9: they are 0 to 4.")
    assert me.ask(Retry()) == Ok(5)
    assert me.status().phases == {"queued": 5}
    assert me.ask(Retry()) == Ok(0), "nothing had ended"


def test_one_item_is_cancelled_and_the_run_goes_on(running: tuple[Engine, Talker]) -> None:
    _, me = running
    got = me.ask(Claim())
    assert isinstance(got, Assigned)
    assert me.ask(CancelItems([got.item, 4])) == Ok(2)
    assert me.ask(CancelItems([got.item])) == Ok(0)
    refused = me.ask(Beat(got.token))
    assert isinstance(refused, Refused)
    assert refused.code == "cancelled"
    assert me.ask(CancelItems([5])) == Refused(
        "no_such_item", "there is no learner 5: they are 0 to 4."
    )
    assert me.status().phases == {"cancelled": 2, "queued": 3}
    assert isinstance(me.ask(Claim()), Assigned), "the same client takes the next one"


def test_the_most_jobs_can_be_changed_while_it_runs(running: tuple[Engine, Talker]) -> None:
    engine, me = running
    assert me.ask(ChangeMaxJobs(3)) == Ok(items=engine.state.jobs.in_queue)
    assert engine.state.config.limits.max_jobs == 3
    refused = me.ask(ChangeMaxJobs(0))
    assert refused == Refused("bad_limit", "max_jobs=0 is less than 1.")
    assert engine.state.config.limits.max_jobs == 3


def test_a_failed_one_comes_again_later_and_keeps_its_traceback(
    running: tuple[Engine, Talker],
) -> None:
    _, me = running
    got = me.ask(Claim())
    assert isinstance(got, Assigned)
    assert me.ask(Fail(got.token, "ValueError: no", "Traceback")) == Ok()
    other = me.ask(Claim())
    assert isinstance(other, Assigned)
    assert other.item != got.item
    (view,) = (item for item in me.status().items if item.id == got.item)
    assert (view.fails, view.reason, view.traceback) == (1, "ValueError: no", "Traceback")


class FullDisk(files.Operations):
    full = False

    def write(self, fd: int, data: bytes | memoryview) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(fd, data)


def test_a_full_disk_holds_answers_back_and_no_longer(
    running: tuple[Engine, Talker], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, me = running
    disk = FullDisk()
    monkeypatch.setattr(files, "operations", disk)
    disk.full = True
    with pytest.raises(ManagerUnreachableError):
        me.ask(Claim(), patience=1.5)
    viewer = Talker(engine.folder, "viewer")
    end = time.monotonic() + 60
    while not has_no_space(viewer):
        assert time.monotonic() < end, "it does not say why it does not answer"
    viewer.close()
    disk.full = False
    assert isinstance(me.ask(Claim()), Assigned)
    assert not has_no_space(me)
    rows = read_tables(engine.folder)[database.ITEMS]
    assert rows["0"]["phase"] == "running"


def test_an_edited_database_does_not_change_the_run(
    running: tuple[Engine, Talker], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, me = running
    got = me.ask(Claim())
    assert isinstance(got, Assigned)
    engine.folder.database.write_text("{}")
    assert me.ask(Finish(got.token)) == Ok()
    assert me.ask(Stop()) == Ok()
    assert engine.ended.wait(60)
    with tinydb.TinyDB(engine.folder.database) as db:
        assert [row["phase"] for row in db] == ["done"] + ["queued"] * 4
    assert Path(f"{engine.folder.database}.edited").read_text() == "{}"


@pytest.mark.parametrize(("is_served", "says"), [(True, "another manager"), (False, "was removed")])
def test_nothing_is_written_into_the_next_run_of_the_folder(
    tmp_path: Path, is_served: bool, says: str
) -> None:
    """Somebody has removed the folder, and begun another run there, before the manager ends."""
    home = tmp_path / "run"
    folder, config = make_run(home, 5)
    engine = Engine(folder, config)
    with ThreadPoolExecutor(1) as threads:
        ended = threads.submit(engine.run)
        talker = Talker(folder, "me")
        assert isinstance(talker.ask(Hello("here", 1, 1)), Welcome)
        talker.close()
        shutil.rmtree(home)
        make_run(home, 3)
        if is_served:
            Lock(folder).acquire()
        written = folder.database.read_bytes()
        engine.stop()
        with pytest.raises(RunError, match=says):
            ended.result(60)
    assert folder.database.read_bytes() == written
    assert not list(home.glob("*.edited*"))
    assert folder.lock.exists() == is_served


@pytest.mark.parametrize("is_early", [True, False])
def test_a_checkpoint_that_has_begun_writes_nothing_into_the_next_run_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_early: bool
) -> None:
    """Its process takes a moment to start and to read; the manager of the next run is still to come."""
    home = tmp_path / "run"
    folder, _ = make_run(home, 5)
    store = Database(folder)
    store.put("run", "x", {"a": 1})
    store.commit()
    known = store._journal.segment
    written: list[bytes] = []

    def begin_another() -> None:
        shutil.rmtree(home)
        make_run(home, 3)
        folder.journals.mkdir(mode=0o700)
        written.append(folder.database.read_bytes())

    def holder_after_that(path: Path) -> None:
        begin_another()
        assert not path.exists()

    if is_early:
        begin_another()
    else:
        monkeypatch.setattr(checkpoint, "holder", holder_after_that)
    checkpoint.write_checkpoint(folder, known, os.getppid(), False)
    assert [folder.database.read_bytes()] == written


def test_what_clients_of_the_next_run_need_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is over removes its entries in the user's state folder, found by its folder."""
    monkeypatch.setenv("XDG_STATE_HOME", os.fspath(tmp_path / "state"))
    home = tmp_path / "run"
    engine = Engine(*make_run(home, 0))
    shutil.rmtree(home)
    folder, _ = make_run(home, 3)
    Lock(folder).acquire()
    url_registry.publish("tcp://192.0.2.9:1", folder)
    with pytest.raises(RunError, match="another manager"):
        engine.run()
    assert os.fspath(folder) in [known for _, known in url_registry._entries()]


def test_folds_in_the_background(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persistence, "CHECKPOINT_INTERVAL", 0.2)
    folder, config = make_run(tmp_path, 2)
    engine = Engine(folder, config)
    thread = threading.Thread(target=engine.run)
    thread.start()
    me = Talker(folder, "me")
    me.ask(Hello("here", 1, 1))
    me.ask(Claim())
    end = time.monotonic() + 60
    while '"running"' not in folder.database.read_text():
        assert time.monotonic() < end, "the file is not brought up to date"
        time.sleep(0.05)
    me.close()
    engine.stop()
    thread.join(30)


# ------------------------------------------------------------------ a killed manager


class Worker(threading.Thread):
    """Claims and finishes until all is over, as fast as it may; keeps what was acknowledged."""

    def __init__(self, folder: RunFolder, name: str, may_finish: Callable[[], bool]) -> None:
        super().__init__(daemon=True)
        self.talker = Talker(folder, name)
        self.finished: list[tuple[int, int]] = []
        self.stale = 0
        self.fault: BaseException | None = None
        self._may_finish = may_finish

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self.fault = error
        finally:
            self.talker.close()

    def _work(self) -> None:
        self.talker.ask(Hello("here", 1, 1))
        while True:
            got = self.talker.ask(Claim())
            if isinstance(got, Idle):
                if got.over:
                    return
                time.sleep(0.05)
                continue
            assert isinstance(got, Assigned), got
            time.sleep(0.002)
            while not self._may_finish():
                time.sleep(0.002)
            if self.talker.ask(Finish(got.token)) == Ok():
                self.finished.append((got.item, got.token))
            else:
                self.stale += 1


def start_manager(folder: RunFolder) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", MANAGER, folder.database])


def test_nothing_acknowledged_is_undone_by_kill_9(tmp_path: Path) -> None:
    folder, _ = make_run(tmp_path, 1500)
    manager = start_manager(folder)
    kills = 0

    def finished() -> int:
        return sum(len(worker.finished) for worker in workers)

    def may_finish() -> bool:
        """Some are left for each kill, however late that comes."""
        return kills == 5 or finished() < 200 * (kills + 1) + 50

    workers = [Worker(folder, f"w{n}", may_finish) for n in range(6)]
    for worker in workers:
        worker.start()
    end = time.monotonic() + 200
    while any(worker.is_alive() for worker in workers) and time.monotonic() < end:
        time.sleep(0.01)
        if kills < 5 and finished() >= 200 * (kills + 1):  # it has lived, and done something
            manager.kill()
            manager.wait()
            kills += 1
            manager = start_manager(folder)
    for worker in workers:
        worker.join(60)
        assert worker.fault is None
    last = Talker(folder, "last")
    assert last.ask(Stop()) == Ok()
    last.close()
    manager.wait(60)
    assert kills == 5
    acknowledged = [item for worker in workers for item, _ in worker.finished]
    assert sorted(acknowledged) == list(range(1500)), "each is finished once, by one owner"
    rows = read_tables(folder)[database.ITEMS]
    tokens = {item: token for worker in workers for item, token in worker.finished}
    assert all(rows[str(row)]["token"] == tokens[row] for row in range(1500))
    assert {row["phase"] for row in rows.values()} == {"done"}


def test_a_script_started_by_hand_that_dies_gives_its_item_back(tmp_path: Path) -> None:
    folder, config = make_run(tmp_path, 1)
    config = msgspec.structs.replace(config, timing=Timing(lease=0.5))
    engine = Engine(folder, config)  # nobody manages jobs: no queue tells of a death
    thread = threading.Thread(target=engine.run, daemon=True)
    thread.start()
    try:
        dead, next_one = Talker(folder, "dead"), Talker(folder, "next")
        dead.ask(Hello("here", 1, 1))
        assert isinstance(dead.ask(Claim()), Assigned)
        next_one.ask(Hello("here", 2, 1))
        end = time.monotonic() + 60
        while isinstance(reply := next_one.ask(Claim()), Idle) and time.monotonic() < end:
            time.sleep(0.1)
        assert isinstance(reply, Assigned)
        # of the next one, too, the manager may by now have heard nothing for so long
        assert engine.state.items.rows[0].crashes >= 1
    finally:
        engine.stop()
        thread.join(10)
