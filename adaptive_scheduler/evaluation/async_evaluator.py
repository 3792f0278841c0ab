"""Evaluates points of an ``async def`` function on the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from adaptive_scheduler.errors import UserCodeError
from adaptive_scheduler.evaluation.durations import Durations
from adaptive_scheduler.evaluation.messages import (
    AT_A_TIME,
    Function,
    PointResult,
    PointTask,
    WorkerSetup,
    point_error,
    user_error,
)
from adaptive_scheduler.executors import worker

_Running = asyncio.Task[tuple[Any, UserCodeError | None]]


class AsyncEvaluator:
    """Evaluates points of an ``async def`` on the event loop, as adaptive's runner does.

    This process is the worker: initializers run here, before the first point.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        workers: int,
        wake: Callable[[], None],
        setup: WorkerSetup,
    ) -> None:
        self.durations = Durations()
        self._loop = loop
        self.workers = workers
        self._wake = wake
        self._setup = setup
        self._ready: dict[int, tuple[Function, Function]] = {}
        self._running: dict[_Running, tuple[PointTask, float]] = {}
        self._returned: deque[_Running] = deque()
        self.failure: BaseException | None = None

    @property
    def n_in_flight(self) -> int:
        """Coroutines that have not returned."""
        return len(self._running)

    def in_flight(self) -> list[tuple[Any, Any]]:
        """The asyncio tasks and points that have not come back."""
        return [(running, task.x) for running, (task, _) in self._running.items()]

    def room(self) -> int:
        """How many more may run now."""
        return max(0, self.workers - len(self._running))

    def submit(self, tasks: Iterable[PointTask]) -> None:
        """Start coroutines.

        Raises
        ------
        UserCodeError
            An initializer raised.
        """
        for task in tasks:
            function = (
                self._with_initializers(task.function)
                if self._setup.initializers
                else task.function
            )
            running = self._loop.create_task(_call(function, task))
            self._running[running] = (task, self._loop.time())
            running.add_done_callback(self._on_done)

    def _with_initializers(self, function: Function) -> Function:
        """The function with the globals that the initializers have set."""
        if id(function) not in self._ready:
            try:
                ready = worker.install(*self._setup.program(function))
            except BaseException as error:  # the border to the user's code
                raise user_error(worker.SETUP, worker.describe(error)) from error
            self._ready[id(function)] = ready, function  # kept alive, because its id() is its name
        return self._ready[id(function)][0]

    def _on_done(self, running: _Running) -> None:
        self._returned.append(running)
        self._wake()

    def returned(self) -> list[PointResult]:
        """The next results, some `AT_A_TIME` of them."""
        results: list[PointResult] = []
        while self._returned and len(results) < AT_A_TIME:
            running = self._returned.popleft()
            found = self._running.pop(running, None)
            if found is None:
                continue
            task, begin = found
            seconds = self._loop.time() - begin
            self.durations.add([seconds])
            value, error = running.result()
            results.append(PointResult(task, value, seconds, error))
        return results

    def take_overdue(self, limit: float) -> list[list[Any]]:
        """Cancel the coroutines that have run for longer; returns their points."""
        begun_before = self._loop.time() - limit
        late = [
            one
            for one, (_, begin) in self._running.items()
            if begin < begun_before and not one.done()
        ]
        points = [[self._running.pop(running)[0].x] for running in late]
        for running in late:
            running.cancel()
        return points

    def abandoned(self) -> list[Any]:
        """None: what is not waited for is cancelled."""
        return []

    def waiting(self) -> list[PointTask]:
        """None: all have begun."""
        return []

    def exchange(self, kept: list[PointTask], gone: list[PointTask]) -> None:
        """Do nothing: all have begun."""

    def drop_waiting(self) -> None:
        """Do nothing: all have begun."""

    def forget(self) -> None:
        """Cancel all that is in flight."""
        for running in self._running:
            running.cancel()
        self._running.clear()


async def _call(function: Function, task: PointTask) -> tuple[Any, UserCodeError | None]:
    """The value or the error; it never raises: a SystemExit would end the loop, and the client."""
    try:
        return await function(task.argument), None
    except BaseException as error:  # noqa: BLE001  the border to the user's code
        return None, point_error(task, worker.describe(error))
