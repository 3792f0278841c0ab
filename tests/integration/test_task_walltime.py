"""A pool's job on a real Slurm comes to its walltime, a minute: nothing is lost, nobody is to blame."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path

import pytest

from adaptive_scheduler import Command
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.scheduler import SLURM
from tests.clusters.slurm import PrivateSlurm
from tests.integration.test_pools import PoolRun, wait_for

#: Saves at SIGTERM, which takes a while; the second time it is done at once.
SAVES = """
import pathlib, signal, sys, time
saved = pathlib.Path("saved")
if saved.exists():
    sys.exit()
def save(*_):
    time.sleep(2)
    saved.touch()
    sys.exit(1)
signal.signal(signal.SIGTERM, save)
time.sleep(600)
"""


def long_at_first(path: str) -> str:
    mark = Path(path)
    if mark.exists():
        return mark.read_text()
    mark.write_text(os.environ["ADAPTIVE_SCHEDULER_JOB"])
    time.sleep(600)
    return ""


@pytest.mark.slurm
@pytest.mark.full
@pytest.mark.timeout(300)
def test_a_walltime_of_slurm_cuts_what_runs_and_the_next_job_does_it(
    tmp_path: Path, slurm: PrivateSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "saves.py").write_text(SAVES)
    monkeypatch.chdir(tmp_path)
    run = PoolRun(tmp_path / "run", SLURM(cores=4))
    try:
        run.add(name="p", resources=Resources(cores=4, walltime=60), max_jobs=1, idle=1.0)
        mark = tmp_path / "begun"
        call = run.executor.submit(long_at_first, str(mark))
        command = run.executor.submit(Command(f"{shlex.quote(sys.executable)} saves.py; exit $?"))
        assert call.result(200) == mark.read_text()
        assert command.result(60) == 0
        assert (tmp_path / "saved").exists()
        rows = run.executor.tasks()
        assert [(row["state"], row["attempts"]) for row in rows] == [("done", 2)] * 2
        wait_for(lambda: run.pool().running == 0)
    finally:
        run.close()
