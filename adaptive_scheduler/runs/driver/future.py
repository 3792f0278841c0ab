"""The future of one task: what `concurrent.futures` promises, in less memory, and more to ask."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from pathlib import Path
from typing import Any, TypeVar

from adaptive_scheduler.errors import InputError
from adaptive_scheduler.runs.driver.command import EncodedCommand

T = TypeVar("T")

#: Names of `concurrent.futures._base`: its `wait` and `as_completed` read the state.
PENDING, RUNNING, FINISHED = "PENDING", "RUNNING", "FINISHED"
CANCELLED, CANCELLED_AND_NOTIFIED = "CANCELLED", "CANCELLED_AND_NOTIFIED"
_OVER = (FINISHED, CANCELLED, CANCELLED_AND_NOTIFIED)

#: Held while a condition is made, and while a future without one changes. One for all: it is
#: held for a microsecond, and a lock of its own would cost each of a million futures 100 bytes.
_making = threading.Lock()


class TaskFuture(Future[T]):
    """The result of a task, now or later.

    A million of them may wait, so the condition that `concurrent.futures.Future` makes at once
    is made when somebody waits, and so are its lists.

    Attributes
    ----------
    args : tuple
        With which the function was, or will be, called.
    settings : Settings
        With which it was submitted.
    number : int or None
        The task's id, once the manager has it.
    facts : Ended or None
        How it ended, without the value.
    """

    __slots__ = (
        "_callbacks", "_exception", "_kwargs", "_lazy_condition", "_lazy_waiters", "_owner",
        "_priority", "_result", "_state", "args", "command", "facts", "number", "settings",
    )  # fmt: skip

    def __init__(
        self, owner: Any, args: tuple[Any, ...], kwargs: dict[str, Any], settings: Any
    ) -> None:
        # not `super().__init__()`: it makes what is made lazily here
        self._owner = owner
        self.args = args
        self._kwargs = kwargs or None  # an empty dict costs 64 bytes
        self.settings = settings
        self.command: EncodedCommand | None = None
        self._priority: float | None = None
        self.number: int | None = None
        self.facts: Any = None
        self._state = PENDING
        self._result: Any = None
        self._exception: BaseException | None = None
        self._lazy_condition: threading.Condition | None = None
        self._lazy_waiters: list[Any] | None = None
        self._callbacks: list[Callable[[Future[T]], object]] | None = None

    # ---------------------------------------------------------- what the base class has at once

    @property
    def _condition(self) -> threading.Condition:  # type: ignore[override]
        if self._lazy_condition is None:
            with _making:
                if self._lazy_condition is None:
                    self._lazy_condition = threading.Condition()
        return self._lazy_condition

    @property
    def _waiters(self) -> list[Any]:  # type: ignore[override]
        if self._lazy_waiters is None:  # only called with the condition held
            self._lazy_waiters = []
        return self._lazy_waiters

    @property
    def _done_callbacks(self) -> list[Callable[[Future[T]], object]]:
        if self._callbacks is None:  # only called with the condition held
            self._callbacks = []
        return self._callbacks

    # ---------------------------------------------------------- what is known of the task

    @property
    def kwargs(self) -> dict[str, Any]:
        """Keyword arguments with which the function was, or will be, called."""
        return self._kwargs or {}

    @property
    def task(self) -> int | None:
        """The task's id; None until it is on disk."""
        return self.number

    @property
    def tag(self) -> str:
        """Its tag."""
        tag: str = self.settings.tag
        return tag

    @property
    def priority(self) -> float:
        """Its priority: the highest goes first. Set it at any time."""
        return self.settings.priority if self._priority is None else self._priority

    @priority.setter
    def priority(self, value: float) -> None:
        self._owner.prioritise([self], [value])

    @property
    def state(self) -> str:
        """``new`` (not on disk yet), ``queued`` (also if it runs), ``done``, ``failed``, ``cancelled``."""
        if self.cancelled():
            return "cancelled"
        if self.done():
            return "failed" if self._exception is not None else "done"
        return "new" if self.number is None else "queued"

    @property
    def attempts(self) -> int:
        """How often it was begun; 0 until it has ended."""
        return 0 if self.facts is None else int(self.facts.attempts)

    @property
    def job(self) -> str:
        """The job in which it ended; "" if that is not known."""
        return "" if self.facts is None else str(self.facts.job)

    @property
    def seconds(self) -> float | None:
        """That its last try took; None until it has ended."""
        return None if self.facts is None else float(self.facts.seconds)

    @property
    def folder(self) -> Path | None:
        """The folder of a command that has one."""
        return None if self.command is None else self.command.folder

    @property
    def log(self) -> Path | None:
        """The output of a command; calls print into the output of their job."""
        return None if self.command is None else self.command.log

    def read(self, name: str) -> str:
        """Return the text of a file in its folder."""
        if self.folder is None:
            raise InputError(f"read({name!r}): this task has no folder.")
        return (self.folder / name).read_text()

    # ---------------------------------------------------------- its end before its end

    def cancel(self) -> bool:
        """Cancel it: one that waits, one that was handed out, and one that runs.

        Returns False if it has ended already.
        """
        if self.done():
            return self.cancelled()
        if not super().cancel():
            return False
        try:
            self.set_running_or_notify_cancel()
        except (InvalidStateError, RuntimeError):  # cancelled twice at the same time
            return True
        self._owner.withdraw(self)
        return True

    # ---------------------------------------------------------- without a condition where nobody waits

    def set_result(self, result: T) -> None:
        """Set the value; only for who made the future."""
        if not self._finish_unwatched(result, None):
            super().set_result(result)

    def set_exception(self, exception: BaseException | None) -> None:
        """Set what it raised; only for who made the future."""
        if not self._finish_unwatched(None, exception):
            super().set_exception(exception)

    def _finish_unwatched(self, result: Any, exception: BaseException | None) -> bool:
        """Finish it without a condition, if nobody has asked for one: then nobody is to be told."""
        with _making:
            if self._lazy_condition is not None:
                return False
            if self._state in _OVER:
                raise InvalidStateError(f"{self._state}: {self!r}")
            self._result, self._exception, self._state = result, exception, FINISHED
            return True

    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._state in _OVER

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._state in (CANCELLED, CANCELLED_AND_NOTIFIED)

    def running(self) -> bool:
        """Whether it has begun and not ended."""
        return self._state == RUNNING

    def result(self, timeout: float | None = None) -> T:
        """Return the value; wait for it if need be.

        Raises
        ------
        TimeoutError
            It has not ended within `timeout` seconds.
        concurrent.futures.CancelledError
            It was cancelled.
        BaseException
            What the task raised; `TaskError` if it was lost, killed, or ran for too long.
        """
        if self._state == FINISHED and self._exception is None:
            value: T = self._result
            return value
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return what it raised, or None; wait for the end if need be."""
        if self._state == FINISHED:
            return self._exception
        return super().exception(timeout)
