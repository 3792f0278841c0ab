"""How many jobs each pool should have beside those that hold tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from adaptive_scheduler.core.rows.run_state import RunState
from adaptive_scheduler.core.tasks.demand import PoolJobs, Tasks, jobs_beside
from adaptive_scheduler.core.tasks.pools import Pool
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.tasks.task_state import Head


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
        jobs.no_room += head is not None and head.is_no_room(pool.resources.walltime, now)
    return found


def idle_in_vain(state: RunState, now: float) -> set[str]:
    """Return jobs without tasks that will take none: too little is left of their walltime, or of their nodes."""
    return {
        job
        for job, head in state.tasks.heads.items()
        if not head.view.mirror.given
        and (pool := state.pool_of(job)) is not None
        and head.is_no_room(pool.resources.walltime, now)
    }


def is_in_the_way(state: RunState, head: Head, now: float) -> bool:
    """Whether tasks wait for nodes that a job lacks, and no other job of its pool has or can get them.

    Then it is given nothing more, so that another job can take its place.
    """
    job, pool = head.view.job, state.pool_of(head.view.job)
    if pool is None or not head.lacks_nodes(now):
        return False
    shape = state.jobs.records[job].shape
    live = [other.id for other in state.jobs.live.values() if other.record.shape == shape]
    if not state.tasks.heads.keys() >= set(live) or room_of_pools(state)[shape] > 0:
        return False
    heads = [state.tasks.heads[other] for other in live]
    return any(
        not any(one.inventory.could_hold(task) for one in heads) for task in _waiting(state, pool)
    )


def awaits_nodes(state: RunState, head: Head, now: float) -> bool:
    """Whether nodes of a job are still to come for tasks that wait: until then it is not idle."""
    pool = state.pool_of(head.view.job)
    if pool is None or head.lacks_since is None or head.lacks_nodes(now):
        return False
    return any(True for _ in _waiting(state, pool))


def _waiting(state: RunState, pool: Pool) -> Iterator[TaskResources]:
    """What free tasks need that a job of a pool could hold."""
    for (shape, tag, _), n in state.items.tasks.queued.items():
        task = state.tasks.resources[shape]
        if n and pool.could_hold(task, tag):
            yield task
