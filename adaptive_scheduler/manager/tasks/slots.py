"""Count the places that tasks of one kind have in the jobs of a run. No socket, no file, no clock."""

from __future__ import annotations

from adaptive_scheduler.core.rows.run_state import RunState
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
            slots += head.inventory.capacity_for(kind.resources)
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
