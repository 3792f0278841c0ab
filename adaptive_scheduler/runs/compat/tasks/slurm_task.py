"""The future of a task of `SlurmExecutor`."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any

from adaptive_scheduler.runs.compat.tasks.groups import TaskID


class SlurmTask(Future[Any]):
    """A task: waits for `SlurmExecutor.finalize`, then runs in a job.

    Parameters
    ----------
    executor : SlurmExecutor
    task_id : TaskID
        Its function and its place among the tasks of that.
    """

    def __init__(self, executor: Any, task_id: TaskID) -> None:
        super().__init__()
        self.executor = executor
        self.task_id = task_id
        #: The future of the task that runs, once it was sent.
        self._sent: Future[Any] | None = None

    def follow(self, sent: Future[Any]) -> None:
        """End as `sent` does."""
        self._sent = sent
        if self.cancelled():
            sent.cancel()
        sent.add_done_callback(self._take)

    def _take(self, sent: Future[Any]) -> None:
        if sent.cancelled():
            super().cancel()
            with suppress(InvalidStateError):
                self.set_running_or_notify_cancel()
            return
        error = sent.exception()
        with suppress(InvalidStateError):  # it was cancelled meanwhile
            if error is None:
                self.set_result(sent.result())
            else:
                self.set_exception(error)

    def cancel(self) -> bool:
        """Cancel the task; returns whether it was possible."""
        if self._sent is not None and not self.done():
            return self._sent.cancel()
        return super().cancel()

    def running(self) -> bool:
        """Whether it runs in a job now."""
        return self._sent.running() if self._sent is not None else super().running()

    def result(self, timeout: float | None = None) -> Any:
        """Return the value, or raise what the function raised; waits.

        Raises
        ------
        TimeoutError
            There is none within `timeout` seconds.
        RuntimeError
            `SlurmExecutor.finalize` was not called, so it would never come.
        """
        self._refuse_unsent()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return what the function raised, or None; waits as `result` does."""
        self._refuse_unsent()
        return super().exception(timeout)

    def _refuse_unsent(self) -> None:
        if self._sent is None and not self.done() and not self.executor.is_started:
            raise RuntimeError("The tasks were not started: call finalize() of the SlurmExecutor.")

    def __repr__(self) -> str:
        return f"SlurmTask(task_id={self.task_id}, state={self._state})"

    def __await__(self) -> Generator[Any, None, Any]:
        return asyncio.wrap_future(self).__await__()
