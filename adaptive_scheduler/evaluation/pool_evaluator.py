"""Evaluates points in a pool of workers, several in one message where the function is fast.

A point that comes back costs the same whatever is in flight: the futures' callbacks append to one
queue, and wake the event loop once.
"""

from __future__ import annotations

import pickle
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import BrokenExecutor, Future
from concurrent.futures import Executor as Pool
from dataclasses import dataclass
from itertools import islice
from typing import Any

from adaptive_scheduler.evaluation.durations import Durations
from adaptive_scheduler.evaluation.messages import (
    AT_A_TIME,
    Function,
    PointResult,
    PointTask,
    WorkerSetup,
    named,
    point_error,
    user_error,
)
from adaptive_scheduler.evaluation.timeouts import StartTimes
from adaptive_scheduler.executors import worker
from adaptive_scheduler.io.pickling import program_file
from adaptive_scheduler.io.pickling.by_value import dumps_by_value

#: Points that take longer than this (seconds) are sent one by one, one to a worker.
SLOW = 0.02
#: Seconds of work in a message, and points at most: for learners that choose by
#: the values, and for those that do not.
MESSAGE, BLIND_MESSAGE = 0.002, 0.01
MAX_BATCH, MAX_BLIND_BATCH = 16, 512
#: With many points known, slightly stale choices do little harm: then messages may grow to this
#: size, as long as the points in flight are at most this share of those that came back.
MAX_LATE_BATCH, LATE_SHARE = 64, 1 / 25
#: Functions of more bytes are read by workers from a file: mpi4py sends long messages in pieces,
#: and sleeps between them.
LARGE = 2**18
#: Messages to a worker at a time, so that a fast one does not wait for the next.
AHEAD = 2
#: Seconds after which a worker begins no other point of a message: the rest is sent again.
BUDGET = 0.05
#: Where points are timed: seconds that a worker may take to start and to run the initializers.
SETUP = 600.0


@dataclass(slots=True)
class _Program:
    key: bytes
    blob: bytes
    function: Function  # kept alive, because its id() is its name
    file: str | None = None
    sent: int = 0

    def to_send(self) -> bytes | str:
        """The blob, or the file in which a worker finds it."""
        return self.blob if self.file is None else self.file


@dataclass(slots=True, eq=False)
class _Message:
    program: _Program
    tasks: Sequence[PointTask]
    future: Future[Any] | None = None
    with_program: bool = False


class PoolEvaluator:
    """Evaluates points in a pool.

    Parameters
    ----------
    pool : concurrent.futures.Executor
        Where they are evaluated.
    workers : int
        How many it evaluates at a time.
    wake : callable
        Called, in any thread, when a message came back.
    setup : WorkerSetup
        What workers do before their first point.
    is_blind : bool
        Whether many points may be in flight without harm; see `adaptive_private.is_blind`.
    is_timed : bool
        Whether `take_overdue` will be called; then the setup of a worker is not timed as a point.
    """

    def __init__(
        self,
        pool: Pool,
        workers: int,
        wake: Callable[[], None],
        setup: WorkerSetup,
        *,
        is_blind: bool = False,
        is_timed: bool = False,
    ) -> None:
        self.durations = Durations()
        self.n_in_flight = 0
        self._pool = pool
        self.workers = workers
        self._wake = wake
        self._setup = setup
        self._is_blind = is_blind
        self._programs: dict[int, _Program] = {}
        self._messages: dict[Future[Any], _Message] = {}
        self._starts: StartTimes[_Message] | None = StartTimes(workers) if is_timed else None
        self._abandoned: list[Future[Any]] = []
        self._returned: deque[Future[Any]] = deque()
        self._is_closing = False
        #: What ended the evaluations: a broken pool, or an initializer that raised.
        self.failure: BaseException | None = None

    # -------------------------------------------------------------- to the workers

    def batch(self) -> int:
        """How many points the next message should hold."""
        average = self.durations.average
        if not self.durations.n or average > SLOW:
            return 1
        seconds, most = (
            (BLIND_MESSAGE, MAX_BLIND_BATCH) if self._is_blind else (MESSAGE, self._most())
        )
        return max(1, min(most, int(seconds / max(average, 1e-9))))

    def _most(self) -> int:
        """Points of a message, for a learner that chooses by the values."""
        share = int(self.durations.n * LATE_SHARE / (self.workers * AHEAD))
        return min(MAX_LATE_BATCH, max(MAX_BATCH, share))

    def room(self) -> int:
        """How many more points should be in flight now."""
        is_fast = self.durations.n and self.durations.average <= SLOW
        ahead = AHEAD if is_fast else 1
        return max(0, self.workers * ahead * self.batch() - self.n_in_flight)

    def submit(self, tasks: Iterable[PointTask]) -> None:
        """Send points to the workers.

        Raises
        ------
        UserCodeError
            The function cannot be pickled.
        """
        by_function: dict[int, list[PointTask]] = {}
        for task in tasks:
            by_function.setdefault(id(task.function), []).append(task)
        size = self.batch()
        for group in by_function.values():
            rest = iter(group)
            while part := list(islice(rest, size)):
                program = self._program(part[0].function)
                first = program.sent < self.workers
                self._send(_Message(program, part), with_program=first)

    def _program(self, function: Function) -> _Program:
        program = self._programs.get(id(function))
        if program is None:
            try:
                key, blob = self._setup.program(function)
            except BaseException as error:  # the border to the user's code
                raise user_error("function", worker.describe(error)) from error
            program = self._programs[id(function)] = _Program(key, blob, function)
            if self._setup.programs is not None and len(blob) > LARGE:
                program.file = program_file.write_program(self._setup.programs, key, blob)
        return program

    def _send(self, message: _Message, *, with_program: bool) -> None:
        program = message.program
        program.sent += 1
        message.with_program = with_program
        message.future = self._pool.submit(
            worker.evaluate if self._starts is None else worker.evaluate_when_ready,
            program.key,
            program.to_send() if with_program else None,
            _arguments(message.tasks),
            BUDGET,
        )
        self.n_in_flight += len(message.tasks)
        self._messages[message.future] = message
        if self._starts is not None:
            self._starts.note_sent(message, time.monotonic())
        message.future.add_done_callback(self._on_done)

    def in_flight(self) -> list[tuple[Future[Any] | None, Any]]:
        """The futures and points that have not come back."""
        return [(m.future, task.x) for m in self._messages.values() for task in m.tasks]

    def _on_done(self, future: Future[Any]) -> None:
        self._returned.append(future)
        self._wake()

    # -------------------------------------------------------------- from the workers

    def returned(self) -> list[PointResult]:
        """The next results, some `AT_A_TIME` of them; check `failure` afterwards."""
        results: list[PointResult] = []
        while self._returned and len(results) < AT_A_TIME:
            future = self._returned.popleft()
            if future in self._messages:
                results += self._results(self._take_out(future), future)
        return results

    def _results(self, message: _Message, future: Future[Any]) -> list[PointResult]:
        try:
            if future.cancelled():  # one that was cancelled here is not in _messages any more
                raise BrokenExecutor("the pool has cancelled a point that it was given")
            kind, records = future.result()
        except BaseException as error:  # noqa: BLE001  the border to the pool: whatever it raises ends the run
            self.failure = error
            return []
        if kind in (worker.MISSING, worker.READY):
            if message.with_program and kind == worker.MISSING:
                message.program.file = None  # that worker cannot read it
            self._send_again(message, with_program=kind == worker.MISSING)
            return []
        if kind == worker.SETUP_FAILED:
            self.failure = user_error(worker.SETUP, records[0][1])
            return []
        self.durations.add([seconds for _, _, seconds in records])
        left = message.tasks[len(records) :]
        if left:
            self._send_again(_Message(message.program, left))
        return [_result(task, record) for task, record in zip(message.tasks, records, strict=False)]

    def _send_again(self, message: _Message, *, with_program: bool = True) -> None:
        if self._is_closing:
            return
        try:
            self._send(message, with_program=with_program)
        except (BrokenExecutor, RuntimeError) as error:
            self.failure = error

    def waiting(self) -> list[PointTask]:
        """None: whether a message has begun is not known."""
        return []

    def exchange(self, kept: list[PointTask], gone: list[PointTask]) -> None:
        """Do nothing: none is known to wait."""

    def drop_waiting(self) -> None:
        """Cancel the points that no worker has begun; nothing more is sent."""
        self._is_closing = True
        for future in list(self._messages):
            if future.cancel():
                self._forget(future)

    def forget(self) -> None:
        """Do not wait any longer for what is in flight."""
        for future in list(self._messages):
            self._forget(future)
        for program in self._programs.values():
            if program.file is not None:
                program_file.remove_program(program.file)
                program.file = None

    def _forget(self, future: Future[Any] | None) -> None:
        if future is not None and future in self._messages:
            self._take_out(future)
            if future.running():
                self._abandoned.append(future)

    def _take_out(self, future: Future[Any]) -> _Message:
        message = self._messages.pop(future)
        self.n_in_flight -= len(message.tasks)
        if self._starts is not None:
            self._starts.note_end(message, time.monotonic())
        return message

    # -------------------------------------------------------------- what takes too long

    def take_overdue(self, limit: float) -> list[list[Any]]:
        """Points of messages that took longer than one point may; they are not waited for any more."""
        assert self._starts is not None
        now = time.monotonic()
        late = []
        self._starts.confirm(lambda message: bool(message.future and message.future.running()), now)
        for message, begin in self._starts.before(now - limit - BUDGET):
            if message.future is not None and message.future.done():
                continue  # it has come back, and the loop was too busy to take it
            if not message.with_program or now - begin > limit + BUDGET + SETUP:
                self._forget(message.future)
                late.append([task.x for task in message.tasks])
        return late

    def abandoned(self) -> list[Future[Any]]:
        """Futures that are not waited for any more, although a worker still evaluates them."""
        return [future for future in self._abandoned if not future.done()]


def _arguments(tasks: Sequence[PointTask]) -> bytes | list[Any]:
    arguments = [task.argument for task in tasks]
    for argument in arguments:  # no all() of a generator: it takes as long as the rest of a point
        if type(argument) not in worker.PLAIN_TYPES and not _is_plain_tuple(argument):
            return dumps_by_value(arguments)
    return arguments


def _is_plain_tuple(argument: object) -> bool:
    return type(argument) is tuple and all(type(part) in worker.PLAIN_TYPES for part in argument)


def _result(task: PointTask, record: tuple[int, Any, float]) -> PointResult:
    kind, value, seconds = record
    if kind == worker.ERROR:
        return PointResult(task, None, seconds, point_error(task, value))
    if kind == worker.PICKLED:
        try:
            value = pickle.loads(value)
        except BaseException as error:  # noqa: BLE001  the border to the user's classes
            reason = user_error("value", worker.describe(error), named(task))
            return PointResult(task, None, seconds, reason)
    return PointResult(task, value, seconds)
