"""A disk that is broken or full for a while: the work waits, reports it, and goes on by itself."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import adaptive
import pytest
import tinydb

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.messages import Assigned, Claim, Finish, Goodbye, Hello, Ok, Stop
from adaptive_scheduler.errors import ManagerUnreachableError
from adaptive_scheduler.evaluation.learners import store
from adaptive_scheduler.evaluation.learners.run import LearnerWork, run_learner
from adaptive_scheduler.evaluation.learners.store import LearnerStore
from adaptive_scheduler.evaluation.learners.work import Outcome
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.learner_data.point_journal import PointJournal
from adaptive_scheduler.io.storage import database
from adaptive_scheduler.io.storage.read_only import read_tables
from adaptive_scheduler.manager import dispatch
from adaptive_scheduler.manager.engine import Engine
from tests.integration.test_engine import LONG, Talker, has_no_space, make_run


class Breaking(files.Operations):
    """Lets calls fail as long as `fails` says so; told the call's name and its path."""

    def __init__(self, number: int, fails: Callable[[str, str], bool]) -> None:
        self.number = number
        self.fails = fails
        self.failed = 0

    def _try(self, name: str, path: object) -> None:
        if self.fails(name, str(path)):
            self.failed += 1
            raise OSError(self.number, os.strerror(self.number))

    def rename(self, source: files.Name, target: files.Name) -> None:
        self._try("rename", target)
        super().rename(source, target)

    def unlink(self, path: files.Name) -> None:
        self._try("unlink", path)
        super().unlink(path)

    def open(self, path: files.Name, *more: Any) -> int:
        self._try("open", path)
        return super().open(path, *more)


def slow_square(x: float) -> float:
    time.sleep(0.01)
    return x * x


N = 60


def sequence(kind: type[Any] = adaptive.SequenceLearner) -> Any:
    return kind(slow_square, list(range(N)))


def run(path: Path, learner: Any, problems: list[str], told: Callable[[], None]) -> Outcome:
    def on_progress(progress: dict[str, Any]) -> None:
        problems.append(progress["problem"])
        told()

    with ThreadPoolExecutor(2) as pool:
        work = LearnerWork(
            learner, str(path), None, pool, 2, token=5, save_interval=0.05, points_interval=0.02,
            progress_interval=0.02, on_progress=on_progress,
        )  # fmt: skip
        return run_learner(work)


def check(path: Path, outcome: Outcome, kind: type[Any] = adaptive.SequenceLearner) -> None:
    assert (outcome.reason, outcome.saved, outcome.error) == ("goal", True, None)
    fresh = sequence(kind)
    fresh.load(str(path))
    assert fresh.npoints == N


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PAUSE", 0.05)


# ------------------------------------------------------------------------- the client


@pytest.mark.parametrize("number", [errno.EIO, errno.EDQUOT, errno.EACCES, errno.ESTALE])
def test_saves_that_fail_are_reported_and_end_no_learner(tmp_path: Path, number: int) -> None:
    path, problems = tmp_path / "a", []
    disk = Breaking(number, lambda name, target: name == "rename" and target == str(path))

    def told() -> None:
        if sum(os.strerror(number) in problem for problem in problems) > 5:
            disk.fails = lambda *_: False

    with files.through(disk):
        outcome = run(path, sequence(), problems, told)
    assert disk.failed
    check(path, outcome)


def test_the_last_save_waits_for_a_disk_that_comes_back(tmp_path: Path) -> None:
    path, problems, last = tmp_path / "a", [], []
    disk = Breaking(errno.EIO, lambda name, target: name == "rename" and target == str(path))
    learner = sequence()

    def told() -> None:
        if learner.npoints == N and "Input/output error" in problems[-1]:
            last.append(problems[-1])
            if len(last) > 3:
                disk.fails = lambda *_: False

    with files.through(disk):
        outcome = run(path, learner, problems, told)
    assert len(last) > 3
    check(path, outcome)


class ExitsWhenSaved(adaptive.SequenceLearner):  # type: ignore[misc]
    """Its data cannot be pickled: the user's own code ends whoever tries."""

    def _get_data(self) -> Any:
        raise SystemExit("enough")


def test_a_save_that_raises_while_the_disk_is_full_waits_for_the_journal(tmp_path: Path) -> None:
    """Points that neither the file nor the journal took were lost (chaos, seed 167639)."""
    path, problems, last = tmp_path / "a", [], []
    disk = Breaking(errno.ENOSPC, lambda name, target: name == "open" and ".points" in target)

    def told() -> None:
        if "enough" in problems[-1]:
            last.append(problems[-1])
            if len(last) > 3:
                disk.fails = lambda *_: False

    with files.through(disk):
        outcome = run(path, sequence(ExitsWhenSaved), problems, told)
    assert disk.failed
    assert outcome.reason == "error"
    fresh = LearnerStore(sequence(), str(path))
    fresh.load()
    assert fresh.report.n_merged == outcome.npoints > 0


def test_former_journals_that_cannot_be_deleted_end_no_learner(tmp_path: Path) -> None:
    path, problems = tmp_path / "a", []
    for token in (1, 2):
        journal = PointJournal(str(path), token)
        journal.keep([((token, token), float(token))])
        journal.close()
    disk = Breaking(errno.EACCES, lambda name, target: name == "unlink" and ".points" in target)
    with files.through(disk):
        outcome = run(path, sequence(), problems, lambda: None)
    assert disk.failed > 1
    assert any("Permission denied" in problem for problem in problems)
    check(path, outcome)
    assert "Permission denied" in outcome.problem


class Own(adaptive.SequenceLearner):  # type: ignore[misc]
    """Saves itself, by adaptive's `save`, which says nothing when the disk is full."""

    def save(self, fname: str, compress: bool = True) -> None:
        super().save(fname, compress)


class Strict(adaptive.SequenceLearner):  # type: ignore[misc]
    """Saves itself, and raises while the disk is full."""

    is_full = True

    def save(self, fname: str, compress: bool = True) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().save(fname, compress)


def test_a_save_of_the_users_own_that_finds_a_full_disk_ends_no_learner(tmp_path: Path) -> None:
    path, problems, learner = tmp_path / "a", [], sequence(Strict)

    def told() -> None:
        if sum("No space left" in problem for problem in problems) > 5:
            learner.is_full = False

    outcome = run(path, learner, problems, told)
    check(path, outcome, Own)


# ------------------------------------------------------------------ a real full filesystem


class Small:
    """A file system of half a megabyte, which `fill` fills to the last byte."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        with self._filler.open("ab", buffering=0) as file:
            for size in (4096, 1):
                while True:
                    try:
                        file.write(b"x" * size)
                    except OSError:
                        break

    def empty(self) -> None:
        self._filler.unlink()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "none", folder], check=True, timeout=60
    )
    try:
        yield Small(folder)
    finally:
        subprocess.run(["umount", "-l", folder], check=True, timeout=60)


root_only = pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a small file system")


@root_only
@pytest.mark.parametrize("kind", [adaptive.SequenceLearner, Own])
def test_a_learner_on_a_full_file_system_waits_for_room(small: Small, kind: type[Any]) -> None:
    path, problems = small.folder / "a", []
    learner = sequence(kind)
    LearnerStore(sequence(kind), str(path)).save()
    small.fill()
    last: list[str] = []

    def told() -> None:
        if learner.npoints == N and problems[-1] and not last:
            last.append(problems[-1])
            small.empty()

    outcome = run(path, learner, problems, told)
    assert last, "a full disk is told of"
    check(path, outcome, kind)


def until(question: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not question():
        assert time.monotonic() < end
        time.sleep(0.05)


@root_only
def test_a_manager_on_a_full_file_system_holds_its_answers_until_there_is_room(
    small: Small,
) -> None:
    folder, config = make_run(small.folder, 200)
    engine = Engine(folder, config)
    thread = threading.Thread(target=engine.run)
    thread.start()
    me, viewer = Talker(folder, "me"), Talker(folder, "viewer")
    me.ask(Hello("here", 1, 1))
    small.fill()
    done, unanswered = work_until_held_back(me, viewer)
    assert thread.is_alive()
    small.empty()
    until(lambda: not has_no_space(viewer))
    done.append(work(me, patience=60.0))
    found = [row["phase"] for row in read_tables(folder)[database.ITEMS].values()]
    assert all(found[item] == "done" for item in done)
    assert found.count("done") <= len(done) + unanswered, "these may be done without a word"
    assert me.ask(Stop()) == Ok()
    thread.join(60)
    me.close()
    viewer.close()
    with tinydb.TinyDB(folder.database) as db:
        assert [row["phase"] for row in db] == found


def work(me: Talker, patience: float) -> int:
    got = me.ask(Claim(), patience)
    assert isinstance(got, Assigned), "200 items fill a page"
    assert me.ask(Finish(got.token), patience) == Ok()
    return got.item


def work_until_held_back(me: Talker, viewer: Talker) -> tuple[list[int], int]:
    """What was acknowledged, and how much was not: the last page of the journal has room for some lines.

    A manager that only takes its time does not say that there is no space.
    """
    done: list[int] = []
    for unanswered in range(1, 100):
        try:
            while True:
                done.append(work(me, patience=3.0))
        except ManagerUnreachableError:
            if has_no_space(viewer):
                return done, unanswered
    raise AssertionError("it answers neither, nor says why")


# ------------------------------------------------------------------------- the manager


def test_a_manager_does_not_end_before_the_last_change_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "LINGER", LONG)  # it hears the goodbye, however late that is
    folder, config = make_run(tmp_path, 1)
    engine = Engine(folder, config)
    thread = threading.Thread(target=engine.run)
    thread.start()
    me = Talker(folder, "me")
    me.ask(Hello("here", 1, 1))
    got = me.ask(Claim())
    assert isinstance(got, Assigned)
    with files.through(NoSync()):
        with pytest.raises(ManagerUnreachableError):
            me.ask(Finish(got.token), patience=4.0)
        assert not engine.ended.is_set(), "nobody knows yet that it is done"
    assert me.ask(Finish(got.token)) == Ok()
    me.ask(Goodbye("over"))
    me.close()
    monkeypatch.setattr(dispatch, "LINGER", 1.0)
    thread.join(60)
    assert engine.ended.is_set()


class NoSync(files.Operations):
    def fsync(self, fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")


def test_a_last_checkpoint_on_a_full_disk_does_not_end_in_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "LINGER", LONG)  # it hears the request to stop, however late
    folder, config = make_run(tmp_path, 1)
    engine = Engine(folder, config)
    errors: list[BaseException] = []

    def serve() -> None:
        try:
            engine.run()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    me = Talker(folder, "me")
    me.ask(Hello("here", 1, 1))
    got = me.ask(Claim())
    assert isinstance(got, Assigned)
    assert me.ask(Finish(got.token)) == Ok()
    with files.through(NoNewFile()):
        assert me.ask(Stop()) == Ok()
        thread.join(60)
    me.close()
    assert not errors
    assert "checkpoint_failed" in folder.manager_log.read_text()
    assert read_tables(RunFolder(folder.database))[database.ITEMS]["0"]["phase"] == "done"


class NoNewFile(files.Operations):
    def open(self, path: files.Name, flags: int, mode: int = 0o666) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().open(path, flags, mode)
