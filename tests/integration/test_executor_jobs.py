"""`Executor` whose tasks run in jobs of a batch system."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from adaptive_scheduler import Executor, TaskResources
from adaptive_scheduler.errors import InputError, RequestRefusedError
from adaptive_scheduler.scheduler import PBS, SLURM, Here, LocalScheduler
from adaptive_scheduler.schedulers.base import Scheduler
from tests.clusters.pbs import PrivatePBS
from tests.clusters.slurm import PrivateSlurm

PATIENCE = 120.0


def job_of(_: Any = None) -> str:
    time.sleep(0.05)
    return os.environ["ADAPTIVE_SCHEDULER_JOB"]


def local(tmp_path: Path, cores: int) -> LocalScheduler:
    return LocalScheduler(cores=cores, max_cores=8, kill_wait=5, state=tmp_path / "batch")


def test_pools_are_added_and_removed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with Executor(
        local(tmp_path, 2), folder, max_jobs=2, idle=0.5, interval=1, accepts=["a"]
    ) as executor:
        a, b = executor.options(tag="a"), executor.options(tag="b")
        with pytest.raises(RequestRefusedError, match=r"no pool can ever hold it.*tags a only"):
            b.submit(job_of).result(PATIENCE)
        # one job for all four, however late the second of them comes
        name = executor.add_pool(local(tmp_path, 1), accepts=["b"], batch_size=1, idle=PATIENCE)
        in_a = {future.result(PATIENCE) for future in a.submit_many(job_of, range(20))}
        in_b = {future.result(PATIENCE) for future in b.submit_many(job_of, range(4))}
        assert in_a
        assert len(in_b) == 1
        assert not in_a & in_b
        assert {row["job"] for row in executor.tasks(tag="b")} == in_b
        executor.remove_pool(name)
        with pytest.raises(RequestRefusedError, match="no pool can ever hold it"):
            b.submit(job_of).result(PATIENCE)
        with pytest.raises(InputError, match="submitted by LocalScheduler"):
            executor.add_pool(SLURM(cores=1))
        with pytest.raises(InputError, match="setup="):
            executor.add_pool(
                LocalScheduler(1, max_cores=8, kill_wait=5, state=tmp_path / "batch", setup="x")
            )
        executor.add_pool(Here(slots=1))
        assert b.submit(job_of).result(PATIENCE).startswith("here:")
    # another size of jobs for the same run: the pool is replaced
    with Executor(local(tmp_path, 3), folder, idle=0.5, interval=1) as executor:
        wide = executor.options(resources=TaskResources(threads_per_rank=3))
        assert wide.submit(job_of).result(PATIENCE) not in in_a
        assert len(executor.tasks(state="done")) == 26


def test_a_run_on_this_machine_gets_jobs_later(tmp_path: Path) -> None:
    with Executor(Here(slots=1), tmp_path / "run", interval=1) as executor:
        assert executor.submit(job_of).result(PATIENCE).startswith("here:")
        executor.add_pool(local(tmp_path, 2), idle=0.5)
        wide = executor.options(resources=TaskResources(threads_per_rank=2))
        assert not wide.submit(job_of).result(PATIENCE).startswith("here:")


def test_a_pool_that_comes_before_the_head_of_this_machine_has_reported(tmp_path: Path) -> None:
    """What only this machine takes was refused: the pool seemed to be all that there would be."""
    with Executor(Here(slots=1), tmp_path / "run", interval=1) as executor:
        executor.add_pool(local(tmp_path, 1), accepts=["other"], idle=0.5)
        assert executor.submit(job_of).result(PATIENCE).startswith("here:")


def run_on(scheduler: Scheduler, folder: Path) -> None:
    with Executor(scheduler, folder, idle=0.5, interval=1) as executor:
        jobs = {future.result(PATIENCE) for future in executor.submit_many(job_of, range(20))}
        assert jobs == {row["job"] for row in executor.tasks(state="done")}
        assert not any(job.startswith("here:") for job in jobs)


@pytest.mark.slurm
@pytest.mark.timeout(300)
def test_on_slurm(tmp_path: Path, slurm: PrivateSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)
    run_on(SLURM(cores=2, walltime="5m"), tmp_path / "run")


def test_on_pbs(tmp_path: Path, pbs: PrivatePBS, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in pbs.env.items():
        monkeypatch.setenv(name, value)
    run_on(PBS(cores=2, walltime="5m"), tmp_path / "run")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"max_jobs": 0}, "max_jobs of at least 1"),
        ({"min_jobs": 2}, "min_jobs=2, max_jobs=1"),
        ({"max_jobs": "many"}, "whole number"),
        ({"accepts": "gpu"}, "list of tags"),
        ({"batch_size": 2, "threshold": 3}, "threshold <= batch_size"),
        ({"idle": -1}, "idle"),
        ({"max_job": 2}, "max_jobs"),
        ({"driver_patience": "soon"}, "driver_patience"),
    ],
)
def test_wrong_options_are_told_before_anything_is_started(
    tmp_path: Path, wrong: dict[str, Any], says: str
) -> None:
    with pytest.raises((InputError, TypeError), match=says):
        Executor(LocalScheduler(cores=1), tmp_path / "run", **wrong)
    assert not (tmp_path / "run").exists()


def test_options_of_pools_are_refused_on_this_machine(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leave out"):
        Executor(Here(), tmp_path / "run", accepts=["a"])
    with pytest.raises(InputError, match="SLURM"):
        Executor("slurm", tmp_path / "run")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("folder", "says"),
    [
        (3, "folder=3 must be a str or a path"),
        ("", "folder='' must be a str or a path, and not empty"),
        ("a file", "folder='a file' must be a folder .* attach.folder. of RunManager or Executor"),
        ("a file/run", "a file is not one. Choose another one"),
        ("/dev/null", "/dev/null is not one. Choose another one"),
        ("a\0b", "NUL"),
    ],
)
def test_a_folder_that_cannot_be_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Any, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a file").touch()
    with pytest.raises(InputError, match=says):
        Executor(Here(slots=1), folder)
    with pytest.raises(InputError, match="folder"):
        Executor.attach(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["a file"]
