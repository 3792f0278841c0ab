"""The future of one task: what `concurrent.futures` promises, in less memory, and more to ask."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, InvalidStateError, as_completed
from pathlib import Path
from typing import Any, TypeVar

from adaptive_scheduler.core.reasons.explanation import Explanation
from adaptive_scheduler.core.reasons.table import not_sent, not_taken
from adaptive_scheduler.core.wire.reasons import Reason
from adaptive_scheduler.core.wire.tasks import LastTry, TaskView
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.runs.driver.commands.command import EncodedCommand
from adaptive_scheduler.runs.driver.commands.value_rules import as_text
from adaptive_scheduler.runs.driver.encoding import last_try

T = TypeVar("T")

#: Names of `concurrent.futures._base`: its `wait` and `as_completed` read the state.
PENDING, FINISHED = "PENDING", "FINISHED"
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
    settings : Settings
        With which it was submitted.
    number : int or None
        The task's id, once the manager has it.
    facts : Ended or None
        How it ended, without the value.
    """

    __slots__ = (
        "_args",
        "_callbacks",
        "_command",
        "_exception",
        "_kwargs",
        "_lazy_condition",
        "_lazy_waiters",
        "_owner",
        "_priority",
        "_result",
        "_state",
        "facts",
        "number",
        "settings",
    )  # fmt: skip

    def __init__(
        self, owner: Any, args: tuple[Any, ...] | None, kwargs: dict[str, Any], settings: Any
    ) -> None:
        # not `super().__init__()`: it makes what is made lazily here
        self._owner = owner
        self._args = args  # None: on disk
        self._kwargs = kwargs or None  # an empty dict costs 64 bytes
        self.settings = settings
        self._command: EncodedCommand | None = None
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
    def args(self) -> tuple[Any, ...]:
        """Arguments with which the function was, or will be, called.

        Raises
        ------
        UnpicklableError
            They cannot be loaded here; only of a task that another process has submitted.
        """
        if self._args is None:
            self._read_spec()
        return self._args or ()

    @property
    def kwargs(self) -> dict[str, Any]:
        """Keyword arguments with which the function was, or will be, called; a command's parameters."""
        if self._args is None:
            self._read_spec()
        return self._kwargs or {}

    @property
    def command(self) -> EncodedCommand | None:
        """What is known of a command; None of a call."""
        if self._command is None and self._args is None:
            self._read_spec()
        return self._command

    @command.setter
    def command(self, command: EncodedCommand) -> None:
        self._command = command

    def _read_spec(self) -> None:
        """Read from disk what another process has submitted."""
        found = self._owner.read_spec(self)
        self._args, self._kwargs, self._command = found

    @property
    def run(self) -> Path:
        """The database of its run."""
        database: Path = self._owner.site.folder.database
        return database

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
        """How it stands; as long as it has not ended, the manager is asked.

        ``waiting`` (for others), ``queued`` (or on its way to the run), ``running`` (or handed out),
        ``done``, ``failed``, ``cancelled``.
        """
        if self.cancelled():
            return "cancelled"
        if self.done():
            return "failed" if self._exception is not None else "done"
        view = self._view()
        if view is not None:
            return view.phase
        return "waiting" if self.settings.after else "queued"

    @property
    def attempts(self) -> int:
        """How many of its tries have ended."""
        found = self._view() if self.facts is None else self.facts
        return 0 if found is None else int(found.attempts)

    @property
    def job(self) -> str:
        """The job that runs it, or ran it last; "" if there is none."""
        return str(getattr(self._last_try() or self._view(), "job", ""))

    @property
    def node(self) -> str:
        """The node on which it runs, or ran last; "" if there is none."""
        return str(getattr(self._last_try() or self._view(), "node", ""))

    @property
    def pid(self) -> int | None:
        """Its process on that node; None if it does not run, or took only a moment."""
        return getattr(self._last_try() or self._view(), "pid", None) or None

    @property
    def seconds(self) -> float | None:
        """That its last try took; None until it has ended."""
        last = self._last_try()
        return None if last is None else last.seconds

    def explain(self) -> Explanation:
        """Say why it does not run, or is not done, and what to do; printed, it is a paragraph.

        Its ``cause`` is one of those in docs/explain.md, its ``reasons`` are all that hold.
        """
        if self.number is not None:
            found: Explanation = self._owner.site.explain(self.number)
            return found
        if self.cancelled():
            why = Reason("cancelled", "it was cancelled")
        else:
            why = not_taken(str(self._exception)) if self.done() else not_sent()
        return Explanation("task", "(without an id)", self.settings.name, self.state, [why])

    def _last_try(self) -> LastTry | None:
        return last_try(self.facts)

    def _view(self) -> TaskView | None:
        """What the manager knows of it; None of one that it does not have, or does not have any more."""
        if self.number is None or self._state in _OVER:
            return None
        view: TaskView | None = self._owner.describe([self.number]).get(self.number)
        return view

    @property
    def folder(self) -> Path | None:
        """The folder of a command that has one."""
        return None if self.command is None else self.command.folder

    @property
    def log(self) -> Path | None:
        """The output of a command; calls print into the output of their job."""
        return None if self.command is None else self.command.log

    def read(self, name: str = "") -> str:
        """Return the text of a file in its folder; without a name, the output of the command."""
        if not name and self.log is not None:
            return as_text(self._owner.site.read(self.log), errors="replace")
        if self.folder is None:
            raise InputError(
                f"read({name!r}): this task has no folder. A Command has one if it has inputs=, a "
                "value= that reads a file, or {_output} or {_param_file} in its text."
            )
        return as_text(self._owner.site.read(self.folder / name))

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
            if self._state not in _OVER:
                self._result, self._exception, self._state = result, exception, FINISHED
                return True
        raise InvalidStateError(f"{self._state}: {self!r}")  # without the lock: repr() needs it

    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._state in _OVER

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._state in (CANCELLED, CANCELLED_AND_NOTIFIED)

    def running(self) -> bool:
        """Whether it has been handed to a job and has not ended; the manager is asked, as by `state`."""
        return self.state == "running"

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


def completed(
    futures: Iterable[TaskFuture[Any]], n: int | None, pop: bool, timeout: float | None
) -> Iterator[TaskFuture[Any]]:
    """Yield futures as they end, as many as `n`; with `pop` they leave the list."""
    taken: set[TaskFuture[Any]] = set()
    try:
        done: Iterator[Any] = as_completed(list(futures), timeout)  # type: ignore[arg-type]
        for future in itertools.islice(done, n):
            if pop:
                taken.add(future)
            yield future
    finally:
        if taken and isinstance(futures, list):
            futures[:] = [one for one in futures if one not in taken]
