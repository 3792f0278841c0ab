"""How many jobs the tasks of a run need.

The footprint of a task is the largest of its shares of what one job has: of cores, of GPUs, of
memory. A pool needs as many jobs as its footprints add up to: those of tasks that run in its jobs,
and those of free ones that it could run. A free task that several pools could run counts for each
of them: what a pool would get first, nobody knows while its jobs wait in a queue. Jobs that turn out
to be too many are cancelled while they wait, and leave when they have been idle.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from adaptive_scheduler.core.tasks.place import Inventory
from adaptive_scheduler.core.tasks.pools import Pool
from adaptive_scheduler.core.tasks.resources import GPU_SHARES, TaskResources

#: Task resources and tag -> how many tasks.
Tasks = Mapping[tuple[TaskResources, str], int]


@dataclass
class PoolJobs:
    """The jobs of one pool that hold tasks.

    Attributes
    ----------
    running : list of TaskResources
        What they hold.
    n : int
        How many jobs these are.
    nearly_over : int
        Of these, jobs whose walltime is nearly over: what is free, they will not run.
    """

    running: list[TaskResources] = field(default_factory=list)
    n: int = 0
    nearly_over: int = 0


def footprint(task: TaskResources, whole: Inventory) -> float:
    """Return which part of a job a task occupies."""
    (node,) = whole.nodes
    shares = [task.cores_per_node / max(1, len(node.cores))]
    if task.gpu_shares and node.gpus:
        shares.append(task.gpu_shares * task.ranks_per_node / (len(node.gpus) * GPU_SHARES))
    if task.memory and node.memory:
        shares.append(task.memory / node.memory)
    return min(1.0, max(shares))


def jobs_beside(pool: Pool, free: Tasks, jobs: PoolJobs) -> int:
    """Return how many jobs a pool should have beside those that hold tasks.

    Parameters
    ----------
    pool : Pool
    free : mapping
        Tasks that wait to be handed out.
    jobs : PoolJobs
    """
    if pool.is_removed:
        return 0
    room = pool.max_jobs - jobs.n
    supply = jobs.n - jobs.nearly_over
    least = pool.min_jobs - supply
    whole = pool.inventory
    queued = _sum(
        (footprint(task, whole), n)
        for (task, tag), n in free.items()
        if n and pool.could_hold(task, tag)
    )
    if not queued:
        return max(0, min(room, least))
    running = _sum((footprint(task, whole), 1) for task in jobs.running)
    # tenths of thirds add up to a little more than they should
    wanted = math.ceil(queued + running - 1e-9)
    return max(0, min(room, max(least, wanted - supply)))


def _sum(parts: Iterable[tuple[float, int]]) -> float:
    return sum(share * n for share, n in parts)
