"""Everything a manager knows of a run: its items, its jobs, and what both share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.job_table import JobTable
from adaptive_scheduler.core.jobs.reconcile import EARLY_DEATHS
from adaptive_scheduler.core.rows.events import Lost
from adaptive_scheduler.core.rows.item_table import ItemTable
from adaptive_scheduler.core.tasks.pools import PoolTable
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
    held : str
        Why nothing is submitted until a person resumes the run; "" while it is not held.
    cancelled : bool
        The run was cancelled.
    dirty : bool
        Something happened for which the queue should be listed soon.
    being_cancelled : dict of str to float
        Jobs that a cancel was sent for, and when: they get no more work.
    barren_runs : int
        Times in a row that an item was begun and given back without one new point.
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
        self.held = ""
        self.cancelled = False
        self.dirty = True
        self.being_cancelled: dict[str, float] = {}
        self.barren_runs = 0

    @property
    def backoff_reason(self) -> str:
        """Why more jobs like the last ones would be a waste; "" if they would not."""
        early = self.jobs.early_deaths
        if self.jobs.given_work and early >= EARLY_DEATHS:
            return f"{early} jobs in a row died before they asked for work"
        if self.barren_runs >= EARLY_DEATHS and self.pools.by_shape:
            return (
                f"{self.barren_runs} jobs in a row ended before one task in them had ended: their "
                "walltime is too short, tasks take too long, or something ends them"
            )
        if self.barren_runs >= EARLY_DEATHS:
            return (
                f"{self.barren_runs} times in a row a job ended before it had evaluated one point: "
                "its walltime is too short, its point too long, or something ends it"
            )
        return ""

    @property
    def is_over(self) -> bool:
        """Whether all items have ended, and no more will come."""
        return not self.items.unfinished and (not self.tasks.is_open or self.cancelled)

    def fail_unplaceable(self, now: float) -> None:
        """Fail free tasks that no pool can ever hold, now that one is gone."""
        if not self.pools.by_shape:
            return
        for of in [of for of, n in self.items.tasks.queued.items() if n]:
            task = self.tasks.resources[of[0]]
            why = self.pools.why_none_holds(task, of[1])
            if why and not self.tasks.is_held_here(task):
                self.items.fail_class(of, why, now)

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
            self.barren_runs = 0
        elif is_over:
            self.barren_runs += 1

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
            self.barren_runs += head is not None and head.is_barren
            record = self.jobs.records.get(job)
            pool = self.pools.by_shape.get(record.shape) if record else None
            cause = "unknown" if event.crash else "goodbye"
            walltime = pool.resources.walltime if pool else None
            self.tasks.lose_head(job, event.reason, cause, now, walltime)
            self.dirty = True
        item = self.items.held_by(job)
        if item is None:
            return
        last = self.reports.pop(item.id, None)
        self.count_barren_run(last, is_over=not event.crash)
        lost = Lost(event.reason, event.crash, last, event.output)
        self.items.apply(item.id, lost, now)
        self.dirty = True
