"""Asks and tells a learner in a thread of its own, so that no slot waits for a model."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial

from adaptive_scheduler.optimizers.learner import OptimizerLearner
from adaptive_scheduler.optimizers.numbered import Point


class Asker:
    """Keeps some points ready that were chosen with all values that had come then.

    The learner belongs to its thread between `start` and `stop`. When values come, the points that are ready
    are chosen anew; until that is done, those that are there are issued.

    Parameters
    ----------
    learner : OptimizerLearner
    ahead : int
        Points that are ready although nobody waits for them.
    wake : callable
        Called when a point is ready for who waits, or it has failed.

    Attributes
    ----------
    error : BaseException or None
        What the optimiser raised.
    """

    def __init__(self, learner: OptimizerLearner, ahead: int, wake: Callable[[], object]) -> None:
        self._learner, self._ahead, self._wake = learner, ahead, wake
        self._changed = threading.Condition()
        self._news: deque[Callable[[], None]] = (
            deque()
        )  # one that is never replaced: both threads use it
        self._ready: deque[Point] = deque()
        self._taken: list[Point] = []
        self._wanted = (0, 0)
        self._is_stopped = False
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="search's optimiser", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Tell the learner what has come, and end."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()
        if self.error is None:
            self._take_news()

    def want(self, now: int, most: int) -> None:
        """Say how many points are waited for now, and how many may be taken in all; wakes the thread."""
        with self._changed:
            self._wanted = now, most
            self._changed.notify()

    def take(self, n: int) -> list[Point]:
        """Return up to n points that are ready; they are in flight then."""
        with self._changed:
            taken = [self._ready.popleft() for _ in range(min(n, len(self._ready)))]
            self._taken += taken
            return taken

    def tell(self, point: Point, value: float) -> None:
        """Hand a value on; the learner is told after the next `want`."""
        self._news.append(partial(self._learner.tell, point, value))

    def give_up(self, point: Point, penalty: float | None) -> None:
        """Say that a point has no value."""
        self._news.append(partial(self._learner.give_up, point, penalty))

    # ------------------------------------------------------------------- in the thread

    def _run(self) -> None:
        try:
            while self._wait():
                self._take_news()
                self._choose()
        except BaseException as error:  # noqa: BLE001  the top of a thread, and the user's optimiser
            self.error = error
            self._wake()

    def _wait(self) -> bool:
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_stopped or self._news or len(self._ready) < self._target()
            )
            return not self._is_stopped

    def _target(self) -> int:
        now, most = self._wanted
        return min(now + self._ahead, most)

    def _take_news(self) -> None:
        with self._changed:  # what was issued is pending before it has a value
            self._take_pending()
            n = len(self._news)
        for _ in range(n):
            self._news.popleft()()

    def _take_pending(self) -> None:
        for point in self._taken:
            self._learner.tell_pending(point)
        self._taken.clear()

    def _choose(self) -> None:
        """Choose points until enough are ready; what comes meanwhile is told first, unless somebody waits."""
        n = len(self._learner.proposed(self._target()))
        while n < self._target():
            self._learner.choose()
            n += 1
            if not self._ready:
                self._publish()
            if self._is_stopped or (self._news and self._ready):
                return
        self._publish()

    def _publish(self) -> None:
        """Let those be taken that are chosen; what was taken meanwhile must not be issued twice."""
        with self._changed:
            self._take_pending()
            self._ready = deque(self._learner.proposed(self._target()))
            is_awaited = self._wanted[0] > 0 and bool(self._ready)
        if is_awaited:
            self._wake()
