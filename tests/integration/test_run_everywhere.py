"""One small run, whole, on each batch system and with each executor."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.effort import times
from tests.integration import run_driver

CASES = [
    pytest.param("slurm", "mpi4py", marks=[pytest.mark.slurm, pytest.mark.mpi]),
    pytest.param("pbs", "loky"),
    pytest.param("local", "sequential"),
    pytest.param("slurm", "process-pool", marks=pytest.mark.slurm),
    pytest.param("pbs", "mpi4py", marks=pytest.mark.mpi),
    pytest.param("local", "mpi4py", marks=pytest.mark.mpi),
][: times(3, 6)]


@pytest.fixture
def cluster_env(request, tmp_path):
    """Environment that reaches the batch system which a test names."""
    system = request.getfixturevalue("system")
    if system == "local":
        state = tmp_path / "localbatch"
        return {
            "ADAPTIVE_SCHEDULER_LOCALBATCH": str(state),
            "ADAPTIVE_SCHEDULER_LOCALBATCH_IDLE": "2",
        }
    cluster = request.getfixturevalue(system)
    if system == "pbs":
        cluster.change(hosts={"pbs1": 2, "pbs2": 4})
    return cluster.env


@pytest.mark.parametrize(("system", "executor"), CASES)
def test_fault_28_it_runs_whole_on_each_batch_system_with_each_executor(
    system, executor, cluster_env, tmp_path
):
    # PBS takes no such path for a job's output, and its hosts have no ssh between them
    folder = tmp_path / ("ä\tfolder" if system == "pbs" else "a folder")
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, run_driver.__file__, str(folder), system, executor],
        env={**os.environ, **cluster_env}, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    logs = "\n".join(p.read_text(errors="replace") for p in folder.glob("run/logs/*.out"))
    assert done.returncode == 0, done.stderr + logs + _manager_log(folder)
    assert "finished" in done.stdout
    assert len(list((folder / "data").iterdir())) == 6, "one file a learner, no journal left"


def _manager_log(folder: Path) -> str:
    path = folder / "run" / "db.tinydb.run" / "manager.log"
    return path.read_text(errors="replace") if path.exists() else ""
