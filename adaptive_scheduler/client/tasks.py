"""What goes to a worker and what comes back."""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from adaptive_scheduler.client.durations import Durations
from adaptive_scheduler.errors import UserCodeError
from adaptive_scheduler.executors import worker
from adaptive_scheduler.io.pickles import dumps_by_value

Function = Callable[[Any], Any]

#: Results that are taken before new points are asked for. With 10,000 points pending thousands came
#: back at once: their workers waited, and Python's collector went through what they left behind.
AT_A_TIME = 128


@dataclass(slots=True)
class Task:
    """A point to evaluate, and how often that failed."""

    x: Any
    function: Function
    argument: Any
    fails: int = 0


@dataclass(slots=True)
class Result:
    """What came back for a task: a value, or an error."""

    task: Task
    value: Any
    seconds: float
    error: UserCodeError | None = None


@dataclass
class Setup:
    """What workers do before the first point.

    Attributes
    ----------
    folder : str
        Their working directory.
    path : tuple of str
        Entries their `sys.path` must have.
    initializers : tuple of callables
        Run once in each worker.
    """

    folder: str = field(default_factory=os.getcwd)
    path: tuple[str, ...] = field(default_factory=lambda: tuple(filter(None, sys.path)))
    initializers: tuple[Callable[[], object], ...] = ()

    def program(self, function: Function) -> tuple[bytes, bytes]:
        """Key and pickle of what a worker needs to evaluate points of this function."""
        initializers = dumps_by_value(list(self.initializers))
        initializers_key = hashlib.blake2b(initializers, digest_size=16).digest()
        program = worker.Program(
            self.folder, self.path, initializers_key, initializers, dumps_by_value(function)
        )
        blob = pickle.dumps(program)
        return hashlib.blake2b(blob, digest_size=16).digest(), blob


class Evaluator(Protocol):
    """What evaluates points: `Evaluations` in a pool, `Coroutines` on the loop."""

    durations: Durations
    failure: BaseException | None

    @property
    def n_in_flight(self) -> int:
        """Points that have not come back."""

    def room(self) -> int:
        """How many more points should be in flight now."""

    def submit(self, tasks: list[Task], /) -> None:
        """Send points."""

    def returned(self) -> list[Result]:
        """What has come back, some `AT_A_TIME` results; look at `failure` afterwards."""

    def in_flight(self) -> list[tuple[Any, Any]]:
        """Futures and points that have not come back."""

    def take_overdue(self, limit: float) -> list[list[Any]]:
        """Points of what took longer, one message each; they are expected no more."""

    def left(self) -> list[Any]:
        """Futures that nobody expects any more although a worker still evaluates them."""

    def drop_waiting(self) -> None:
        """Take back what has not begun; send nothing more."""

    def forget(self) -> None:
        """Expect nothing more."""


def user_error(where: str, description: tuple[str, str, str, bytes | None]) -> UserCodeError:
    """The error of what `worker.describe` said; its ``__cause__`` is the exception if it travels."""
    name, message, text, pickled = description
    error = UserCodeError(where, f"{name}: {message}" if message else name, text)
    if pickled is not None:
        error.__cause__ = _cause(pickled)
    return error


def _cause(pickled: bytes) -> BaseException | None:
    try:
        cause = pickle.loads(pickled)
    except BaseException:  # noqa: BLE001  its text is in the error already
        return None
    return cause if isinstance(cause, BaseException) else None
