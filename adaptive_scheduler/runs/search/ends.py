"""How a task of a search has ended: with a number, or why not."""

from __future__ import annotations

import math
import traceback
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adaptive_scheduler.errors import USER_RAISES, AdaptiveSchedulerError, TaskError
from adaptive_scheduler.io.system.read_logs import tail
from adaptive_scheduler.runs.driver.future import TaskFuture

#: Lines of a log, or of a traceback, that are shown of a failure.
TAIL = 15


@dataclass(frozen=True)
class SearchFailure:
    """A task that has no value.

    Attributes
    ----------
    number : int
    parameters : dict
    error : BaseException
    log : Path
    """

    number: int
    parameters: dict[str, Any]
    error: BaseException
    log: Path

    def __str__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.parameters.items())
        return "\n".join([f"number {self.number} ({given}): {self.reason}", *self.details()])

    @property
    def reason(self) -> str:
        """What has happened, in a line."""
        if isinstance(self.error, AdaptiveSchedulerError):
            return str(self.error)
        if isinstance(self.error, CancelledError):
            return "it was cancelled."
        return f"{type(self.error).__name__}: {self.error}"

    def details(self) -> list[str]:
        """Return the last lines of its traceback, and of its log."""
        lines: list[str] = []
        if not isinstance(self.error, AdaptiveSchedulerError | CancelledError):
            lines = _traceback(self.error).splitlines()[-TAIL:]
        text = tail(self.log, TAIL) if self.log.exists() else None
        if text:
            lines += [f"the last lines of {self.log}:", *text.splitlines()]
        return [f"    {line}" for line in lines]


def _traceback(error: BaseException) -> str:
    """Return the traceback of the process in which it was raised."""
    if error.__cause__ is not None and type(error.__cause__).__name__ == "_RemoteTraceback":
        return str(error.__cause__).strip().strip('"').strip()
    return "".join(traceback.format_exception(error))


def value_of(future: TaskFuture[Any]) -> float:
    """Return the value of a task that has ended.

    Raises
    ------
    BaseException
        What it raised; `TaskError` if its value is no finite number.
    """
    value = future.result(0)
    try:
        number = float(value)
    except USER_RAISES:  # the border to the user's code: anybody's __float__
        raise TaskError(f"its value is {value!r:.200}, which is no number.") from None
    if not math.isfinite(number):
        raise TaskError(f"its value is {number}, which is not finite.")
    return number


def has_ended_by_itself(future: TaskFuture[Any]) -> bool:
    """Whether the task has ended; else it could not be submitted, or the run has broken."""
    return future.facts is not None or future.cancelled()
