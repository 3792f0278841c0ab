"""Count the places that tasks of one kind have in the jobs of a run. No socket, no file, no clock."""

from __future__ import annotations

from adaptive_scheduler.core.rows.run_state import RunState
from adaptive_scheduler.core.tasks.place import capacity
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.tasks.task_state import Head
from adaptive_scheduler.core.wire.slots import SlotCount, Slots


def count_slots(state: RunState, kind: Slots, now: float) -> SlotCount:
    """Return how many such tasks could run now if nothing else did.

    Jobs that are given nothing more have no slots: those that are to leave, that end too soon for
    such a task, or whose pool was removed. `now` is in monotonic seconds.
    """
    slots = ending = 0
    needs = state.tasks.submitted.as_kept(kind.resources, state.size_limits)
    numbers = state.tasks.submitted.numbers_of(kind.resources)
    for head in state.tasks.heads.values():
        if _takes(state, head, needs, kind.tag):
            there = head.inventory
            nodes = [node for n, node in enumerate(there.nodes) if n not in there.lost]
            slots += capacity(nodes, needs)
        else:
            ending += _held(state, head, numbers, kind.tag)
    return SlotCount(slots, ending, state.why_unplaceable(kind.resources, kind.tag, now))


def _takes(state: RunState, head: Head, needs: TaskResources, tag: str) -> bool:
    pool = state.pool_of(head.view.job)
    if pool is not None and (pool.is_removed or (pool.accepts and tag not in pool.accepts)):
        return False
    is_going = bool(head.leaves) or head.view.job in state.stops.being_cancelled
    return not is_going and head.view.has_time_for(needs)


def _held(state: RunState, head: Head, numbers: set[int], tag: str) -> int:
    return sum(
        given.fits in numbers and given.item >= 0 and state.items.task(given.item).tag == tag
        for given in head.view.mirror.given.values()
    )
