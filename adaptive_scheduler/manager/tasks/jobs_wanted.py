"""How many jobs each pool should have beside those that hold tasks."""

from __future__ import annotations

from collections import Counter

from adaptive_scheduler.core.rows.run_state import RunState
from adaptive_scheduler.core.tasks.demand import PoolJobs, Tasks, jobs_beside
from adaptive_scheduler.core.tasks.resources import TaskResources


def jobs_wanted(state: RunState, now: float) -> dict[int, int]:
    """Return by shape how many jobs there should be beside those that hold tasks.

    Parameters
    ----------
    state : RunState
    now : float
        Monotonic seconds.
    """
    resources = state.tasks.resources
    free: dict[tuple[TaskResources, str], int] = {}
    for (shape, tag, _), n in state.items.tasks.queued.items():
        if n:
            free[resources[shape], tag] = free.get((resources[shape], tag), 0) + n
    jobs = _jobs_of_pools(state, now)
    return {
        shape: jobs_beside(pool, _for_it(state, shape, free), jobs.get(shape, PoolJobs()))
        for shape, pool in state.pools.by_shape.items()
    }


def _for_it(state: RunState, shape: int, free: Tasks) -> Tasks:
    """Leave out tasks for which the jobs of a pool have turned out to be too small."""
    return {of: n for of, n in free.items() if state.pools.could_hold_in(shape, *of)}


def room_of_pools(state: RunState) -> dict[int, int]:
    """Return by shape how many jobs more a pool may have: those that are about to end count, too."""
    jobs = Counter(job.record.shape for job in state.jobs.live.values() if not job.record.external)
    for submit in state.jobs.pending_submits.values():
        jobs[submit.record.shape] += submit.missing
    return {shape: pool.max_jobs - jobs[shape] for shape, pool in state.pools.by_shape.items()}


def _jobs_of_pools(state: RunState, now: float) -> dict[int, PoolJobs]:
    rows, resources = state.items.rows, state.tasks.resources
    found: dict[int, PoolJobs] = {}
    for job, held in state.items.tasks.of_job.items():
        record = state.jobs.records.get(job)
        pool = None if record is None else state.pools.by_shape.get(record.shape)
        if record is None or pool is None or record.external:
            continue
        jobs = found.setdefault(record.shape, PoolJobs())
        jobs.running += [resources[rows[item].shape] for item in held.values()]
        jobs.n += 1
        head = state.tasks.heads.get(job)
        jobs.nearly_over += head is not None and head.is_nearly_over(pool.resources.walltime, now)
    return found
