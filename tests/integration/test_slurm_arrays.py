"""The README's hundred learners on a Slurm where four jobs run at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import adaptive
import pytest

import adaptive_scheduler
from tests.clusters.slurm import PrivateSlurm

pytestmark = [pytest.mark.slurm, pytest.mark.mpi, pytest.mark.timeout(240)]

#: Seconds: a few times what it takes on an idle host (4 and 8 s), and far less than the minute
#: for which tasks that Slurm lists no more once counted as living.
SOON = 50.0


def until(is_so: Callable[[], bool], seconds: float = 60.0) -> float:
    """Wait for a truth; returns how long that took."""
    begin = time.monotonic()
    while not is_so():
        assert time.monotonic() - begin < seconds
        time.sleep(0.1)
    return time.monotonic() - begin


def states(slurm: PrivateSlurm) -> str:
    return slurm.run("squeue", "-h", "-r", "--states=all", "-o", "%F_%K %T").stdout


def a_hundred(folder: Path) -> Any:
    def h(x: float, offset: float = 0) -> float:
        time.sleep(0.01)
        return x + 0.01**2 / (0.01**2 + (x - offset) ** 2)

    offsets = [i / 100 for i in range(100)]
    learners = [adaptive.Learner1D(partial(h, offset=o), bounds=(-1, 1)) for o in offsets]
    fnames = [f"data/offset_{o}" for o in offsets]
    # as the README has it, but that four jobs fill the cluster and 96 wait
    scheduler = adaptive_scheduler.scheduler.SLURM(cores=2, walltime="12:00:00", exclusive=True)
    return adaptive_scheduler.server_support.RunManager(
        scheduler, learners, fnames, goal=lambda learner: learner.npoints > 5,
        log_interval=30, save_interval=300, folder=folder / "run",
    )  # fmt: skip


def test_jobs_that_never_started_do_not_keep_a_run_of_a_hundred_learners(
    slurm: PrivateSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for key, value in slurm.env.items():
        monkeypatch.setenv(key, value)
    run = a_hundred(tmp_path)
    run.start()
    until(lambda: run.snapshot("none").submitted >= 100)
    run.cancel()
    until(lambda: "PENDING" not in states(slurm))
    run.retry()
    took = {"a retry submits": until(lambda: run.snapshot("none").submitted > 100)}
    until(lambda: "running" in run.snapshot("none").phases)
    begin = time.monotonic()
    run.cancel()
    run.wait(120)
    took["cancel"] = time.monotonic() - begin
    assert "_N/A CANCELLED" in states(slurm), "else Slurm does not fold the tasks any more"
    run.resume()
    until(lambda: run.snapshot("none").over, 120)
    begin = time.monotonic()
    assert run.wait(120).phases == {"done": 100}
    took["wait"] = time.monotonic() - begin
    print(took)
    assert max(took.values()) < SOON, took
