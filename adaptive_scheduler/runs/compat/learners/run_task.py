"""`RunManager.task`: the end of a run as something to await, as adaptive-scheduler 2 has it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from adaptive_scheduler.errors import RunError

#: Words of a run that has not ended.
NOT_OVER = ("not started", "running", "held", "manager dead")


class MaxRestartsReachedError(RunError):
    """A learner has failed more often than `max_fails` of its run allows."""


class RunTask:
    """The end of a run, which no task of this process waits for: each question asks the run.

    Parameters
    ----------
    status : callable
        Returns the run's status.
    wait : callable
        Returns a coroutine that ends with the run.
    cancel : callable
        Cancels the run.
    """

    def __init__(
        self,
        status: Callable[[], Any],
        wait: Callable[[], Any],
        cancel: Callable[[], Any],
    ) -> None:
        self._status, self._wait, self._cancel = status, wait, cancel

    def done(self) -> bool:
        """Whether the run has ended."""
        return str(self._status()) not in NOT_OVER

    def cancelled(self) -> bool:
        """Whether the run was cancelled."""
        return bool(self._status() == "cancelled")

    def cancel(self) -> None:
        """Cancel the run."""
        self._cancel()

    def exception(self) -> RunError | None:
        """Why the run has failed; None if it has not."""
        status = self._status()
        return MaxRestartsReachedError(repr(status)) if status == "failed" else None

    def result(self) -> Any:
        """Return the run's status; raises RunError if it has failed or has not ended."""
        status = self._status()
        if not self.done():
            raise RunError(f"The run has not ended: {status!r}. Call run_manager.wait().")
        if (error := self.exception()) is not None:
            raise error
        return status

    def print_stack(self) -> None:
        """Print how the run stands; its manager is a process of its own."""
        print(repr(self._status()))

    def __await__(self) -> Generator[Any, None, Any]:
        waiting: Generator[Any, None, Any] = self._wait().__await__()
        return waiting
