"""How a task has ended, as a driver is told it: by the manager, or by the disk."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from adaptive_scheduler.core.rows.row import Phase, TaskItem
from adaptive_scheduler.core.wire.tasks import EndKind, LastTry, TaskResult
from adaptive_scheduler.errors import DatabaseError


class Told(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """When a driver was first told an end: `end` is its number, `at` seconds since 1970."""

    end: int
    at: float


_decode_told = msgspec.msgpack.Decoder(Told).decode
_decode_try = msgspec.msgpack.Decoder(LastTry).decode


def task_result(row: TaskItem, fact: Callable[[str, int], bytes | None]) -> TaskResult:
    """Return what belongs to a task's last try: those before may have left facts too.

    Parameters
    ----------
    row : TaskItem
        It has ended.
    fact : callable
        Given the type of a fact and the id of the task.
    """
    try:
        return _task_result(row, fact)
    except DatabaseError as lost:
        end = "it was done, but what it returned" if row.phase is Phase.DONE else "how it ended"
        reason = f"{end} cannot be read: {lost} Restore that file, or run the task again."
        if row.reason:
            reason = f"{row.reason}; {reason}"
        phase = Phase.FAILED if row.phase is Phase.DONE else row.phase
        return TaskResult(row.id, phase.value, b"", "", b"", reason, row.code, row.attempts, b"")


def _task_result(row: TaskItem, fact: Callable[[str, int], bytes | None]) -> TaskResult:
    value = error = path = b""
    last_try = fact("times", row.id) or b""
    if row.phase is Phase.DONE:
        path = fact("path", row.id) or b""
        value = b"" if path else kept(fact("value", row.id), "value")
    elif row.phase is Phase.FAILED and may_have_raised(last_try):
        error = fact("error", row.id) or b""
    return TaskResult(
        row.id, row.phase.value, value, path.decode(), error, row.reason, row.code,
        row.attempts, last_try,
    )  # fmt: skip


def told(data: bytes | None, row: TaskItem) -> float | None:
    """Return when a driver was first told how a task has ended; None: it was not, of this end.

    Parameters
    ----------
    data : bytes, optional
        The fact.
    row : TaskItem
    """
    found = None if data is None else _decode_told(data)
    return found.at if found is not None and row.ended and found.end == row.ended else None


def collected(data: bytes | None, row: TaskItem) -> float | None:
    """Return `told`; None of a task that runs again: that was about another try."""
    return None if row.phase is Phase.RUNNING else told(data, row)


def kept(data: bytes | None, what: str) -> bytes:
    """Return a fact that every such task has; DatabaseError if it is gone."""
    if data is None:
        raise DatabaseError("facts", f"have no {what} of it any more.")
    return data


def may_have_raised(last_try: bytes) -> bool:
    """Whether a task's last try has an exception of its own; one before it may have raised."""
    return not last_try or _decode_try(last_try).kind is EndKind.ERROR
