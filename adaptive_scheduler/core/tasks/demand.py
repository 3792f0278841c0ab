"""How many jobs the tasks of a run need.

The footprint of a task are its shares of what one job has on all its nodes: of cores, of GPUs, of
memory. A pool needs as many jobs as the shares of one kind add up to: those of tasks that run in its
jobs, and those of free ones that it could run. But what is left over of a node may be of no use: so
it needs as many jobs, too, as hold all tasks of the same resources, and as there are tasks of which a
job holds only one at a time for want of one kind. All these are the least that is needed; how tasks of all kinds are best
packed is not worked out, for when they begin others have come. A free task that several pools could run counts for each
of them: what a pool would get first, nobody knows while its jobs wait in a queue. Jobs that turn out
to be too many are cancelled while they wait, and leave when they have been idle.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from adaptive_scheduler.core.tasks.place import Inventory, parts_on
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
    no_room : int
        Of these, jobs that do not count for what is free: their walltime is nearly over, or some of
        their nodes are away.
    """

    running: list[TaskResources] = field(default_factory=list)
    n: int = 0
    no_room: int = 0


def footprint(task: TaskResources, whole: Inventory) -> tuple[float, float, float]:
    """Return which parts a task occupies of the cores, GPUs and memory of a job."""
    node, nodes = whole.nodes[0], len(whole.nodes)
    gpus = task.gpu_shares * task.ranks_per_node / max(1, len(node.gpus) * GPU_SHARES)
    memory = (task.memory or 0) / node.memory if node.memory else 0.0
    cores = task.cores_per_node / max(1, len(node.cores))
    return cores * task.nodes / nodes, gpus * task.nodes / nodes, memory * task.nodes / nodes


def at_a_time(task: TaskResources, whole: Inventory) -> tuple[int, int, int]:
    """Return how many such tasks the cores, GPUs and memory of a job are enough for, one at least."""
    on_a_node = parts_on(whole.nodes[0], task)
    cores, gpus, memory = (max(1, n * len(whole.nodes) // task.nodes) for n in on_a_node)
    return cores, gpus, memory


def jobs_for(tasks: Mapping[TaskResources, int], whole: Inventory) -> int:
    """Return how many jobs it takes at least to run all these tasks at a time."""
    least = 0.0
    parts, alone = [0.0] * 3, [0] * 3  # of cores, GPUs and memory
    for task, n in tasks.items():
        most = at_a_time(task, whole)
        least = max(least, n / min(most))
        for kind, part in enumerate(footprint(task, whole)):
            parts[kind] += part * n
            alone[kind] += n * (most[kind] == 1)
    least = max(least, *parts, *alone)
    return math.ceil(least - 1e-9)  # tenths of thirds add up to a little more than they should


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
    supply = jobs.n - jobs.no_room
    least = pool.min_jobs - supply
    queued: Counter[TaskResources] = Counter()
    for (task, tag), n in free.items():
        if n and pool.could_hold(task, tag):
            queued[task] += n
    if not queued:
        return max(0, min(room, least))
    wanted = jobs_for(queued + Counter(jobs.running), pool.inventory)
    return max(0, min(room, max(least, wanted - supply)))
