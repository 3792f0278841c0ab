"""`TasksOfRun`: the tasks of an executor's run, whoever submitted them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from adaptive_scheduler.core.reasons.explanation import Explanation
from adaptive_scheduler.core.rows.row import TaskItem
from adaptive_scheduler.errors import AdaptiveSchedulerError, InputError
from adaptive_scheduler.runs.driver.future import TaskFuture
from adaptive_scheduler.runs.driver.settings import Settings
from adaptive_scheduler.runs.driver.task_book import TaskBook


class TasksOfRun:
    """The tasks of a run as an executor shows them: futures, a table, and why one does not run.

    Parameters
    ----------
    book : TaskBook
        Which takes up the futures that are made here.
    """

    def __init__(self, book: TaskBook) -> None:
        self._book = book

    def futures(self) -> list[TaskFuture[Any]]:
        """Return new futures of all tasks, in the order of their ids."""
        found = [future_of(self._book, row) for row in self._book.site.rows()]
        self._book.adopt(found)
        return found

    def futures_of(self, keys: Collection[str]) -> dict[str, TaskFuture[Any]]:
        """Return new futures of the tasks that have one of these keys, by their keys."""
        rows = [row for row in self._book.site.rows() if row.key in keys]
        found = {row.key: future_of(self._book, row) for row in rows}
        self._book.adopt(list(found.values()))
        return found

    def table(self, state: str | None, tag: str | None) -> list[dict[str, Any]]:
        """Return what is known of each; of those that run the manager knows where."""
        table = self._book.site.table(state, tag)
        running = [row["task"] for row in table if row["state"] == "running"]
        views = self._book.describe(running) if running else {}
        for row in table:
            view = views.get(row["task"])
            if view is not None and view.phase == "running":
                row |= {"job": view.job, "node": view.node, "pid": view.pid}
        return table

    def count_unfinished(self, *, only_own: bool) -> int:
        """How many have not ended: those of this program, or of the whole run. Raises nothing."""
        if only_own:
            return self._book.unfinished
        try:
            return self._book.site.count_unfinished()
        except AdaptiveSchedulerError:  # no run any more: a repr() must not raise
            return self._book.unfinished

    def explain(self, task: TaskFuture[Any] | int) -> Explanation:
        """Say why one does not run, or is not done; InputError if it is none of this run."""
        if isinstance(task, TaskFuture):
            if task.run != self._book.site.folder.database:
                raise InputError(f"explain: {task!r} is no future of this run.")
            return task.explain()
        if isinstance(task, bool) or not isinstance(task, int):
            raise InputError(f"explain({task!r}): give a future of this run, or the id of a task.")
        return self._book.site.explain(task)


def future_of(book: TaskBook, row: TaskItem) -> TaskFuture[Any]:
    """Return a future of a task that the run has; its book must still adopt it."""
    settings = Settings(
        row.priority, row.tag, row.name, row.key, None, row.policy, row.timeout, (),
        is_command=not row.function,
    )  # fmt: skip
    future: TaskFuture[Any] = TaskFuture(book, None, {}, settings)
    future.number = row.id
    return future
