"""Finds points whose evaluation takes longer than `point_timeout`."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from adaptive_scheduler.errors import PointTimeoutError

#: Seconds between two checks, at most; and as a share of the limit, so that short limits are kept well.
CHECK_INTERVAL, CHECK_SHARE = 1.0, 0.1
#: Seconds by which a check comes too late where the loop stood still: what has come back meanwhile is taken first.
LATE = 0.5
#: Points of one message that an error names.
NAMED = 5


Message = TypeVar("Message")


class StartTimes(Generic[Message]):
    """Which messages have begun, and when, in a pool that takes them first come, first served.

    A pool with n workers begins the first n messages, and another whenever one comes back. A
    message's time counts from the moment at which its future is first seen to run, because a pool
    may have fewer workers than it claims. Each note costs O(1).

    Parameters
    ----------
    workers : int
        How many messages have begun at a time.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        # the first of a dict is found slowly after many were taken from its front
        self._begun: OrderedDict[Message, float] = OrderedDict()
        self._waiting: OrderedDict[Message, None] = OrderedDict()
        self._unconfirmed: dict[Message, None] = {}

    def note_sent(self, message: Message, now: float) -> None:
        """Note a message that was given to the pool."""
        self._waiting[message] = None
        self._advance(now)

    def note_end(self, message: Message, now: float) -> None:
        """Note that it came back, or is not waited for any more."""
        self._begun.pop(message, None)
        self._waiting.pop(message, None)
        self._unconfirmed.pop(message, None)
        self._advance(now)

    def confirm(self, is_running: Callable[[Message], bool], now: float) -> None:
        """Start the time of those that should have begun and that the pool is seen to run."""
        for message in [one for one in self._unconfirmed if is_running(one)]:
            self._unconfirmed.pop(message, None)
            self._begun[message] = now
            self._begun.move_to_end(message)

    def before(self, moment: float) -> list[tuple[Message, float]]:
        """Messages that began before a moment, the oldest first, and when they did."""
        found = []
        for message, begin in self._begun.items():
            if begin >= moment:
                break
            if message not in self._unconfirmed:
                found.append((message, begin))
        return found

    def _advance(self, now: float) -> None:
        while self._waiting and len(self._begun) < self._workers:
            message, _ = self._waiting.popitem(last=False)
            self._begun[message] = now
            self._unconfirmed[message] = None


class TimedEvaluator(Protocol):
    """Evaluates points, and knows which take too long."""

    def take_overdue(self, limit: float) -> list[list[Any]]:
        """Points of messages that took longer, a list for each; they are not waited for any more."""


class TimeoutWatch:
    """Checks regularly for points that take too long, while the event loop runs.

    Parameters
    ----------
    evaluator : TimedEvaluator
    limit : float, optional
        Seconds that one point may take; None: as long as it likes.
    on_timeout : callable
        Given a `PointTimeoutError`, in the event loop.
    """

    def __init__(
        self,
        evaluator: TimedEvaluator,
        limit: float | None,
        on_timeout: Callable[[PointTimeoutError], None],
    ) -> None:
        self._evaluator = evaluator
        self._limit = limit
        self._on_timeout = on_timeout
        self._timer: asyncio.TimerHandle | None = None
        self._is_waiting = False

    def start(self) -> None:
        """Check regularly, until `stop`."""
        if self._limit is None:
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(min(CHECK_INTERVAL, CHECK_SHARE * self._limit), self._check)

    def stop(self) -> None:
        """Check no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _check(self) -> None:
        assert self._limit is not None
        assert self._timer is not None
        is_late = asyncio.get_running_loop().time() - self._timer.when() > LATE
        self._is_waiting = is_late and not self._is_waiting  # once: it may always be late
        if self._is_waiting:
            self.start()
            return
        for points in self._evaluator.take_overdue(self._limit):
            self._on_timeout(PointTimeoutError(self._limit, _named(points)))
        self.start()


def _named(points: list[Any]) -> str:
    """``x=0.5``; of a message with several points it is not known which one takes long."""
    named = ", ".join(f"x={point!r}"[:200] for point in points[:NAMED])
    if len(points) == 1:
        return named
    more = ", …" if len(points) > NAMED else ""
    return f"one of the {len(points)} points {named}{more}"
