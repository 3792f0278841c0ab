"""Count the places that tasks of one kind have in the jobs of a run. No socket, no file, no clock."""

from __future__ import annotations

from adaptive_scheduler.core.rows.run_state import RunState
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.tasks.task_state import Head


def count_slots(state: RunState, resources: TaskResources, tag: str) -> int:
    """Return how many such tasks could run now if nothing else did.

    Jobs that are given nothing more do not count: those that are to leave, that end too soon for
    such a task, or whose pool was removed.
    """
    return sum(
        head.inventory.capacity_for(resources)
        for head in state.tasks.heads.values()
        if _takes(state, head, resources, tag)
    )


def _takes(state: RunState, head: Head, resources: TaskResources, tag: str) -> bool:
    pool = state.pool_of(head.view.job)
    if pool is not None and (pool.is_removed or (pool.accepts and tag not in pool.accepts)):
        return False
    is_going = bool(head.leaves) or head.view.job in state.stops.being_cancelled
    return not is_going and head.view.has_time_for(resources)
