"""What a job has, as the batch system's variables tell it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil
import pytest

from adaptive_scheduler.client.tasks.head import allocation

MIB = 2**20


def test_this_machine() -> None:
    mine = sorted(os.sched_getaffinity(0))
    assert allocation.this_machine().cores == mine
    assert allocation.this_machine(1).cores == mine[:1]
    many = allocation.this_machine(1000, ["3"])
    assert len(many.cores) == 1000
    assert not set(many.cores) & set(mine)  # they are counted, and nothing is bound to them
    assert many.gpus == ["3"]
    assert many.memory == psutil.virtual_memory().total


def test_cores_that_the_batch_system_binds_are_those_of_this_process() -> None:
    mine = sorted(os.sched_getaffinity(0))
    node = allocation.of_job({}, len(mine))
    assert node.cores == mine
    assert allocation.are_bound(node)


def test_cores_that_nobody_binds_are_counted() -> None:
    mine = sorted(os.sched_getaffinity(0))
    if len(mine) == 1:
        pytest.skip("this process has one core")
    node = allocation.of_job({}, len(mine) - 1)
    assert len(node.cores) == len(mine) - 1
    assert not allocation.are_bound(node)


@pytest.mark.parametrize(
    ("environ", "cores"),
    [
        ({}, 4), ({"SLURM_CPUS_ON_NODE": "2"}, 2), ({"SLURM_CPUS_ON_NODE": "64"}, 4),
        ({"NCPUS": "3"}, 3), ({"NCPUS": "x"}, 4),
    ],
)  # fmt: skip
def test_cores_of_a_job(environ: dict[str, str], cores: int) -> None:
    assert allocation.cores_of(environ, 4) == cores


@pytest.mark.parametrize(
    ("environ", "gpus"),
    [
        ({}, []),
        ({"CUDA_VISIBLE_DEVICES": "0,2"}, ["0", "2"]),
        ({"CUDA_VISIBLE_DEVICES": "GPU-ab,GPU-cd"}, ["GPU-ab", "GPU-cd"]),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles", "SLURM_JOB_GPUS": "1"}, []),
        ({"CUDA_VISIBLE_DEVICES": "", "SLURM_JOB_GPUS": "1"}, []),
        ({"SLURM_JOB_GPUS": "0-2,5"}, ["0", "1", "2", "5"]),
    ],
)
def test_gpus_of_a_job(environ: dict[str, str], gpus: list[str]) -> None:
    assert allocation.gpus_of(environ) == gpus


def test_gpus_of_pbs(tmp_path: Path) -> None:
    host = socket.gethostname()
    file = tmp_path / "gpus"
    file.write_text(f"{host}-gpu1\n{host}-gpu3\nother-gpu0\n")
    assert allocation.gpus_of({"PBS_GPUFILE": str(file)}) == ["1", "3"]


@pytest.mark.parametrize(
    ("environ", "memory"),
    [
        ({}, None),
        ({"SLURM_MEM_PER_NODE": "1024"}, 1024 * MIB),
        ({"SLURM_MEM_PER_NODE": "0"}, None),
        ({"SLURM_MEM_PER_CPU": "100"}, 400 * MIB),
    ],
)
def test_memory_of_a_job(environ: dict[str, str], memory: int | None) -> None:
    assert allocation.memory_of(environ, 4) == memory


def test_in_an_allocation_its_cores_and_gpus_are_for_tasks() -> None:
    mine = sorted(os.sched_getaffinity(0))
    environ = {"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": str(len(mine)), "SLURM_JOB_GPUS": "0,1"}
    assert allocation.of_allocation(environ).cores == mine
    assert allocation.of_allocation(environ).gpus == ["0", "1"]
    assert allocation.of_allocation(environ, gpus=["1"]).gpus == ["1"]
    assert len(allocation.of_allocation(environ, 1).cores) == 1


def test_on_a_machine_without_a_batch_system_gpus_are_those_that_are_named() -> None:
    environ = {"CUDA_VISIBLE_DEVICES": "0"}
    assert allocation.of_allocation(environ).gpus == []
    assert allocation.of_allocation(environ, 1, ["0"]).gpus == ["0"]


def test_the_end_of_an_allocation() -> None:
    assert allocation.allocation_left({}, 100.0) is None
    assert allocation.allocation_left({"SLURM_JOB_END_TIME": "160"}, 100.0) == 60.0
    assert allocation.allocation_left({"SLURM_JOB_END_TIME": "60"}, 100.0) == 0.0
