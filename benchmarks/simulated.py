"""A simulated pool: any number of workers that wait instead of working."""

from __future__ import annotations

import heapq
import itertools
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

#: Seconds between two checks for finished workers; more would take the interpreter's lock from the
#: runner that is measured.
TICK = 0.001


class SimulatedPool(Executor):
    """Workers that take `seconds` ± 10 % for each point.

    Parameters
    ----------
    workers : int
    seconds : float
    finish : callable
        Given (function, arguments, seconds), what the future's result is.

    Attributes
    ----------
    worked : float
        Seconds of all evaluations that have ended.
    """

    def __init__(
        self,
        workers: int,
        seconds: float,
        finish: Callable[[Callable[..., Any], tuple[Any, ...], float], Any],
    ) -> None:
        self.worked = 0.0
        self._max_workers = workers  # adaptive's runner asks for it by this name
        self._seconds = seconds
        self._finish = finish
        self._rng = random.Random(1)
        self._count = itertools.count()
        self._busy: list[tuple[float, int, Any]] = []
        self._waiting: deque[tuple[Any, ...]] = deque()
        self._lock = threading.Lock()
        self._is_open = True
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Begin at once if a worker is free, or queue the call."""
        future: Future[Any] = Future()
        with self._lock:
            self._waiting.append((future, function, args))
            self._begin()
        return future

    def _begin(self) -> None:
        while self._waiting and len(self._busy) < self._max_workers:
            future, function, args = self._waiting.popleft()
            if future.set_running_or_notify_cancel():
                seconds = self._seconds * self._rng.uniform(0.9, 1.1)
                entry = (future, function, args, seconds)
                heapq.heappush(self._busy, (time.monotonic() + seconds, next(self._count), entry))

    def _work(self) -> None:
        while self._is_open:
            time.sleep(TICK)
            ended = []
            with self._lock:
                now = time.monotonic()
                while self._busy and self._busy[0][0] <= now:
                    ended.append(heapq.heappop(self._busy)[2])
                self._begin()
            for future, function, args, seconds in ended:
                self.worked += seconds
                future.set_result(self._finish(function, args, seconds))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the thread."""
        self._is_open = False


def call(function: Callable[..., Any], args: tuple[Any, ...], seconds: float) -> Any:
    """The result of a function that adaptive's own runner submitted."""
    return function(*args)


def call_ours(function: Callable[..., Any], args: tuple[Any, ...], seconds: float) -> Any:
    """A worker's reply to one of our messages, as if its points had taken that long."""
    kind, records = function(*args)
    return kind, [(record, value, seconds / len(records)) for record, value, _ in records]
