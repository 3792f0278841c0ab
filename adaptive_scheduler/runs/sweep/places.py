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
    """

    where: Here | Scheduler
    resources: TaskResources
    slots: int
    max_jobs: int = 1


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
        gpus = [str(number) for number in range(resource.gpus_per_node)]
        _refuse_missing(gpus)
        node = resource.cores_per_node or max(mine, resource.cores)
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        _refuse_too_much(resource.task, memory, "this machine")
        return Place(Here(node, gpus), resource.task, _fitting(node, len(gpus), resource))
    if resource is None:
        each = cores or 1
        return Place(Here(mine), TaskResources(threads_per_rank=each), max(1, mine // each))
    _refuse_missing(resource)
    each = cores or share(mine, len(resource))
    resources = TaskResources(threads_per_rank=each, gpus_per_rank=1)
    return Place(Here.with_devices(resource, each * len(resource)), resources, len(resource))


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
    cores, gpus = job.get("cores", shape.cores), job.get("gpus", shape.gpus_per_node)
    shape = msgspec.structs.replace(shape, cores_per_node=cores, gpus_per_node=gpus)
    if isinstance(resource, list):  # as on this machine, each slot has its share of the cores
        slots = int(gpus / shape.gpus_per_task) if shape.gpus_per_task else len(resource)
        shape = msgspec.structs.replace(shape, cores_per_task=share(cores, max(1, slots)))
    if shape.cores_per_task > cores or shape.gpus_per_task > gpus:
        raise InputError(
            f"resource: a command needs {shape.task}, but a job has {cores} cores and {gpus} GPUs, so "
            "that none could ever begin."
        )
    if "memory" in job:
        _refuse_too_much(shape.task, size(job["memory"], "memory"), "a job")
    return shape


def in_jobs(scheduler: Scheduler, shape: NodeShape, max_jobs: int) -> Place:
    """Return jobs of a shape."""
    slots = _fitting(shape.cores, shape.gpus_per_node, shape)
    return Place(scheduler, shape.task, slots, max_jobs)
