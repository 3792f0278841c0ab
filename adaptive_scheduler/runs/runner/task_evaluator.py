"""Evaluates points as tasks of a run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from adaptive_scheduler.errors import AdaptiveSchedulerError, InputError, UserCodeError
from adaptive_scheduler.evaluation.durations import Durations
from adaptive_scheduler.evaluation.messages import (
    AT_A_TIME,
    PointResult,
    PointTask,
    named,
    point_error,
)
from adaptive_scheduler.executors import worker
from adaptive_scheduler.runs.runner.point_keys import PointKeys
from adaptive_scheduler.runs.runner.run_tasks import AnyFuture, Tasks, as_ours


@dataclass(slots=True, eq=False)
class _Flight:
    """A point in flight.

    `is_withdrawn`: it comes back without a value, unless it has begun; `is_wanted`: it was asked for
    again meanwhile.
    """

    task: PointTask
    stem: str
    key: str
    future: AnyFuture
    is_withdrawn: bool = False
    is_wanted: bool = False


class TaskEvaluator:
    """Evaluates points as tasks; an `Evaluator`.

    Parameters
    ----------
    tasks : Tasks
    keys : PointKeys
    compact : callable
        Given a point, returns what its key has of it.
    wanted : callable
        Given the `Durations` of points, returns how many should be in flight.
    wake : callable
        Called, in any thread, when a task has ended.

    Attributes
    ----------
    is_leaving : bool
        Its tasks stay in the run when it ends.
    """

    def __init__(
        self,
        tasks: Tasks,
        keys: PointKeys,
        compact: Callable[[Any], Any],
        wanted: Callable[[Durations], int],
        wake: Callable[[], None],
    ) -> None:
        self.durations = Durations()
        self.failure: BaseException | None = None
        self.is_leaving = False
        self._tasks, self._keys, self._compact = tasks, keys, compact
        self._wanted, self._wake = wanted, wake
        self._flights: dict[AnyFuture, _Flight] = {}
        self._returned: deque[Any] = deque()

    @property
    def workers(self) -> int:
        """How many points should be in flight, now."""
        return self._wanted(self.durations)

    @property
    def n_in_flight(self) -> int:
        """Points that have not come back, and may still do so."""
        return 0 if self._tasks.is_closed else len(self._flights)

    def room(self) -> int:
        """How many more points should be in flight now."""
        return max(0, self.workers - len(self._flights))

    def end_if_closed(self) -> None:
        """End the run of points, and leave those in flight, if nothing will come back; from any thread."""
        if self._tasks.is_closed and self.failure is None:
            self.is_leaving = True
            self.failure = InputError(
                "no more points can be evaluated: the executor has ended. Let the runner end before: "
                "wait() in the block of the executor. Points in flight stay in the run."
            )
            self._wake()

    # -------------------------------------------------------------- to the run

    def submit(self, tasks: Iterable[PointTask]) -> None:
        """Let points be tasks."""
        withdrawn = {one.stem: one for one in self._flights.values() if one.is_withdrawn}
        for task in tasks:
            stem = self._keys.stem(task.function, self._compact(task.x))
            flight = withdrawn.get(stem) if stem else None
            if flight is not None:  # its withdrawal is on its way
                flight.is_wanted, flight.task = True, task
            elif self.failure is None:
                self._send(task, stem)

    def _send(self, task: PointTask, stem: str) -> None:
        key = self._keys.key(stem)
        try:
            future = self._tasks.submit(task.function, task.argument, task.gain, key)
        except (AdaptiveSchedulerError, RuntimeError) as error:
            self.failure = as_ours(self._tasks.fault or error)
        else:
            self._watch(_Flight(task, stem, key, future))

    def adopt(self, task: PointTask, key: str, future: AnyFuture) -> None:
        """Take over a point that a former driver has submitted."""
        self._watch(_Flight(task, key.rpartition("#")[0], key, future))

    def _watch(self, flight: _Flight) -> None:
        self._flights[flight.future] = flight
        flight.future.add_done_callback(self._on_done)

    def _on_done(self, future: Any) -> None:
        self._returned.append(future)
        self._wake()

    def in_flight(self) -> list[tuple[Any, Any]]:
        """The futures and points that have not come back."""
        return [(future, flight.task.x) for future, flight in self._flights.items()]

    def waiting(self) -> list[PointTask]:
        """Points that have not been handed out."""
        futures = [one.future for one in self._flights.values() if not one.is_withdrawn]
        return [self._flights[future].task for future in self._tasks.waiting(futures)]

    def exchange(self, kept: list[PointTask], gone: list[PointTask]) -> None:
        """Sort points that wait by their new gains; take others back, as long as they wait."""
        flights = {id(flight.task): flight for flight in self._flights.values()}
        futures = [flights[id(task)].future for task in kept]
        self._tasks.prioritise(futures, [task.gain for task in kept])
        self._withdraw([flights[id(task)] for task in gone])

    def drop_waiting(self) -> None:
        """Take back what has not been handed out."""
        if not self.is_leaving:
            self._withdraw(list(self._flights.values()))

    def _withdraw(self, flights: list[_Flight]) -> None:
        for flight in flights:
            flight.is_withdrawn, flight.is_wanted = True, False
        self._tasks.withdraw([flight.future for flight in flights])

    def forget(self) -> None:
        """Wait no longer; what still runs is cancelled, unless it is to stay in the run."""
        flights, self._flights = self._flights, {}
        if not self.is_leaving:
            for future in flights:
                future.cancel()
        self._tasks.close()

    def take_overdue(self, limit: float) -> list[list[Any]]:  # noqa: ARG002  of `Evaluator`
        """None: tasks have a timeout of their own."""
        return []

    def abandoned(self) -> list[Any]:
        """None: what is not waited for is cancelled."""
        return []

    # -------------------------------------------------------------- from the run

    def returned(self) -> list[PointResult]:
        """The next results, some `AT_A_TIME` of them; check `failure` afterwards."""
        results: list[PointResult] = []
        while self._returned and len(results) < AT_A_TIME:
            flight = self._flights.pop(self._returned.popleft(), None)
            result = None if flight is None else self._result(flight)
            if result is not None:
                results.append(result)
        return results

    def _result(self, flight: _Flight) -> PointResult | None:
        """What came back for a point; None if that is nothing to the learner."""
        task, future = flight.task, flight.future
        error = None if future.cancelled() else future.exception()
        if not future.cancelled() and error is None:
            seconds = future.seconds or 0.0
            self.durations.add([seconds])
            return PointResult(task, future.result(), seconds)
        if flight.key:
            self._keys.note_in_vain(flight.key)
        if error is not None and (error is self._tasks.fault or future.number is None):
            self.failure = as_ours(error)  # the run is broken, or has refused it
            return None
        if error is None and flight.is_withdrawn:
            if flight.is_wanted and self.failure is None:
                self._send(task, flight.stem)
            return None
        return PointResult(task, None, future.seconds or 0.0, _why(task, future, error))


def _why(task: PointTask, future: AnyFuture, error: BaseException | None) -> UserCodeError:
    if error is None:
        what = f"nothing at {named(task)}: its task, {future.task}, was cancelled by somebody"
        return UserCodeError("function", what)
    return point_error(task, worker.describe(error))
