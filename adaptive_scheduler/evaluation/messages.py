"""What goes to a worker, what comes back, and how its errors are reported."""

from __future__ import annotations

import asyncio
import os
import pickle
import reprlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

from adaptive_scheduler.errors import AdaptiveSchedulerError, UserCodeError
from adaptive_scheduler.evaluation.durations import Durations
from adaptive_scheduler.executors import worker
from adaptive_scheduler.io.pickling.by_value import dumps_by_value

Function = Callable[[Any], Any]

#: Results that are processed before new points are asked for. With 10,000 points in flight thousands
#: came back at once: their workers waited for new ones meanwhile.
AT_A_TIME = 128


@dataclass(slots=True)
class PointTask:
    """A point to evaluate, how often that failed, and the loss that it is expected to take away."""

    x: Any
    function: Function
    argument: Any
    fails: int = 0
    gain: float = 0.0


@dataclass(slots=True)
class PointResult:
    """What came back for a point: a value, or an error."""

    task: PointTask
    value: Any
    seconds: float
    error: UserCodeError | None = None


@dataclass
class WorkerSetup:
    """What workers do before the first point.

    Attributes
    ----------
    folder : str
        Their working directory.
    path : tuple of str
        Entries their `sys.path` must have.
    initializers : tuple of callables
        Run once in each worker.
    programs : Path, optional
        Where workers read large functions.
    """

    folder: str = field(default_factory=os.getcwd)
    path: tuple[str, ...] = field(default_factory=lambda: tuple(filter(None, sys.path)))
    initializers: tuple[Callable[[], object], ...] = ()
    programs: Path | None = None

    def program(self, function: Function) -> tuple[bytes, bytes]:
        """Key and pickle of what a worker needs to evaluate points of this function."""
        initializers = self._pickled_initializers
        program = worker.Program(
            self.folder,
            self.path,
            worker.digest(initializers),
            initializers,
            dumps_by_value(function),
        )
        blob = pickle.dumps(program)
        return worker.digest(blob), blob

    @cached_property
    def _pickled_initializers(self) -> bytes:
        return dumps_by_value(list(self.initializers)) if self.initializers else b""


class Evaluator(Protocol):
    """What evaluates points: `PoolEvaluator` in a pool, `AsyncEvaluator` on the loop.

    Attributes
    ----------
    durations : Durations
    failure : Exception or None
        What ended the evaluations: a broken pool, or an initializer that raised.
    """

    durations: Durations
    failure: BaseException | None

    @property
    def workers(self) -> int:
        """How many points it evaluates at a time, now."""

    @property
    def n_in_flight(self) -> int:
        """Points that have not come back."""

    def room(self) -> int:
        """How many more points should be in flight now."""

    def submit(self, tasks: list[PointTask], /) -> None:
        """Send points."""

    def returned(self) -> list[PointResult]:
        """The next results, some `AT_A_TIME` of them; check `failure` afterwards."""

    def in_flight(self) -> list[tuple[Any, Any]]:
        """Futures and points that have not come back."""

    def take_overdue(self, limit: float) -> list[list[Any]]:
        """Points of messages that took longer, a list for each; they are not waited for any more."""

    def abandoned(self) -> list[Any]:
        """Futures that are not waited for any more, although a worker still evaluates them."""

    def waiting(self) -> list[PointTask]:
        """Points in flight that are known not to have begun, and may still be exchanged."""

    def exchange(self, kept: list[PointTask], gone: list[PointTask]) -> None:
        """Sort points that wait by their new gains; take others back, as long as they wait."""

    def drop_waiting(self) -> None:
        """Cancel what has not begun; send nothing more."""

    def forget(self) -> None:
        """Do not wait any longer for what is in flight."""


#: Makes the evaluator of a run, given its event loop, and what to call, in any thread, when a point
#: came back.
MakeEvaluator = Callable[[asyncio.AbstractEventLoop, Callable[[], None]], Evaluator]


def user_error(
    where: str, description: tuple[str, str, str, bytes | None], at: str = ""
) -> UserCodeError:
    """The error that `worker.describe` describes; its ``__cause__`` is the exception if it could be pickled.

    `at` names the point: ``x=0.3 (offset=0.2)``.
    """
    name, message, text, pickled = description
    head = f"{name} at {at}" if at else name
    tail = f"{text.rstrip()}\nat {at}\n" if at else text
    error = UserCodeError(where, f"{head}: {message}" if message else head, tail)
    if pickled is not None:
        error.__cause__ = _cause(pickled)
    return error


def as_ours(where: str, error: BaseException) -> AdaptiveSchedulerError:
    """The error itself, if it is of this package, else that of the user's code."""
    if isinstance(error, AdaptiveSchedulerError):
        return error
    return user_error(where, worker.describe(error))


def point_error(task: PointTask, description: tuple[str, str, str, bytes | None]) -> UserCodeError:
    """The error of the user's function at one point."""
    return user_error("function", description, named(task))


def named(task: PointTask) -> str:
    """The arguments of a call, shortened: ``x=0.3 (offset=0.2)``."""
    bound: dict[str, Any] = {}
    function = task.function
    places: tuple[Any, ...] = ()
    if isinstance(function, partial):
        places, bound = function.args, function.keywords
    parts = [shortened(value) for value in places]
    parts += [f"{name}={shortened(value)}" for name, value in bound.items()]
    return f"x={shortened(task.argument)}" + (f" ({', '.join(parts)})" if parts else "")


class _Short(reprlib.Repr):
    """Shortens values for people: large ones to their beginning or their shape."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = 60
        self.maxlevel = 3

    def repr_instance(self, x: Any, level: int) -> str:
        """Describe a large array or object; its full text may take longer than the point did."""
        shape = getattr(x, "shape", None)
        if isinstance(shape, tuple) and not shape:  # a number of numpy's
            return repr(x.item())
        if isinstance(shape, tuple) and getattr(x, "size", 0) > _MANY:
            return f"<{type(x).__name__} of shape {shape}>"
        if type(x).__repr__ is object.__repr__:  # type: ignore[comparison-overlap]  # no address
            return f"<{type(x).__name__}>"
        return " ".join(str(super().repr_instance(x, level)).split())


#: An array with more elements is described by its shape.
_MANY = 6
_LONGEST = 100
_short = _Short()


def shortened(value: Any) -> str:
    """A value on one line of at most some 100 letters."""
    try:
        text = _short.repr(value)
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    except BaseException:  # noqa: BLE001  a broken __repr__ of the user's
        return f"<{type(value).__name__}>"


def _cause(pickled: bytes) -> BaseException | None:
    try:
        cause = pickle.loads(pickled)
    except BaseException:  # noqa: BLE001  its text is in the error already
        return None
    return cause if isinstance(cause, BaseException) else None
