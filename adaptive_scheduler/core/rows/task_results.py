"""How a task has ended, as a driver is told it: by the manager, or by the disk."""

from __future__ import annotations

from collections.abc import Callable

from adaptive_scheduler.core.rows.row import Phase, TaskItem
from adaptive_scheduler.core.wire.tasks import TaskResult


def task_result(row: TaskItem, fact: Callable[[str, int], bytes | None]) -> TaskResult:
    """Return what belongs to a task's last try: those before may have left facts too.

    Parameters
    ----------
    row : TaskItem
        It has ended.
    fact : callable
        Given the type of a fact and the id of the task.
    """
    value = error = path = b""
    if row.phase is Phase.DONE:
        path = fact("path", row.id) or b""
        value = b"" if path else fact("value", row.id) or b""
    elif row.phase is Phase.FAILED:
        error = fact("error", row.id) or b""
    return TaskResult(
        row.id, row.phase.value, value, path.decode(), error, row.reason, row.code,
        row.attempts, fact("times", row.id) or b"",
    )  # fmt: skip
