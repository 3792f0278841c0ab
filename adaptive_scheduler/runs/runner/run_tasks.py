"""Points as tasks of an `Executor`: submitted, prioritised, withdrawn, found again."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Protocol

from adaptive_scheduler.core.rows.row import Phase
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.wire.slots import SlotCount, Slots
from adaptive_scheduler.errors import (
    AdaptiveSchedulerError,
    InputError,
    ManagerUnreachableError,
    RunError,
)
from adaptive_scheduler.optimizers.by_name import ByName
from adaptive_scheduler.runs.driver.commands.command import Command
from adaptive_scheduler.runs.driver.executor import Executor
from adaptive_scheduler.runs.driver.future import TaskFuture
from adaptive_scheduler.runs.driver.tasks.tasks_of_run import future_of

AnyFuture = TaskFuture[Any]

#: Priorities are at most so large: the gain of a learner's first points is infinite.
HIGHEST = 1e300


class Tasks(Protocol):
    """What evaluates points: an executor's tasks, or a fake."""

    @property
    def fault(self) -> Exception | None:
        """Why no task ends any more; None while they do."""

    @property
    def is_closed(self) -> bool:
        """Whether nothing comes back any more, although tasks may go on."""

    def submit(
        self, function: Callable[..., Any], argument: Any, gain: float, key: str
    ) -> AnyFuture:
        """Let a call be a task."""

    def prioritise(self, futures: Sequence[AnyFuture], gains: Sequence[float]) -> None:
        """Sort tasks that wait by new gains."""

    def withdraw(self, futures: Sequence[AnyFuture]) -> None:
        """Cancel those that have not been handed out."""

    def waiting(self, futures: Sequence[AnyFuture]) -> list[AnyFuture]:
        """Return those that have not been handed out."""

    def slots(self) -> SlotCount:
        """Return how many can run at a time now."""

    def earlier(self, is_mine: Callable[[str], bool]) -> list[tuple[str, Phase, AnyFuture | None]]:
        """Return keys, phases and futures of tasks of former drivers; no future of one that ended in vain."""

    def close(self) -> None:
        """No more will be submitted."""


class RunTasks:
    """Tasks of an executor, with its settings.

    Parameters
    ----------
    executor : Executor
        Or a view of one, as its `options` returns: its tag, resources, ... are those of the points.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._book, self._settings = executor._book, executor._settings  # noqa: SLF001  a part of the driver
        self._pins = ExitStack()
        self._pinned: dict[int, Callable[..., Any]] = {}  # kept alive, because its id() is its name

    @property
    def fault(self) -> Exception | None:
        """Why no task ends any more; None while they do."""
        return self._book.fault

    @property
    def is_closed(self) -> bool:
        """Whether nothing comes back any more, although tasks may go on."""
        return self._executor._closing.is_closed  # noqa: SLF001

    def submit(
        self, function: Callable[..., Any], argument: Any, gain: float, key: str
    ) -> AnyFuture:
        """Let a call be a task; a dict is given to a `Command` as its parameters.

        Raises
        ------
        RuntimeError
            The executor was shut down, or its run is broken.
        InputError
        """
        self._executor._check_open(function)  # noqa: SLF001
        settings = dataclasses.replace(self._settings, priority=self._priority(gain), key=key)
        if isinstance(function, ByName) and isinstance(function.function, Command):
            argument = function.argument(argument)
            function = function.function
        if isinstance(function, Command):
            if not isinstance(argument, Mapping):
                raise InputError(f"{argument!r}: points of {function!r} are dicts of parameters.")
            return self._book.submit(settings, function, (), dict(argument))
        if id(function) not in self._pinned:
            self._pinned[id(function)] = function
            self._pins.enter_context(self._book.pinned(function))
        return self._book.submit(settings, function, (argument,), {})

    def _priority(self, gain: float) -> float:
        """Return the priority of a point; that of the executor's settings is added."""
        number = float(gain)
        number = 0.0 if math.isnan(number) else number + self._settings.priority
        return max(-HIGHEST, min(HIGHEST, number))

    def prioritise(self, futures: Sequence[AnyFuture], gains: Sequence[float]) -> None:
        """Sort tasks that wait by new gains."""
        self._book.prioritise(futures, [self._priority(gain) for gain in gains])

    def withdraw(self, futures: Sequence[AnyFuture]) -> None:
        """Cancel those that have not been handed out."""
        self._book.withdraw_waiting(futures)

    def waiting(self, futures: Sequence[AnyFuture]) -> list[AnyFuture]:
        """Return those that have not been handed out; none if the manager does not answer."""
        known = {future.number: future for future in futures if future.number is not None}
        try:
            views = self._book.describe(list(known))
        except ManagerUnreachableError:
            return []  # the next time
        return [known[item] for item, view in views.items() if view.phase == Phase.QUEUED]

    def slots(self) -> SlotCount:
        """Return how many can run at a time now; RunError if the executor has ended."""
        if self.is_closed:  # to ask would start the manager again
            raise RunError("the executor has ended.")
        needs = self._settings.resources or TaskResources()
        reply = self._book.keeper.ask(Slots(needs, self._settings.tag))
        assert isinstance(reply, SlotCount), reply
        return reply

    def earlier(self, is_mine: Callable[[str], bool]) -> list[tuple[str, Phase, AnyFuture | None]]:
        """Return keys, phases and futures of tasks of former drivers; no future of one that ended in vain."""
        rows = [row for row in self._book.site.rows() if row.key and is_mine(row.key)]
        in_vain = (Phase.FAILED, Phase.CANCELLED)
        found = [
            (row.key, row.phase, None if row.phase in in_vain else future_of(self._book, row))
            for row in rows
        ]
        self._book.adopt([future for _, _, future in found if future is not None])
        return found

    def close(self) -> None:
        """No more will be submitted."""
        self._pins.close()


def as_ours(error: BaseException) -> AdaptiveSchedulerError:
    """Return an error of this package for what ends a run of points."""
    if isinstance(error, AdaptiveSchedulerError):
        return error
    return InputError(f"no more points can be evaluated: {error}.")
