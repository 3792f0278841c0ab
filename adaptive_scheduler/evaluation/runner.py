"""Drives one learner: asks it for points, has them evaluated, tells it the values."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from typing import Any

import adaptive

from adaptive_scheduler.errors import PointTimeoutError, UserCodeError
from adaptive_scheduler.evaluation.choose_anew import choose_anew
from adaptive_scheduler.evaluation.messages import (
    AT_A_TIME,
    MakeEvaluator,
    PointResult,
    PointTask,
    as_ours,
    user_error,
)
from adaptive_scheduler.evaluation.options import RunnerOptions
from adaptive_scheduler.evaluation.point_goals import asks_all, points_asked
from adaptive_scheduler.evaluation.refits import Refits, has_all, is_ranking
from adaptive_scheduler.evaluation.timeouts import TimeoutWatch
from adaptive_scheduler.executors import worker
from adaptive_scheduler.io.learner_data import adaptive_load, adaptive_private

Goal = Callable[[Any], bool]

#: If it is not known how many points the goal needs: points in flight, as a share of those that are
#: known, beyond one for each worker. What is in flight when the goal is met is computed without need.
EARLY_SHARE = 1 / 4
#: If all points that the goal needs are in flight, idle workers wait for so long, in seconds and in p95s
#: of the durations; then they begin others, so that one point that hangs does not hold up the goal.
LATE, LATE_FACTOR = 1.0, 3.0


class _NoPool(concurrent.futures.Executor):
    """Stands for the executor, which only the evaluator knows; adaptive refuses a true one of an ``async def``."""

    def __bool__(self) -> bool:
        return False


class PointRunner(adaptive.AsyncRunner):  # type: ignore[misc]
    """An `adaptive.AsyncRunner` whose cost per point does not grow with the number of workers.

    Where points are evaluated is the business of its evaluator.

    Points that are in flight when the goal is met are waited for, and the learner gets them too.

    Parameters
    ----------
    learner : adaptive.BaseLearner
        The learner.
    goal : callable, optional
        Given the learner, whether to stop. None: until the learner is done,
        or never.
    make_evaluator : callable
        Given the event loop, and what to call when a point came back: returns an `Evaluator`.
    options : RunnerOptions, optional
        Retries, deadline, ...

    Attributes
    ----------
    reason : str
        Why it ended: ``"goal"``, ``"exhausted"`` (the learner has no more points to
        ask for), ``"deadline"``, ``"error"``, or what `stop` was given.
    error : Exception or None
        A `UserCodeError`, or the `BrokenExecutor` of a pool whose worker died.
    """

    def __init__(
        self,
        learner: Any,
        goal: Goal | None = None,
        *,
        make_evaluator: MakeEvaluator,
        options: RunnerOptions | None = None,
    ) -> None:
        self.options = options or RunnerOptions()
        self.reason = ""
        self.error: BaseException | None = None
        self.n_new = 0
        self._event = asyncio.Event()
        self._is_woken = False
        self._stops: list[tuple[str, float]] = []
        self._retry: deque[PointTask] = deque()
        self._failures: dict[int, tuple[PointTask, str]] = {}
        self._given_up: list[PointTask] = []
        self._held: list[PointResult] = []
        self._asks_all = asks_all(goal) or self.options.queues_all
        self._n_asked = points_asked(goal)
        self._counts_each = adaptive_private.counts_each(learner)
        self._is_held_back = False
        self._last_return = time.monotonic()
        self._n_known = adaptive_private.npoints(learner)  # and those that came since are n_new
        with adaptive_private.without_foreign_pools():
            super().__init__(
                learner,
                has_all if goal is None and is_ranking(learner) else goal,
                executor=_NoPool(),
                log=self.options.log,
                retries=self.options.retries,
                raise_if_retries_exceeded=self.options.raise_if_retries_exceeded,
            )
        self._refits = Refits(learner, self.options.fit, self._wake)
        self.evaluator = make_evaluator(self.ioloop, self._wake)

    # -------------------------------------------------------------- from outside

    def stop(self, reason: str, patience: float) -> None:
        """Ask for nothing more; take what returns within `patience` seconds. From any thread."""
        self._stops.append((reason, time.monotonic() + patience))
        self._wake()

    @property
    def failed(self) -> set[int]:
        """Numbers of the points that failed more often than `retries`."""
        return {id(task) for task in self._given_up}

    @property
    def tracebacks(self) -> list[tuple[Any, str]]:
        """Points that failed, with the traceback of the last time."""
        return [(task.x, text) for task, text in self._failures.values()]

    @property
    def to_retry(self) -> list[tuple[Any, int]]:
        """Points that failed and will be tried again, with how often they failed."""
        return [(task.x, task.fails) for task in self._retry]

    @property
    def pending_points(self) -> list[tuple[Any, Any]]:
        """Futures and points that are in flight."""
        return self.evaluator.in_flight()

    def _get_max_tasks(self) -> int:  # of adaptive, for its overhead()
        return max(1, self.evaluator.workers)

    def _wake(self) -> None:
        if not self._is_woken:
            self._is_woken = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self.ioloop.call_soon_threadsafe(self._event.set)

    # -------------------------------------------------------------- the loop

    async def _run(self) -> None:
        adaptive_private.prepare(self.learner)
        timer = self._wake_at(self.options.deadline)
        watch = TimeoutWatch(self.evaluator, self.options.point_timeout, self._end_by)
        watch.start()
        self._refit()
        try:
            while not self._should_end():
                self._refill()
                if self.evaluator.n_in_flight or self.evaluator.failure is not None:
                    await self._next_or_late()
                elif self._held:
                    self._tell_held()
                elif self.error is None:
                    self.reason = "exhausted"
                    break
            await self._drain()
        finally:
            timer.cancel()
            watch.stop()
            self._refits.close()
            self.evaluator.forget()
            adaptive_load.tidy(self.learner)
            self._cleanup()

    def _wake_at(self, moment: float | None) -> asyncio.TimerHandle:
        seconds = 1e6 if moment is None else min(1e6, max(0.0, moment - time.monotonic()))
        timer: asyncio.TimerHandle = self.ioloop.call_later(seconds, self._event.set)
        return timer

    def _end_by(self, error: PointTimeoutError) -> None:
        """End the run; the other points in flight get the time that a point usually needs."""
        if not self.reason:  # else it ends already, and the goal does not need this point
            self.error = self.error or error
            self.stop("error", self.evaluator.durations.p95)

    async def _next_or_late(self) -> None:
        if not self._is_held_back:
            await self._next()
            return
        timer = self._wake_at(self._late_at())
        await self._next()
        timer.cancel()

    def _late_at(self) -> float:
        """When idle workers begin other points, if none in flight comes back before."""
        if not self.evaluator.durations.n:
            return float("inf")  # it is not known yet how long they take
        return self._last_return + max(LATE, LATE_FACTOR * self.evaluator.durations.p95)

    async def _next(self) -> None:
        await self._event.wait()
        self._event.clear()
        self._is_woken = False  # before the results are read: a later one wakes it again
        results = self.evaluator.returned()
        if results:
            self._last_return = time.monotonic()
        for result in results:
            self._on_result(result)
        if len(self._held) >= self.options.refit_every:
            self._tell_held()
        if not self.reason:
            self._refit()
        if len(results) >= AT_A_TIME:  # there may be more: first ask for new points
            self._event.set()
            await asyncio.sleep(0)  # other tasks wait for the event loop too: saving, progress

    def _refit(self) -> None:
        """Let what waits be sorted by a model that has been fitted, or have one fitted; see `Refits`."""
        try:
            self._refits.step(self.evaluator)
        except BaseException as error:  # noqa: BLE001  the border to the user's code: anybody's model
            self.error = self.error or as_ours("surrogate", error)

    def _should_end(self) -> bool:
        if self.evaluator.failure is not None and self.error is None:
            self.error = self.evaluator.failure
        if self.error is not None:
            self.reason = "error"
        elif self._stops:
            self.reason = self._stops[0][0]
        elif self._is_met():
            self.reason = "error" if self.error is not None else "goal"
        elif self._is_late():
            self.reason = "deadline"
        return bool(self.reason)

    def _is_met(self) -> bool:
        try:
            return bool(self.goal(self.learner))
        except BaseException as error:  # noqa: BLE001  the border to the user's code
            self.error = user_error("goal", worker.describe(error))
            return True

    def _is_late(self) -> bool:
        deadline = self.options.deadline
        return deadline is not None and (
            time.monotonic() + self.evaluator.durations.p95 >= deadline
        )

    def _room(self) -> int:
        """How many more points should be in flight; not many more than the goal needs."""
        room, flying = self.evaluator.room(), self.evaluator.n_in_flight
        self._is_held_back = False
        if room <= 0 or self._asks_all:
            return room
        left = (self._n_asked or 0) - adaptive_private.npoints(self.learner) - len(self._held)
        if left <= 0:  # it asks for something else too
            left = max(self.evaluator.workers, int((self._n_known + self.n_new) * EARLY_SHARE))
        elif not self._counts_each or time.monotonic() >= self._late_at():
            left = max(self.evaluator.workers, left)
        self._is_held_back = left <= flying < self.evaluator.workers
        return min(room, left - flying)

    def _refill(self) -> None:
        while (room := self._room()) > 0:
            tasks = [self._retry.popleft() for _ in range(min(room, len(self._retry)))]
            asked = self._ask_for(room - len(tasks)) if room > len(tasks) else []
            known = self._tell_known([x for x, _ in asked]) if self.options.memo else set()
            function = self.learner.function
            tasks += [
                PointTask(x, *adaptive_private.target(function, x), gain=gain)
                for i, (x, gain) in enumerate(asked)
                if i not in known
            ]
            self._submit_tasks(tasks)
            if not known or self.error is not None:
                return

    def _ask_for(self, n: int) -> list[tuple[Any, float]]:
        if self.do_log:
            self.log.append(("ask", n))
        try:
            return adaptive_private.ask_with_gains(self.learner, n)
        except BaseException as error:  # noqa: BLE001  the border to the user's code: losses, own learners
            self.error = user_error("learner's ask", worker.describe(error))
            return []

    def _submit_tasks(self, tasks: list[PointTask]) -> None:
        try:
            self.evaluator.submit(tasks)
        except (UserCodeError, BrokenExecutor, RuntimeError) as error:
            self.error = error

    def _tell_known(self, points: list[Any]) -> set[int]:
        known = {i for i, x in enumerate(points) if x in self.options.memo}
        for i in known:
            self._tell(points[i], self.options.memo.pop(points[i]))
        return known

    async def _drain(self) -> None:
        """Wait for what is in flight, as long as the reason of the end allows."""
        self.evaluator.drop_waiting()
        begin = time.monotonic()
        while self.evaluator.n_in_flight:
            end = self._end_of_drain(begin)
            if time.monotonic() >= end:
                break
            timer = self._wake_at(end)
            await self._next()
            timer.cancel()
        while results := self.evaluator.returned():
            for result in results:
                self._on_result(result)
        self._tell_all()

    def _end_of_drain(self, begin: float) -> float:
        grace = self.options.grace_after(self.evaluator.durations.p95)
        ends = [end for _, end in self._stops]
        if self.reason == "deadline" and self.options.deadline is not None:
            return min([*ends, self.options.deadline])
        if self.options.deadline is not None:
            ends.append(self.options.deadline)
        return min([*ends, begin + grace]) if not self._stops else min(ends)

    # -------------------------------------------------------------- results

    def _on_result(self, result: PointResult) -> None:
        if result.error is None:
            self._elapsed_function_time += result.seconds / self._get_max_tasks()
            self._failures.pop(id(result.task), None)
            if self.options.refit_every > 1:
                self._held.append(result)
            else:
                self.n_new += self._tell(result.task.x, result.value)
            return
        task = result.task
        task.fails += 1
        self._failures[id(task)] = (task, result.error.traceback_text or str(result.error))
        is_soon = self.n_new > 0 or result.seconds < self.options.retry_within
        if task.fails <= self.retries and is_soon:
            self._retry.append(task)
            return
        self._given_up.append(task)
        if self.raise_if_retries_exceeded and self.error is None:
            self.error = result.error

    def _tell_held(self) -> None:
        """Tell values together, and let the learner choose anew what waits."""
        self._tell_all()
        kept_back = [*self._given_up, *self._retry]
        if self.error is not None:
            return
        try:
            choice = choose_anew(self.learner, self.evaluator, kept_back)
        except BaseException as error:  # noqa: BLE001  the border to the user's code, as of `ask`
            self.error = user_error("learner's ask", worker.describe(error))
            return
        self._submit_tasks(choice.new)  # first: no slot is to be idle meanwhile
        self.evaluator.exchange(choice.kept, choice.gone)

    def _tell_all(self) -> None:
        pairs = [(result.task.x, result.value) for result in self._held]
        self._held = []
        if adaptive_private.tells_together(self.learner):
            self.n_new += self._tell_pairs(pairs, self.learner.tell_many) if pairs else 0
        else:
            self.n_new += sum(self._tell(x, y) for x, y in pairs)

    def _tell(self, x: Any, y: Any) -> bool:
        """Whether the learner took it."""
        return bool(self._tell_pairs([(x, y)], lambda _, ys: self.learner.tell(x, *ys)))

    def _tell_pairs(self, pairs: list[tuple[Any, Any]], tell: Callable[..., Any]) -> int:
        """How many values the learner took: all or none."""
        xs, ys = [x for x, _ in pairs], [y for _, y in pairs]
        try:
            tell(xs, ys)
        except BaseException as error:  # noqa: BLE001  the border to the user's code: values, losses, arg_picker
            if self.error is None:
                named = repr(xs[0]) if len(xs) == 1 else f"one of {len(xs)} points"
                what = f"value for {named} was refused: the learner"
                self.error = user_error(what, worker.describe(error))
            return 0
        for x, y in pairs:
            if self.do_log:
                self.log.append(("tell", x, y))
            if self.options.record is not None:
                self.options.record(adaptive_private.compact(self.learner, x), y)
        return len(pairs)
