"""Which evaluations have taken too long."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from adaptive_scheduler.errors import PointTimeoutError

#: Seconds between two looks, and their share of the limit: a short one is judged more exactly.
LOOK, LOOK_SHARE = 1.0, 0.1
#: Points of one message that an error names.
NAMED = 5


Message = TypeVar("Message")


class StartTimes(Generic[Message]):
    """Which messages have begun, and when, in a pool that takes them first come, first served.

    Messages behind the first `workers` ones begin when one before them has come back; their
    time runs from when the pool is first seen to run them, for it may have fewer workers
    than it said. Each note costs O(1).

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
        """Note that it came back, or that nobody expects it any more."""
        self._begun.pop(message, None)
        self._waiting.pop(message, None)
        self._unconfirmed.pop(message, None)
        self._advance(now)

    def confirm(self, is_running: Callable[[Message], bool], now: float) -> None:
        """Look which of those that should have begun the pool runs; their time begins now."""
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


class Overdue(Protocol):
    """What evaluates points, and knows which take too long."""

    def take_overdue(self, limit: float) -> list[list[Any]]:
        """Points of messages that took longer, one of each message; they are expected no more."""


class TimeoutWatch:
    """Looks for points that take too long, as long as its loop runs.

    Parameters
    ----------
    evaluations : Overdue
        Looked at.
    limit : float, optional
        Seconds that one point may take; None: as long as it likes.
    tell : callable
        Given a `PointTimeoutError`, in the loop.
    """

    def __init__(
        self, evaluations: Overdue, limit: float | None, tell: Callable[[PointTimeoutError], None]
    ) -> None:
        self._evaluations = evaluations
        self._limit = limit
        self._tell = tell
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look now and then, until `stop`."""
        if self._limit is None:
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(min(LOOK, LOOK_SHARE * self._limit), self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        assert self._limit is not None
        for points in self._evaluations.take_overdue(self._limit):
            self._tell(PointTimeoutError(self._limit, _named(points)))
        self.start()


def _named(points: list[Any]) -> str:
    """``x=0.5``; of a message with several points nobody knows which one it is."""
    told = ", ".join(f"x={point!r}"[:200] for point in points[:NAMED])
    if len(points) == 1:
        return told
    more = ", …" if len(points) > NAMED else ""
    return f"one of the {len(points)} points {told}{more}"
