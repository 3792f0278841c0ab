"""The tasks of a run as a person handles them: listed, looked at, cancelled, tried again."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.reasons.explanation import Explanation
from adaptive_scheduler.core.rows.row import (
    CANCELLED,
    OVER,
    RUNNING,
    TASK,
    TaskItem,
)
from adaptive_scheduler.core.tasks.pools import Pool
from adaptive_scheduler.core.wire.messages import Reply, Request
from adaptive_scheduler.core.wire.pools import AddPool, PoolList, Pools, PoolState, RemovePool
from adaptive_scheduler.core.wire.tasks import DescribeTasks, Prioritise, TaskView, TaskViews
from adaptive_scheduler.errors import InputError, RunError
from adaptive_scheduler.io.storage import row_codec
from adaptive_scheduler.io.storage.fact_line import TABLES
from adaptive_scheduler.io.storage.facts import Facts
from adaptive_scheduler.io.storage.glance import glance_with_facts
from adaptive_scheduler.io.storage.read_only import read_tables, read_with_facts
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.runs import offline
from adaptive_scheduler.runs.driver.tasks.task_table import described, read_rows
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.runs.reasons.explain import explain_item, explain_job
from adaptive_scheduler.runs.start.launch import start_and_wait
from adaptive_scheduler.runs.task_details import details

#: Tasks that one message names.
MOST = 1000


def is_of_tasks(folder: RunFolder) -> bool:
    """Whether it is a run of tasks, not of learners."""
    return read_config(folder).kind == TASK


class TaskRun:
    """What can be done with a run of tasks from outside of its driver.

    What is shown is read from disk, where everything is that was ever acknowledged; what is
    changed is changed by the manager or, if there is none, in the database.

    Parameters
    ----------
    folder : RunFolder

    Raises
    ------
    InputError
        It is a run of learners.
    """

    def __init__(self, folder: RunFolder) -> None:
        if not is_of_tasks(folder):
            raise InputError(f"{folder.home} is a run of learners: it has no tasks and no pools.")
        self.folder = folder
        self._viewer = ManagerClient(folder)

    def lives(self) -> bool:
        """Whether it has a manager."""
        return self._viewer.lives()

    def rows(self) -> list[TaskItem]:
        """Return the rows of all tasks, in the order of their ids."""
        return read_rows(self.folder)

    def table(self, choose: Callable[[list[TaskItem]], list[TaskItem]]) -> list[dict[str, Any]]:
        """Return what is known of some tasks, as `Executor.tasks` does; `choose` is given all."""
        tables, facts = read_with_facts(self.folder)
        try:
            rows = row_codec.read_items(tables, self.folder)
            chosen = choose([row for row in rows if isinstance(row, TaskItem)])
            views = self._describe([row.id for row in chosen if row.phase is RUNNING])
            return [_in_table(row, facts, views.get(row.id)) for row in chosen]
        finally:
            facts.close()

    def details(self, item: int, lines: int) -> dict[str, Any]:
        """Return all that is known of one task, with the last `lines` of its output."""
        seen, facts = glance_with_facts(self.folder)  # once: it is what takes longest
        try:
            row = seen[item]
            assert isinstance(row, TaskItem)
            known = {name: data for name in TABLES if (data := facts.get(name, item)) is not None}
        finally:
            facts.close()
        view = self._describe([item]).get(item) if row.phase is RUNNING else None
        resources = row_codec.read_resources(seen.tables)[row.shape]
        found = details(self.folder, row, known, view, lines)
        why = explain_item(self._viewer, item, seen)
        waits = why.state in ("queued", "waiting") or found.get("waits_in_job")
        return {
            "resources": str(resources),
            "waits": [one.text for one in why.reasons] if waits else [],
            "explanation": why.to_dict(),
            **found,
        }

    def explain(self, item: int) -> Explanation:
        """Say why a task does not run, or is not done, and what to do."""
        return explain_item(self._viewer, item)

    def explain_job(self, job: str) -> Explanation:
        """Say why a job does not run, or how it ended; InputError if there is none of this id."""
        return explain_job(self._viewer, job)

    def _ask(self, question: Request) -> Reply | None:
        """Ask the manager, unless there is none, or it ends just now."""
        return self._viewer.change(lambda: self._viewer.ask(question), lambda: None)

    def _describe(self, items: Sequence[int]) -> dict[int, TaskView]:
        """Ask the manager about tasks that run; those that have ended meanwhile are left out."""
        found: dict[int, TaskView] = {}
        for part in _parts(items):
            reply = self._ask(DescribeTasks(list(part)))
            if reply is None:
                return found
            assert isinstance(reply, TaskViews), reply
            found |= {view.item: view for view in reply.tasks if view.phase == RUNNING}
        return found

    # ------------------------------------------------------------------- changes

    def cancel(self, items: Sequence[int]) -> int:
        """Cancel tasks; returns how many had not ended before."""
        return self._viewer.change(
            lambda: sum(self._viewer.cancel_items(part) for part in _parts(items)),
            lambda: offline.cancel_items(self.folder, items),
        )

    def retry(self, items: Sequence[int]) -> int:
        """Queue tasks that have ended again, failures counted from zero; returns how many."""
        return self._viewer.change(
            lambda: sum(self._viewer.retry(part, reopen=True) for part in _parts(items)),
            lambda: self._retry_on_disk(items),
        )

    def _retry_on_disk(self, items: Sequence[int]) -> int:
        n = offline.retry(self.folder, frozenset(items))
        if n:
            start_and_wait(self.folder, self._viewer)
        return n

    def resume(self) -> int:
        """Go on after a cancel of the run, a hold, or the death of its manager.

        Returns how many tasks are queued again: those that were cancelled with the run.
        """
        return self._viewer.change(self._let_resume, self._resume_on_disk)

    def _resume_on_disk(self) -> int:
        n = offline.resume_tasks(self.folder)
        if n or not self._viewer.snapshot("none").over:
            start_and_wait(self.folder, self._viewer)
        return n

    def _let_resume(self) -> int:
        tables = read_tables(self.folder)
        rows = row_codec.read_items(tables, self.folder)
        was_cancelled = row_codec.read_run(tables).cancelled
        items = [row.id for row in rows if was_cancelled and row.phase is CANCELLED]
        n = sum(self._viewer.retry(part) for part in _parts(items))
        self._viewer.resume()
        return n

    def prioritise(self, items: Sequence[int], priority: float) -> int:
        """Give tasks a new priority; returns how many have not ended."""
        return self._viewer.change(
            lambda: self._let_prioritise(items, priority),
            lambda: offline.prioritise(self.folder, items, priority),
        )

    def _let_prioritise(self, items: Sequence[int], priority: float) -> int:
        rows = self.rows()
        waiting = [item for item in items if rows[item].phase not in OVER]
        for part in _parts(waiting):
            self._viewer.ask(Prioritise(list(part), [priority] * len(part)))
        return len(waiting)

    def is_served(self) -> bool:
        """Whether it has jobs, or pools that will have some."""
        return self._viewer.snapshot("none").is_served

    # ------------------------------------------------------------------- pools

    def pools(self) -> list[PoolState]:
        """Return its pools; without a manager, as the last one has left them."""
        if self.lives():
            reply = self._viewer.ask(Pools())
            assert isinstance(reply, PoolList), reply
            return reply.pools
        pools = row_codec.read_pools(read_tables(self.folder)).values()
        return [PoolState(pool, 0, 0, 0, 0, 0) for pool in pools]

    def add_pool(self, pool: Pool) -> None:
        """Add a pool, or change the settings of the one of this name."""
        self._must_live()
        self._viewer.ask(AddPool(pool))

    def remove_pool(self, name: str) -> None:
        """Let a pool end: it is given nothing more."""
        self._must_live()
        self._viewer.ask(RemovePool(name))

    def _must_live(self) -> None:
        if not self.lives():
            raise RunError(
                f"{os.fspath(self.folder.home)}: this run has no manager, so its pools cannot be "
                "changed. Call resume() first."
            )


def _parts(items: Sequence[int]) -> list[Sequence[int]]:
    return [items[n : n + MOST] for n in range(0, len(items), MOST)]


def _in_table(row: TaskItem, facts: Facts, view: TaskView | None) -> dict[str, Any]:
    waits = view is not None and not view.has_place
    return {**described(row, facts, view), "waits_in_job": waits}
