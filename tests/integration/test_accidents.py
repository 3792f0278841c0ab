"""Processes are killed, disks are full, programs are missing."""

from __future__ import annotations

import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import RunError
from adaptive_scheduler.evaluation.learners.run import LearnerRun, LearnerWork, run_learner
from adaptive_scheduler.io.disk import files, lock
from adaptive_scheduler.io.disk.lock import Lock, holder
from tests.integration.accidents import JOB_SCRIPT, Accidents, until
from tests.integration.ledger import Ledger


def square(x, seconds=0.02):
    time.sleep(seconds)
    return x**2


class Enough:
    """A goal: as many points as a file beside the learner's ledger says, once it is there."""

    def __call__(self, learner):
        path = f"{learner.function.path}.enough"
        if not os.path.exists(path):  # noqa: PTH110  the class travels by value
            return False
        with open(path) as file:  # noqa: PTH123
            return learner.npoints >= int(file.read())


def test_nothing_is_lost_by_kills_of_manager_client_and_job_script(accidents: Accidents) -> None:
    ledgers = [Ledger(accidents.folder / f"ledger{n}", square) for n in range(3)]
    learners = [adaptive.Learner1D(ledger, (-1, 1)) for ledger in ledgers]
    run = accidents.make(learners, goal=Enough())  # however late a kill comes, it hits a learner
    run.start()
    until(lambda: all(ledger.lines() for ledger in ledgers[:2]))
    manager = holder(run.folder.lock)
    assert manager is not None
    os.kill(manager.pid, 9)
    accidents.client().kill()
    until(lambda: run.status() == "manager dead")
    run.resume()
    until(lambda: any(item.crashes for item in run.snapshot("all").items))
    accidents.processes(JOB_SCRIPT)[-1].kill()
    for ledger in ledgers:  # so that all is asked for again
        enough = str(len(ledger.lines()) + 150)
        files.write_atomically(Path(f"{ledger.path}.enough"), enough.encode())
    end = run.wait(200)
    assert end.phases == {"done": 3}
    assert end.submitted <= 4
    items = run.snapshot("all").items
    assert 1 <= sum(item.crashes for item in items) <= 2
    assert sum(item.fails for item in items) == 0
    assert "reached no manager" not in run.status().text
    for learner, ledger in zip(run.load_learners(progress=False), ledgers, strict=True):
        evaluated = {float(line.removeprefix("np.float64(").rstrip(")")) for line in ledger.lines()}
        # a kill loses what was finished in the last second, which lasts where other tests run, too;
        # nearly all of it is asked for again
        assert len(evaluated - set(learner.data)) <= 30
        assert set(learner.data) <= evaluated
    until(lambda: not accidents.processes("adaptive_scheduler.client"))


@pytest.mark.parametrize(
    ("options", "told"),
    [({"python_executable": "/no/such/python"}, "/no/such/python: No such file"),
     ({"setup": "echo module not found; exit 3"}, "module not found")],
)  # fmt: skip
def test_a_run_whose_jobs_cannot_start_is_held_with_what_they_printed(
    accidents: Accidents, options: dict[str, str], told: str
) -> None:
    run = accidents.make([adaptive.Learner1D(square, (-1, 1))], options)
    run.start()
    with pytest.raises(RunError, match=f"(?s)held: all of the first 2 jobs died.*{told}"):
        run.wait(120)
    assert run.status().text.count(told) == 1


def test_fault_23_a_cancel_in_mid_run_ends_all_soon_and_keeps_the_points(
    accidents: Accidents,
) -> None:
    ledger = Ledger(accidents.folder / "ledger", square)
    # what has begun may end for a third of kill_wait
    run = accidents.make([adaptive.Learner1D(ledger, (-1, 1))], {"kill_wait": 60}, goal=100_000)
    run.start()
    until(lambda: any(item.npoints for item in run.snapshot("all").items))
    run.cancel()
    begin = time.monotonic()
    until(lambda: not accidents.processes("adaptive_scheduler.client"))
    assert run.wait(60).phases == {"cancelled": 1}
    assert time.monotonic() - begin < 40
    assert run.snapshot("all").items[0].npoints > 0
    assert run.load_learners(progress=False)[0].npoints == len(ledger.lines())


# ------------------------------------------------------------------------- full disks


class Full(files.Operations):
    """A disk that is full as long as `is_full`."""

    is_full = True
    refused = 0

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Refuse, or write."""
        if self.is_full:
            self.refused += 1
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(fd, data)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Full:
    full = Full()
    monkeypatch.setattr(files, "operations", full)
    return full


def test_fault_04_a_client_waits_for_room_with_what_it_computed(
    tmp_path: Path, disk: Full, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adaptive_scheduler.evaluation.learners.store.PAUSE", 0.1)
    learner = adaptive.SequenceLearner(partial(square, seconds=0), list(range(30)))
    problems: list[str] = []

    def told(progress: dict[str, str]) -> None:
        problems.append(progress["problem"])
        if len(problems) >= 3:
            disk.is_full = False

    with ThreadPoolExecutor(2) as pool:
        work = LearnerWork(learner, str(tmp_path / "x"), None, pool, 2, on_progress=told)
        outcome = run_learner(work)
    assert (outcome.reason, outcome.saved, outcome.error) == ("goal", True, None)
    assert "No space left" in problems[-1]
    fresh = adaptive.SequenceLearner(square, list(range(30)))
    fresh.load(str(tmp_path / "x"))
    assert fresh.npoints == 30


def test_a_client_that_must_end_does_not_wait_for_room(
    tmp_path: Path, disk: Full, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adaptive_scheduler.evaluation.learners.store.PAUSE", 0.1)
    learner = adaptive.SequenceLearner(partial(square, seconds=0), list(range(30)))

    def told(progress: dict[str, str]) -> None:
        if progress["problem"]:
            run.stop("signal", 3.0)

    with ThreadPoolExecutor(2) as pool:
        run = LearnerRun(LearnerWork(learner, str(tmp_path / "x"), None, pool, 2, on_progress=told))
        outcome = run.run()
    assert (outcome.saved, outcome.error) == (False, None)  # so it is released, not failed
    assert "No space left" in outcome.problem
    assert disk.refused


def test_a_manager_keeps_its_lock_on_a_full_disk(
    tmp_path: Path, disk: Full, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "RENEW_SECONDS", 0.0)
    folder = RunFolder(tmp_path / "x.tinydb")
    files.private_folder(folder.folder)
    mine = Lock(folder)
    mine.acquire()
    assert "No space left" in mine.renew()
    found = holder(folder.lock)
    assert found is not None
    assert found.pid == os.getpid()
    disk.is_full = False
    assert mine.renew() == ""
    mine.release()
