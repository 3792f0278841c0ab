"""Ranks whose launcher is killed end by themselves."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import adaptive
import psutil
import pytest

from adaptive_scheduler.schedulers.slurm.scheduler import RANK, SLURM
from tests.clusters import remains
from tests.clusters.slurm import PrivateSlurm
from tests.integration.accidents import until
from tests.integration.agent_node import is_alive
from tests.integration.campaigns import ranks_of
from tests.integration.client_runs import ClientRun

ROOT = Path(__file__).parents[2]

CHILD = """
import os, sys, time
from adaptive_scheduler.client.signals import ParentWatch
from adaptive_scheduler.executors import worker_process
worker_process.ORPHAN_SECONDS = float(sys.argv[2])
parents = ParentWatch("job")
worker_process.start_mpi_rank()
open(sys.argv[1] + "/pid", "w").write(str(os.getpid()))
while True:
    if parents.are_gone():
        open(sys.argv[1] + "/gone", "w").close()
    time.sleep(0.1)
"""
#: Stands for slurmstepd, or hydra's proxy.
LAUNCHER = "import subprocess, sys; subprocess.run(sys.argv[1:])"


def slow(x):
    time.sleep(300)
    return x


@pytest.fixture(params=["sh", "", "bash"])
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def rank(tmp_path: Path, shell: str) -> Iterator[tuple[psutil.Process, subprocess.Popen[bytes]]]:
    words = [shell, "-c", RANK, "rank"] if shell else []
    child = [sys.executable, "-c", CHILD, str(tmp_path), "0.2"]
    launcher = subprocess.Popen([sys.executable, "-c", LAUNCHER, *words, *child])
    pid = until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    process = psutil.Process(int(pid))
    family = [process, *process.parents()[: 1 if shell else 0]]
    yield process, launcher
    launcher.kill()
    launcher.wait()
    for one in family:
        with suppress(psutil.NoSuchProcess):
            one.kill()


def words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def test_a_rank_ends_after_its_launcher_and_its_client_notices_at_once(
    tmp_path: Path, shell: str, rank: tuple[psutil.Process, subprocess.Popen[bytes]]
) -> None:
    process, launcher = rank
    assert not (tmp_path / "gone").exists()
    launcher.kill()
    launcher.wait()
    if shell == "bash":  # a job script: whoever started it may be started anew
        time.sleep(3)
        assert process.is_running()
        assert not (tmp_path / "gone").exists()
        return
    until(lambda: (tmp_path / "gone").exists(), 60)
    until(lambda: not is_alive(process.pid), 60)


@pytest.mark.slurm
@pytest.mark.mpi
@pytest.mark.timeout(150)
def test_the_world_of_a_killed_slurmstepd_saves_releases_and_ends(
    tmp_path: Path, slurm: PrivateSlurm
) -> None:
    """Ranks that evaluate must be aborted, and an abort waits for the slurmstepd."""
    run = ClientRun(tmp_path, None)
    run.fill([adaptive.SequenceLearner(slow, range(10_000))], [str(tmp_path / "data")])
    scheduler = SLURM(cores=3, mpiexec_executable="srun --mpi=pmi2")
    (resources,), _ = scheduler.shapes(1)
    client = [sys.executable, "-m", "mpi4py.futures", "-m", "adaptive_scheduler.client"]
    environ = run.environment(
        "1", ADAPTIVE_SCHEDULER_CORES="3", ADAPTIVE_SCHEDULER_EXECUTOR="mpi4py"
    )
    script = tmp_path / "job.sh"
    script.write_text(f"#!/bin/bash\n{shlex.join([*scheduler.launcher(resources), *client])}\n")
    with run.manage():
        argv = ["sbatch", "--ntasks=3", f"--output={tmp_path}/out", str(script)]
        subprocess.run(argv, env=environ | slurm.env, check=True, timeout=30, cwd=ROOT)
        until(lambda: any(event["event"] == "item_claimed" for event in run.events("1")))
        step = [p for p in remains.processes(slurm.folder) if ".0]" in words(p)]
        assert len(step) == 1
        step[0].kill()
        until(lambda: not ranks_of("1", run.folder.folder), 60)
    events = [event["event"] for event in run.events("1")]
    assert "item_released" in events
    assert events[-1] == "client_ended"
