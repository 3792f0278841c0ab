"""Where the commands of a sweep run: slots of this machine, or jobs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from adaptive_scheduler.core.options.sizes import size
from adaptive_scheduler.core.sweeps.slots import (
    NodeShape,
    as_shape,
    missing_gpus,
    share,
)
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.schedulers.base import Scheduler
from adaptive_scheduler.schedulers.here import Here

#: Devices of NVIDIA's driver, one for each GPU.
_DEVICES, _DEVICE = Path("/dev"), re.compile(r"nvidia(\d+)")


class Place(msgspec.Struct, frozen=True):
    """Where commands run.

    Attributes
    ----------
    where : Here or Scheduler
    resources : TaskResources
        Of each command.
    slots : int
        Commands at a time, on this machine or in one job.
    max_jobs : int
    launches_ranks : bool
        Whether a command is started once for each rank; else it starts its own ranks.
    """

    where: Here | Scheduler
    resources: TaskResources
    slots: int
    max_jobs: int = 1
    launches_ranks: bool = True

    @property
    def cores(self) -> int:
        """Cores of one command, on all of its nodes."""
        return self.resources.nodes * self.resources.cores_per_node


def on_this_machine(resource: list[str] | NodeShape | None, cores: int | None = None) -> Place:
    """Return the slots of this machine.

    Parameters
    ----------
    resource : list of str, NodeShape or None
        None: a slot for each core.
    cores : int, optional
        Of each slot; default: its share of the machine's.

    Raises
    ------
    InputError
        A GPU is not there.
    """
    mine = len(os.sched_getaffinity(0))
    if isinstance(resource, NodeShape):
        if resource.nodes > 1:
            raise InputError(
                f"resource: nodes: {resource.nodes}: this machine is one node. For jobs of several give "
                "--scheduler, or `job: {scheduler: slurm}` in the file."
            )
        gpus = [str(number) for number in range(resource.gpus_per_node)]
        _refuse_missing(gpus)
        node = resource.cores_per_node or max(mine, resource.cores)
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        _refuse_too_much(resource.task, memory, "this machine")
        return Place(
            Here(node, gpus), resource.task, _fitting(node, len(gpus), resource),
            launches_ranks=resource.ranks_per_node is not None,
        )  # fmt: skip
    if resource is None:
        each = cores or 1
        return Place(Here(mine), TaskResources(threads_per_rank=each), max(1, mine // each))
    _refuse_missing(resource)
    each = cores or share(mine, len(resource))
    resources = TaskResources(threads_per_rank=each, gpus_per_rank=1)
    return Place(Here.with_devices(resource, each * len(resource)), resources, len(resource))


def beside_jobs(devices: Sequence[str], cores: int) -> Place:
    """Return slots of this machine for tasks that ask for GPUs of a job, by their number.

    Parameters
    ----------
    devices : sequence of str
        Of each slot.
    cores : int
        Of each slot.

    Raises
    ------
    InputError
        A GPU is not there, or the slots differ, so that no job has such ones.
    """
    _refuse_missing(devices)
    gpus = dict.fromkeys(one.strip() for slot in devices for one in slot.split(",") if slot)
    task = msgspec.structs.replace(as_shape(devices), cores_per_task=cores).task
    return Place(Here(cores * len(devices), list(gpus)), task, len(devices))


def _refuse_too_much(task: TaskResources, memory: int, who: str) -> None:
    if (task.memory or 0) > memory:
        raise InputError(
            f"resource: a command needs {task}, but {who} has {memory / 2**30:.3g} GiB of memory, so that "
            "none could ever begin."
        )


def _fitting(cores: int, gpus: int, shape: NodeShape) -> int:
    by_cores = cores // shape.cores_per_task
    return min(by_cores, int(gpus / shape.gpus_per_task)) if shape.gpus_per_task else by_cores


def _refuse_missing(devices: Sequence[str]) -> None:
    present = [match[1] for path in os.listdir(_DEVICES) if (match := _DEVICE.fullmatch(path))]  # noqa: PTH208
    if missing := missing_gpus(devices, present):
        raise InputError(
            f"resource: there is no GPU {missing[0]} on this machine, which has "
            f"{', '.join(sorted(present))}."
        )


def job_shape(resource: list[str] | NodeShape | None, job: Mapping[str, Any]) -> NodeShape:
    """Return what each job has, and each command in it.

    Parameters
    ----------
    resource : list of str, NodeShape or None
    job : mapping
        What was said of jobs; its cores and gpus come before those of `resource`.

    Raises
    ------
    InputError
        No command fits into such a job.
    """
    shape = resource if isinstance(resource, NodeShape) else NodeShape()
    if isinstance(resource, list):
        shape = as_shape(resource)
    cores, gpus = _cores_of(shape, job), job.get("gpus", shape.gpus_per_node)
    shape = msgspec.structs.replace(shape, cores_per_node=cores, gpus_per_node=gpus)
    if isinstance(resource, list):  # as on this machine, each slot has its share of the cores
        slots = int(gpus / shape.gpus_per_task) if shape.gpus_per_task else len(resource)
        shape = msgspec.structs.replace(shape, cores_per_task=share(cores, max(1, slots)))
    if shape.cores_per_task > cores or shape.gpus_per_task > gpus:
        raise InputError(
            f"resource: a command needs {shape.task}, but a job has {cores} cores and {gpus} GPUs"
            f"{' on each node' if shape.nodes > 1 else ''}, so that none could ever begin."
        )
    if "memory" in job:
        _refuse_too_much(shape.task, size(job["memory"], "memory"), "a job")
    return shape


def _cores_of(shape: NodeShape, job: Mapping[str, Any]) -> int:
    """Return the cores of each node; those that were said of a job are on all of its nodes."""
    if "cores" not in job:
        return shape.cores
    cores: int = job["cores"]
    if cores % shape.nodes:
        raise InputError(
            f"cores: {cores}: a job has {shape.nodes} nodes (resource: nodes), with as many cores on each: "
            f"give a multiple of {shape.nodes}."
        )
    return cores // shape.nodes


def in_jobs(scheduler: Scheduler, shape: NodeShape, max_jobs: int) -> Place:
    """Return jobs of a shape."""
    on_each = _fitting(shape.cores, shape.gpus_per_node, shape)
    slots = on_each * (shape.nodes // shape.nodes_per_task)
    return Place(scheduler, shape.task, slots, max_jobs, shape.ranks_per_node is not None)
