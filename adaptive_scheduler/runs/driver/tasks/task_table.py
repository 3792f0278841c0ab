"""The tasks of a run as its disk has them: a table, and what each was submitted with."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import OVER, RUNNING, Phase, TaskItem
from adaptive_scheduler.core.rows.task_results import collected, task_result
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.wire.tasks import LastTry, TaskResult, TaskView
from adaptive_scheduler.errors import DatabaseError, InputError
from adaptive_scheduler.io.storage import row_codec
from adaptive_scheduler.io.storage.facts import Facts
from adaptive_scheduler.io.storage.read_only import read_tables, read_with_facts

_decode_try = msgspec.msgpack.Decoder(LastTry).decode
_NOWHERE: dict[str, Any] = {
    "job": "", "node": "", "pid": 0, "handed_out": None, "begun": None, "ended": None,
    "seconds": None,
}  # fmt: skip


def read_rows(folder: RunFolder) -> list[TaskItem]:
    """Return the rows of all tasks, in the order of their ids."""
    return _tasks_of(row_codec.read_items(read_tables(folder), folder))


def read_rows_with_resources(folder: RunFolder) -> list[tuple[TaskItem, TaskResources]]:
    """Return the rows of all tasks with what each occupies, in the order of their ids."""
    tables = read_tables(folder)
    resources = row_codec.read_resources(tables)
    rows = _tasks_of(row_codec.read_items(tables, folder))
    return [(row, resources[row.shape]) for row in rows]


def read_results(folder: RunFolder) -> list[TaskResult]:
    """Return how all tasks that have ended did so, in the order of their ids."""
    tables, facts = read_with_facts(folder)
    try:
        rows = _tasks_of(row_codec.read_items(tables, folder))
        return [task_result(row, facts.get) for row in rows if row.phase in OVER]
    finally:
        facts.close()


def _tasks_of(rows: Sequence[Any]) -> list[TaskItem]:
    return [row for row in rows if type(row) is TaskItem]


def task_table(
    folder: RunFolder,
    state: str | None = None,
    tag: str | None = None,
    views: Mapping[int, TaskView] | None = None,
) -> list[dict[str, Any]]:
    """Return what is known of each task, in the order of their ids; times are seconds since 1970.

    Parameters
    ----------
    folder : RunFolder
    state, tag : str, optional
        Only tasks of these.
    views : mapping of int to TaskView, optional
        What the manager knows of those that run.

    Raises
    ------
    InputError
        There is no such state.
    """
    if state is not None and state not in tuple(Phase):
        raise InputError(f"state={state!r}: there is no such state, but {', '.join(Phase)}.")
    tables, facts = read_with_facts(folder)
    rows = _tasks_of(row_codec.read_items(tables, folder))
    try:
        return [
            described(row, facts, (views or {}).get(row.id))
            for row in rows
            if state in (None, row.phase.value) and tag in (None, row.tag)
        ]
    finally:
        facts.close()


def described(row: TaskItem, facts: Facts, view: TaskView | None) -> dict[str, Any]:
    """Return what is known of one task; `view` is what the manager knows if it runs."""
    found = {
        "task": row.id, "state": row.phase.value, "tag": row.tag, "name": row.name, "key": row.key,
        "priority": row.priority, "attempts": row.attempts, "created": row.created or None,
    }  # fmt: skip
    reason = row.reason
    try:
        last = facts.get("times", row.id)
        when = collected(facts.get("told", row.id), row)
    except DatabaseError as lost:  # of one task: all others are to be seen
        last, when, reason = None, None, f"{reason} ({lost})".strip()
    if row.phase is RUNNING:
        where = {**_NOWHERE, "job": row.job or "", "handed_out": row.changed}
        if view is not None and view.phase == RUNNING:
            where |= {"job": view.job, "node": view.node, "pid": view.pid}
    elif last:
        where = where_and_when(_decode_try(last))
    else:
        where = _NOWHERE
    return {**found, **where, "collected": when, "reason": reason}


def where_and_when(last: LastTry) -> dict[str, Any]:
    """Return what a table shows of a task's last try."""
    return {
        "job": last.job, "node": last.node, "pid": last.pid, "handed_out": last.handed_out,
        "begun": last.begun, "ended": last.ended, "seconds": last.seconds,
    }  # fmt: skip


class Specs:
    """What tasks of a run were submitted with. Any thread may ask.

    Parameters
    ----------
    folder : RunFolder
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._facts: Facts | None = None
        self._lock = threading.Lock()

    def get(self, task: int) -> bytes:
        """Return what a task was submitted with.

        Raises
        ------
        InputError
            It is not on disk.
        """
        with self._lock:
            found = None if self._facts is None else self._facts.get("spec", task)
            if found is None:
                self._close()
                self._facts = read_with_facts(self._folder)[1]
                found = self._facts.get("spec", task)
        if found is None:
            raise InputError(f"task {task} of {self._folder.home}: its arguments are not on disk.")
        return found

    def _close(self) -> None:
        if self._facts is not None:
            self._facts.close()

    def close(self) -> None:
        """Close the files that were read."""
        with self._lock:
            self._close()
            self._facts = None
