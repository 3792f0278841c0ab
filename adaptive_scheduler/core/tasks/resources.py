"""What one task occupies while it runs: nodes, ranks, threads, GPUs, memory, time."""

from __future__ import annotations

import math

import msgspec

from adaptive_scheduler.core.options.sizes import SizeLike, size
from adaptive_scheduler.core.times import TimeLike, length_text, seconds
from adaptive_scheduler.errors import InputError

#: Shares into which one GPU can be divided. Three ranks with a third of a GPU each get 333.
GPU_SHARES = 1000
#: Steps of memory and walltime between one number and twice that, where they are rounded up.
STEPS = 4
#: Nodes, ranks and threads of one task: a wrong number must not be one that no message can hold.
MOST = 1_000_000


class TaskResources(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What one task occupies inside of a job, for as long as it runs.

    Attributes
    ----------
    nodes : int
        Nodes, each with the same number of ranks.
    ranks_per_node : int
        Processes on each node.
    threads_per_rank : int
        Cores of each process.
    gpus_per_rank : float
        GPUs of each process: a whole number, or a fraction below 1 of a GPU that is shared.
    memory : int, optional
        Bytes on each node, or a text such as ``"4GB"``; None: not counted.
    walltime : float, optional
        Seconds, or a text such as ``"20m"``; a job that ends earlier is not given the task.
        None: not known.
    """

    nodes: int = 1
    ranks_per_node: int = 1
    threads_per_rank: int = 1
    gpus_per_rank: float = 0.0
    memory: int | None = None
    walltime: float | None = None

    @property
    def cores_per_node(self) -> int:
        """Cores on each node."""
        return self.ranks_per_node * self.threads_per_rank

    @property
    def gpu_shares(self) -> int:
        """Shares of a GPU that each rank gets, of `GPU_SHARES` of a whole one."""
        whole = int(self.gpus_per_rank)
        return whole * GPU_SHARES or int(self.gpus_per_rank * GPU_SHARES)

    def __str__(self) -> str:
        parts = [_count(self.nodes, "node"), f"{_count(self.cores_per_node, 'core')} on each"]
        if self.gpus_per_rank:
            parts.append(f"{self.ranks_per_node} x {self.gpus_per_rank:g} GPUs on each")
        if self.memory is not None:
            parts.append(f"{size(self.memory, 'memory') / 2**30:.3g} GiB on each")
        if self.walltime is not None:
            parts.append(f"walltime {length_text(seconds(self.walltime, 'walltime'))}")
        return ", ".join(parts)


def _count(n: int, word: str) -> str:
    return f"{n} {word}{'s' if n != 1 else ''}"


def check_resources(
    *,
    nodes: int = 1,
    ranks_per_node: int = 1,
    threads_per_rank: int = 1,
    gpus_per_rank: float = 0,
    memory: SizeLike | None = None,
    walltime: TimeLike | None = None,
) -> TaskResources:
    """Return checked `TaskResources`.

    Raises
    ------
    InputError
        Names the argument, what is wrong and what to give.
    """
    counts = {
        "nodes": nodes, "ranks_per_node": ranks_per_node, "threads_per_rank": threads_per_rank,
    }  # fmt: skip
    for name, value in counts.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InputError(f"{name}={value!r} must be a whole number of at least 1.")
        if value > MOST:
            raise InputError(f"{name}={value!r} is more than {MOST:,}.")
    return TaskResources(
        **counts,
        gpus_per_rank=_gpus(gpus_per_rank),
        memory=None if memory is None else size(memory, "memory"),
        walltime=None if walltime is None else seconds(walltime, "walltime"),
    )


def as_checked(value: object) -> TaskResources:
    """Return what a user has made, checked, with sizes and times as numbers.

    Raises
    ------
    InputError
        It is no `TaskResources`, or makes no sense.
    """
    if not isinstance(value, TaskResources):
        raise InputError(f"resources={value!r} must be TaskResources(...).")
    return check_resources(**msgspec.structs.asdict(value))


class SizeLimits(msgspec.Struct, frozen=True):
    """What nodes have of memory, and jobs of walltime: a task is not rounded up beyond the next one."""

    memory: frozenset[int] = frozenset()
    walltime: frozenset[float] = frozenset()


def rounded_up(task: TaskResources, limits: SizeLimits) -> TaskResources:
    """Return the same with memory and walltime rounded up, so that tasks of many sizes are of few kinds.

    What fits a node or a job of `limits` fits it afterwards, too.
    """
    memory, walltime = task.memory, task.walltime
    if memory is not None:
        memory = min([int(_step_above(memory)), *(n for n in limits.memory if n >= memory)])
    if walltime is not None:
        walltime = min([_step_above(walltime), *(n for n in limits.walltime if n >= walltime)])
    return msgspec.structs.replace(task, memory=memory, walltime=walltime)


def is_kept_as(task: TaskResources, kept: TaskResources) -> bool:
    """Whether `rounded_up` may have made the one of the other."""
    most = rounded_up(task, SizeLimits())
    same = msgspec.structs.replace(task, memory=kept.memory, walltime=kept.walltime) == kept
    return (
        same
        and _is_between(task.memory, kept.memory, most.memory)
        and _is_between(task.walltime, kept.walltime, most.walltime)
    )


def _is_between(least: float | None, value: float | None, most: float | None) -> bool:
    if least is None or value is None or most is None:
        return least is value
    return least <= value <= most


def _step_above(value: float) -> float:
    """Return the next step from a number on: 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, ..."""
    step = max(2.0 ** math.frexp(value)[1] / 2 / STEPS, 1.0)
    return math.ceil(value / step) * step


def _gpus(value: float) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    is_possible = is_number and (value == int(value) if value >= 1 else 0 <= value < 1)
    if not is_possible:
        raise InputError(
            f"gpus_per_rank={value!r} must be a whole number, or a fraction between 0 and 1 of one GPU."
        )
    if 0 < value < 1 / GPU_SHARES:
        raise InputError(
            f"gpus_per_rank={value!r} is too small: a GPU is divided into at most {GPU_SHARES} parts."
        )
    return float(value)
