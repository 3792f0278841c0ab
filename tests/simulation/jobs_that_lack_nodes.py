"""Which jobs make way for others since they lack nodes: by the words of docs/placement.md, not by the manager's code.

"A job that lacks a node for a minute, if tasks wait for it and no other job can have them: it is given
nothing more and leaves, so that another job can come."
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from adaptive_scheduler.core.rows.run_state import RunState
from adaptive_scheduler.core.tasks.place import NodeInventory
from adaptive_scheduler.core.tasks.pools import Pool
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.tasks.task_state import Head

#: "A minute".
PATIENCE = 60.0
MIB = 2**20


def nodes_there(head: Head) -> list[NodeInventory]:
    """Those of its nodes that have come and are not lost."""
    inventory = head.inventory
    return [
        node for number, node in enumerate(inventory.nodes)
        if node.cores and number not in inventory.lost
    ]  # fmt: skip


class Lacking:
    """Since when heads lack a node, as it is seen after each turn of one manager."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def note(self, heads: Mapping[str, Head], now: float) -> None:
        """Look at all heads."""
        lacking = {
            head.owner.uuid
            for head in heads.values()
            if len(nodes_there(head)) < len(head.inventory.nodes)
        }
        self._since = {uuid: self._since.get(uuid, now) for uuid in lacking}

    def for_long(self, now: float) -> set[str]:
        """Uuids of those that have lacked one for too long."""
        return {uuid for uuid, since in self._since.items() if now - since >= PATIENCE}


class WayOut:
    """What follows for a job that lacks nodes for long.

    Parameters
    ----------
    state : RunState
        What the manager knows of jobs and tasks.
    lacking : collection of str
        Uuids of heads that have lacked a node for long.
    """

    def __init__(self, state: RunState, lacking: Collection[str]) -> None:
        self._state = state
        self._lacking = lacking

    def makes_way(self, job: str, pool: Pool) -> bool:
        """Whether a job is given nothing more, for another one is to take its place."""
        heads = self._state.tasks.heads
        if heads[job].owner.uuid not in self._lacking:
            return False
        shape = self._state.jobs.records[job].shape
        there = [
            one.id for one in self._state.jobs.records.values()
            if one.shape == shape and not one.ended
        ]  # fmt: skip
        under_way = sum(
            submit.record.n - len(submit.jobs)
            for submit in self._state.jobs.pending_submits.values()
            if submit.record.shape == shape
        )
        if len(there) + under_way < pool.max_jobs or not all(one in heads for one in there):
            return False  # another one can come beside it, or is still to tell what it has
        return any(
            not any(_fits(nodes_there(heads[one]), task) for one in there)
            for task in self._waiting(pool)
        )

    def _waiting(self, pool: Pool) -> list[TaskResources]:
        """What free tasks need that a whole job of the pool has."""
        has = pool.resources
        n = has.nodes or 1
        memory = None if has.memory is None else has.memory * MIB
        gpus = [str(number) for number in range(has.gpus or 0)]
        nodes = [NodeInventory("", list(range(has.cores // n)), gpus, memory)] * n
        found = []
        for (shape, tag, _), queued in self._state.items.tasks.queued.items():
            task = self._state.tasks.resources[shape]
            is_long = has.walltime is not None and (task.walltime or 0.0) > has.walltime
            is_for_it = not pool.accepts or tag in pool.accepts
            if queued and is_for_it and not is_long and _fits(nodes, task):
                found.append(task)
        return found


def _fits(nodes: Collection[NodeInventory], task: TaskResources) -> bool:
    """Whether so many of these nodes, empty, have enough of everything."""
    return sum(_is_enough(node, task) for node in nodes) >= task.nodes


def _is_enough(node: NodeInventory, task: TaskResources) -> bool:
    ranks, gpus = task.ranks_per_node, task.gpus_per_rank
    on_a_gpu = int(1 / gpus + 1e-9) if 0 < gpus < 1 else 0
    needed = -(-ranks // on_a_gpu) if on_a_gpu else ranks * int(gpus)
    return (
        len(node.cores) >= ranks * task.threads_per_rank
        and len(set(node.gpus)) >= needed
        and (node.memory is None or (task.memory or 0) <= node.memory)
    )
