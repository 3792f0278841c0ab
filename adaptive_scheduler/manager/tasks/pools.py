"""Answer who adds, changes, removes and looks at pools. No socket, no file, no clock."""

from __future__ import annotations

from adaptive_scheduler.core.jobs.job_tracking import TrackedJob
from adaptive_scheduler.core.rows.run_state import RunState
from adaptive_scheduler.core.tasks.pools import Pool, check_pool
from adaptive_scheduler.core.tasks.resources import as_checked
from adaptive_scheduler.core.wire.messages import Ok, Owner, Refused, Reply
from adaptive_scheduler.core.wire.pools import AddPool, PoolList, Pools, PoolState, RemovePool
from adaptive_scheduler.core.wire.slots import Slots
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.manager.clients import Moment
from adaptive_scheduler.manager.tasks.request_order import RequestOrder
from adaptive_scheduler.manager.tasks.slots import count_slots

#: What drivers and people send about pools.
POOL_REQUESTS = frozenset((AddPool, RemovePool, Pools, Slots))
PoolRequest = AddPool | RemovePool | Pools | Slots


class PoolManager:
    """The pools' side of the manager.

    Parameters
    ----------
    state : RunState
    """

    def __init__(self, state: RunState) -> None:
        self._state = state

        self._order = RequestOrder()

    def handle(self, owner: Owner, number: int, request: PoolRequest, now: Moment) -> Reply:
        """Answer one request. It may come twice: done again, it changes nothing more."""
        if self._order.is_late(owner.uuid, number):
            return Refused("old_request", "a newer one of the same sender was answered before.")
        match request:
            case AddPool():
                return self._add(request.pool)
            case RemovePool():
                return self._remove(request.name, now)
            case Pools():
                return PoolList(pool_states(self._state))
            case Slots():
                return self._count(request, now)

    def _count(self, request: Slots, now: Moment) -> Reply:
        try:
            resources = as_checked(request.resources)
        except InputError as error:
            return Refused("bad_request", f"no task can need that: {error}")
        return count_slots(self._state, Slots(resources, request.tag), now.monotonic)

    def _add(self, pool: Pool) -> Reply:
        if not self._state.pools.takes_more:
            return Refused(
                "no_scheduler", "this run submits no jobs: it was started on scheduler.Here()."
            )
        try:
            pool = check_pool(pool)
        except InputError as error:
            return Refused("bad_request", str(error))
        pools = self._state.pools
        shape = pools.named(pool.name)
        if shape is not None and pools.by_shape[shape].resources != pool.resources:
            return Refused(
                "pool_exists",
                f"there is a pool {pool.name} whose jobs have other resources. Give another name, "
                "or remove that one first.",
            )
        pools.put(pool, self._state.config.shapes)
        self._state.dirty = self._state.tasks.changed = True
        return Ok()

    def _remove(self, name: str, now: Moment) -> Reply:
        if not self._state.pools.remove(name):
            if any(pool.name == name for pool in self._state.pools.by_shape.values()):
                return Ok()
            return Refused("no_such_pool", f"there is no pool {name}.")
        self._state.dirty = self._state.tasks.changed = True
        self._state.fail_unplaceable(now.wall, now.monotonic)
        return Ok()


def pool_states(state: RunState) -> list[PoolState]:
    """Return each pool of a run as it is now."""
    return [_state_of(state, shape, pool) for shape, pool in state.pools.by_shape.items()]


def _state_of(state: RunState, shape: int, pool: Pool) -> PoolState:
    jobs = [job for job in state.jobs.live.values() if job.record.shape == shape]
    heads = [head for job in jobs if (head := state.tasks.heads.get(job.id)) is not None]
    tasks = sum(len(head.view.mirror.given) for head in heads)
    waiting = sum(_is_waiting(job) for job in jobs)
    cores = sum(head.cores for head in heads)
    used = sum(head.used_cores for head in heads)
    return PoolState(pool, waiting, len(jobs) - waiting, cores, used, tasks)


def _is_waiting(job: TrackedJob) -> bool:
    return job.may_be_pending
