"""Count the places that tasks of one kind have in the jobs of a run. No socket, no file, no clock."""

from __future__ import annotations

from collections.abc import Iterable

from adaptive_scheduler.core.rows.run_state import RunState
from adaptive_scheduler.core.tasks.place import NodeInventory
from adaptive_scheduler.core.tasks.resources import GPU_SHARES, TaskResources
from adaptive_scheduler.core.tasks.task_state import Head
from adaptive_scheduler.core.wire.slots import SlotCount, Slots


def count_slots(state: RunState, kind: Slots) -> SlotCount:
    """Return how many such tasks could run now if nothing else did.

    Jobs that are given nothing more have no slots: those that are to leave, that end too soon for
    such a task, or whose pool was removed.
    """
    slots = ending = 0
    for head in state.tasks.heads.values():
        if _takes(state, head, kind):
            there = head.inventory
            nodes = [node for n, node in enumerate(there.nodes) if n not in there.lost]
            slots += capacity(nodes, kind.resources)
        else:
            ending += _held(state, head, kind)
    return SlotCount(slots, ending)


def _takes(state: RunState, head: Head, kind: Slots) -> bool:
    pool = state.pool_of(head.view.job)
    if pool is not None and (pool.is_removed or (pool.accepts and kind.tag not in pool.accepts)):
        return False
    is_going = bool(head.leaves) or head.view.job in state.stops.being_cancelled
    return not is_going and head.view.has_time_for(kind.resources)


def _held(state: RunState, head: Head, kind: Slots) -> int:
    shapes = {n for n, one in enumerate(state.tasks.resources) if one == kind.resources}
    return sum(
        given.fits in shapes and given.item >= 0 and state.items.task(given.item).tag == kind.tag
        for given in head.view.mirror.given.values()
    )


def capacity(nodes: Iterable[NodeInventory], resources: TaskResources) -> int:
    """Return how many such tasks fit at a time on these nodes, while nothing else runs."""
    parts = [_parts_on(node, resources) for node in nodes]
    tasks = sum(parts) // resources.nodes
    while sum(min(one, tasks) for one in parts) < tasks * resources.nodes:
        tasks -= 1  # the parts of one task are on different nodes
    return tasks


def _parts_on(node: NodeInventory, resources: TaskResources) -> int:
    """How many tasks can have their part on one node at a time."""
    parts = len(node.cores) // resources.cores_per_node
    if resources.memory and node.memory is not None:
        parts = min(parts, node.memory // resources.memory)
    if shares := resources.gpu_shares:
        gpus = len(set(node.gpus))
        is_shared = shares < GPU_SHARES
        for_ranks = gpus * (GPU_SHARES // shares) if is_shared else gpus // (shares // GPU_SHARES)
        parts = min(parts, for_ranks // resources.ranks_per_node)
    return parts
