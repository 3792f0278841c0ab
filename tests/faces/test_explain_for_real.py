"""Causes that `explain` names, each brought about by real jobs and processes.

The manager is a thread of this process where a limit of an hour or a minute is made one of a second.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import adaptive
import psutil
import pytest

from adaptive_scheduler.core.jobs.outputs import DIED_EARLY
from adaptive_scheduler.core.paths import END_VARIABLE
from adaptive_scheduler.core.reasons.explanation import Explanation
from adaptive_scheduler.core.rows import run_state
from adaptive_scheduler.core.wire import snapshot
from adaptive_scheduler.io.disk.lock import holder
from adaptive_scheduler.scheduler import LocalScheduler
from adaptive_scheduler.server_support import RunManager
from tests.integration.engine_here import EngineHere

#: Seconds; a job of a minute is among what is waited for.
PATIENCE = 300.0


def until(is_so: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE
    while not (found := is_so()):
        assert time.monotonic() < end, f"not within {PATIENCE:g} s"
        time.sleep(0.05)
    return found


def says(explain: Callable[[], Explanation], cause: str) -> Explanation:
    """Wait until this is the most important cause."""
    end = time.monotonic() + PATIENCE
    while (found := explain()).cause != cause:
        assert time.monotonic() < end, f"{cause}: {found}"
        time.sleep(0.05)
    return found


def hang_inside(x: float) -> float:
    """Quick at both ends."""
    if abs(x) != 1:
        time.sleep(1000)
    return x


def hang(x: float) -> float:
    time.sleep(1000)
    return x


@contextmanager
def served(
    folder: Path, function: Callable[[float], float], n: int = 1, timing: Any = None, **options: Any
) -> Iterator[RunManager]:
    """A run of n learners, with a manager in this process."""
    scheduler = LocalScheduler(
        cores=1, max_cores=4, kill_wait=2, state=folder / "batch", executor_type="process-pool",
        **options,
    )  # fmt: skip
    run = RunManager(
        scheduler, [adaptive.Learner1D(function, (-1, 1)) for _ in range(n)],
        [folder / "data" / str(n) for n in range(n)], folder=folder / "a run", goal=100, interval=0.5,
    )  # fmt: skip
    with EngineHere(run, **{"beat": 0.5, "grace": 2.0, **(timing or {})}).serving():
        yield run


def test_jobs_that_die_before_they_ask_are_named_as_by_status(tmp_path: Path) -> None:
    """One job works; all others of its learners die in their first line."""
    licence = shlex.quote(str(tmp_path / "the only licence"))
    setup = f"mkdir {licence} || {{ echo 'no licence left' >&2; exit 3; }}"
    with served(tmp_path, hang, 2, setup=setup) as run:
        until(lambda: run.snapshot("none").phases.get("running"))
        queued = until(lambda: next((one for one in run if one.status == "queued"), None))
        found = says(queued.explain, "jobs in vain")
        reason = found.reasons[0]
        assert reason.text.startswith(f"{DIED_EARLY}: ")
        assert "no licence left" in reason.text
        assert "adaptive-scheduler doctor" in reason.remedy
        # the number grows meanwhile: what is said of the last job is the same
        told = reason.text.rpartition("in a row. The last output of job ")[2].partition(":")[2]
        assert told in until(lambda: DIED_EARLY in run.status().text and run.status().text)


def test_a_job_that_finds_no_manager(tmp_path: Path) -> None:
    """Its manager is killed; what its client writes is quoted where no manager can say it."""
    run = RunManager(
        LocalScheduler(cores=1), [adaptive.Learner1D(hang, (-1, 1)) for _ in range(2)],
        [tmp_path / "data" / str(n) for n in range(2)], folder=tmp_path / "a run", goal=9, max_jobs=1,
    )  # fmt: skip
    run.start()
    try:
        (job,) = until(lambda: run[0].status == "running" and run.snapshot("none").jobs)
        manager = holder(run.folder.lock)
        assert manager is not None
        os.kill(manager.pid, signal.SIGKILL)
        until(lambda: run.folder.complaint(job.id).exists())
        for found in (run[0].explain(), run.explain_job(job.id)):
            assert found.cause == "manager dead"
            told = {one.cause: one for one in found.reasons}["manager not reached"]
            assert told.text.startswith(f"job {job.id} reached no manager: 20")
            assert "doctor" in told.remedy
        run.resume()
        until(lambda: not run.folder.complaint(job.id).exists())
        assert "manager not reached" not in {one.cause for one in run[0].explain().reasons}
    finally:
        run.cancel()
        until(lambda: not run.snapshot("none").alive)


def test_jobs_whose_walltime_is_too_short_for_a_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_state, "EARLY_DEATHS", 1)
    with served(tmp_path, hang, walltime=60) as run:
        found = says(run[0].explain, "jobs in vain")
        assert (
            "a job ended before it had evaluated one point: its walltime is too short" in found.text
        )
        assert "give a longer walltime=" in found.reasons[0].remedy


def test_a_point_that_takes_longer_than_those_before_and_then_a_job_that_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "STALLED", 1.0)
    with served(tmp_path, hang_inside, timing={"lease": 3.0, "patience": 600.0}) as run:
        # its first two points must have come back before
        until(lambda: "95 % of its points took at most" in run[0].explain().text)
        found = says(run[0].explain, "slow")
        assert "no point has come back for" in found.text
        assert "95 % of its points took at most" in found.text
        assert "point_timeout" in found.reasons[0].remedy
        (job,) = re.findall(r"runs in job (\S+) on", found.text)  # a busy machine has sent others
        with stopped(tmp_path):
            found = says(run[0].explain, "silent")
            assert f"its job {job}" in found.text
            assert f"cancel job {job}" in found.reasons[0].remedy
            until(lambda: run.explain_job(job).cause == "silent")
        says(run[0].explain, "slow")


@contextmanager
def stopped(folder: Path) -> Iterator[None]:
    """Stop all that runs in the jobs of a run, as a node that swaps does."""
    clients = [one for one in psutil.process_iter() if str(folder) in _end_file(one)]
    assert clients, "no such process"
    for one in clients:
        one.suspend()
    try:
        yield
    finally:
        for one in clients:
            with suppress(psutil.NoSuchProcess):
                one.resume()


def _end_file(process: psutil.Process) -> str:
    try:
        return process.environ().get(END_VARIABLE, "")
    except psutil.Error:
        return ""
