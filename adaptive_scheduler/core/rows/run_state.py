"""Everything a manager knows of a run: its items, its jobs, and what both share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.job_table import JobTable
from adaptive_scheduler.core.jobs.reconcile import EARLY_DEATHS
from adaptive_scheduler.core.jobs.stops import JobStops
from adaptive_scheduler.core.rows.events import Lost
from adaptive_scheduler.core.rows.item_table import ItemTable
from adaptive_scheduler.core.rows.row import TASK
from adaptive_scheduler.core.tasks.pools import Pool, PoolTable, no_room
from adaptive_scheduler.core.tasks.resources import SizeLimits, TaskResources
from adaptive_scheduler.core.tasks.task_state import NoFacts, TaskState
from adaptive_scheduler.core.wire.messages import Report


class RunState:
    """The data that the manager's three handlers (clients, control, jobs) work on.

    The handlers hold no reference to one another's attributes: what one has to know of another's
    decision stands here. What the next manager must know too is in the database.

    Parameters
    ----------
    items : ItemTable
    jobs : JobTable
    config : RunConfig
    combos : mapping of int to object
        Combination of parameters by item id, if the database was made with them.

    Attributes
    ----------
    pools : PoolTable
    reports : dict of int to Report
        Last report of each running item, by its id.
    stops : JobStops
        What keeps jobs from being submitted, or from getting work.
    cancelled : bool
        The run was cancelled.
    dirty : bool
        Something happened for which the queue should be listed soon.
    """

    def __init__(
        self,
        items: ItemTable,
        jobs: JobTable,
        config: RunConfig,
        combos: Mapping[int, Any] | None = None,
        tasks: TaskState | None = None,
    ) -> None:
        self.items = items
        self.jobs = jobs
        self.config = config
        self.combos: Mapping[int, Any] = combos or {}
        self.tasks = tasks or TaskState(items, NoFacts())
        self.pools = PoolTable()
        self.reports: dict[int, Report] = {}
        self.stops = JobStops()
        self.cancelled = False
        self.dirty = True

    @property
    def backoff_reason(self) -> str:
        """Why more jobs like the last ones would be a waste; "" if they would not."""
        early = self.jobs.early_deaths
        if self.jobs.given_work and early >= EARLY_DEATHS:
            return f"{early} jobs in a row died before they asked for work"
        if self.stops.barren_runs >= EARLY_DEATHS and self.pools.by_shape:
            return (
                f"{self.stops.barren_runs} jobs in a row ended before one task in them had ended: their "
                "walltime is too short, tasks take too long, or something ends them"
            )
        if self.stops.barren_runs >= EARLY_DEATHS:
            return (
                f"{self.stops.barren_runs} times in a row a job ended before it had evaluated one point: "
                "its walltime is too short, its point too long, or something ends it"
            )
        return ""

    @property
    def is_over(self) -> bool:
        """Whether all items have ended, and no more will come."""
        return not self.items.unfinished and (not self.tasks.is_open or self.cancelled)

    def is_one_too_many(self, job: str) -> bool:
        """Whether a job without an item must leave, because the run may have fewer jobs by now.

        Those that wait in the queue do not count: they are cancelled, see `reconcile`. Nor do those
        that a person has started or submitted: no limit of this run is meant for them.
        """
        most, live = self.config.limits.max_jobs, self.jobs.live
        if (
            len(live) <= most
            or self.config.kind == TASK
            or job not in live
            or not live[job].record.is_of_submit
        ):
            return False
        going = self.stops.being_cancelled
        own = (one for name, one in live.items() if name not in going and one.record.is_of_submit)
        return sum(not (one.record.goodbye or one.waits) for one in own) > most

    def pool_of(self, job: str) -> Pool | None:
        """Return the pool of a job; None if it was started by hand."""
        record = self.jobs.records.get(job)
        return None if record is None or record.external else self.pools.by_shape.get(record.shape)

    def note_nodes(self, job: str, wall: float, monotonic: float) -> None:
        """A head has told what its job has, or that a node has come or is lost."""
        head = self.tasks.heads[job]
        head.note_nodes(monotonic)
        if self.pool_of(job) is not None:
            self.pools.note_found(self.jobs.records[job].shape, head.inventory)
        self.tasks.changed = True
        self.fail_unplaceable(wall, monotonic)

    def size_limits(self) -> SizeLimits:
        """Return how much memory nodes have, and walltime jobs: as promised, and as found."""
        inventories = [pool.inventory for pool in self.pools.active.values()]
        for found in self.pools.found.values():
            inventories += found
        inventories += [head.inventory for head in self.tasks.heads.values()]
        memory = {node.memory for one in inventories for node in one.nodes if node.memory}
        times = [pool.resources.walltime for pool in self.pools.active.values()]
        return SizeLimits(frozenset(memory), frozenset(one for one in times if one))

    def why_unplaceable(self, task: TaskResources, tag: str, now: float) -> str:
        """Return, with the numbers, why nothing can ever run such a task; "" if something may.

        Parameters
        ----------
        task : TaskResources
        tag : str
        now : float
            Monotonic seconds.
        """
        lone = [
            head for job, head in self.tasks.heads.items()
            if self.pool_of(job) is None and head.view.seconds_left > 0
        ]  # fmt: skip
        if not self._knows_what_comes(bool(lone)) or self.pools.could_hold(task, tag):
            return ""
        if any(head.may_hold(task, now) for head in lone):
            return ""
        return no_room(task, tag, [*self.pools.describe(), *map(str, lone)])

    def _knows_what_comes(self, has_lone: bool) -> bool:
        """Whether all that will ever run tasks is there: pools, else heads that were joined by hand.

        Before the first one of these is there, and after the last one, nobody knows; nor does a new
        manager, until those that a former one has met have told it what they have.
        """
        for name, job in self.jobs.live.items():
            if job.record.external and not job.record.goodbye and name not in self.tasks.heads:
                return False
        if self.pools.active:
            return True
        if has_lone:
            return bool(self.pools.by_shape) or not self.pools.takes_more
        was_joined = any(record.external for record in self.jobs.records.values())
        return bool(self.pools.by_shape) and not was_joined

    def fail_unplaceable(self, wall: float, monotonic: float) -> None:
        """Fail free tasks that nothing can ever run: the last pool that could is gone, or smaller."""
        for of in [of for of, n in self.items.tasks.queued.items() if n]:
            if why := self.why_unplaceable(self.tasks.resources[of[0]], of[1], monotonic):
                self.items.fail_class(of, why, wall)

    def count_barren_run(self, report: Report | None, *, is_over: bool) -> None:
        """Count a run of an item that brought no new point; one new point resets the count.

        Parameters
        ----------
        report : Report, optional
            The last one of the run.
        is_over : bool
            Whether the run ended in a way that tells something about walltimes.
        """
        if report is not None and report.new_points:
            self.stops.barren_runs = 0
        elif is_over:
            self.stops.barren_runs += 1

    def take_back(self, job: str, event: Lost, now: float) -> None:
        """Queue the item that a job holds again, if it holds one.

        Parameters
        ----------
        job : str
        event : Lost
            How it was lost; the item's last report is added.
        now : float
            Seconds since 1970.
        """
        if job in self.items.tasks.of_job or job in self.tasks.heads:
            head = self.tasks.heads.get(job)
            self.stops.barren_runs += head is not None and head.is_barren
            pool = self.pool_of(job)
            cause = "unknown" if event.crash else "goodbye"
            walltime = pool.resources.walltime if pool else None
            self.tasks.lose_head(job, event.reason, cause, now, walltime)
            self.dirty = True
        item = self.items.held_by(job)
        if item is None:
            return
        last = self.reports.pop(item.id, None)
        self.count_barren_run(last, is_over=not event.crash)
        lost = Lost(event.reason, event.crash, last, event.output, event.how)
        self.items.apply(item.id, lost, now)
        self.dirty = True
