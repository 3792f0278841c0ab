"""How many points should be in flight: as the slots of a run come and go."""

from __future__ import annotations

import threading
from collections.abc import Callable

from adaptive_scheduler.core.wire.slots import SlotCount
from adaptive_scheduler.errors import AdaptiveSchedulerError

#: Seconds between two looks at the slots.
INTERVAL = 0.7
#: Points that wait for each slot, unless another number is given.
AHEAD_SHARE = 1 / 4


def points_wanted(count: SlotCount, ntasks: int | None, ahead: int | None) -> int:
    """Return how many points should be in flight.

    Parameters
    ----------
    count : SlotCount
        Tasks that can run at a time now; 0 while no job is there: then some wait, so that one comes.
    ntasks : int, optional
        Points to evaluate at a time; None: as many as there are slots.
    ahead : int, optional
        Points that wait besides; None: a quarter of the slots, and one at least; but none if
        `ntasks` is given.
    """
    at_a_time = max(1, count.slots) + count.ending if ntasks is None else ntasks
    if ahead is None:
        ahead = 0 if ntasks is not None else max(1, round(count.slots * AHEAD_SHARE))
    return at_a_time + ahead


class SlotWatch:
    """Looks regularly how many slots there are; a thread does.

    Parameters
    ----------
    count : callable
        Returns how many there are.
    on_change : callable
        Called, in the thread, when there are more or fewer.

    Attributes
    ----------
    seen : SlotCount
        The last count.
    """

    def __init__(self, count: Callable[[], SlotCount], on_change: Callable[[], None]) -> None:
        self.seen = SlotCount(0)
        self._count, self._on_change = count, on_change
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="slots", daemon=True)

    def start(self) -> None:
        """Look for the first time, and go on until `close`."""
        self._look()
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._is_closed.set()

    def _watch(self) -> None:
        while not self._is_closed.wait(INTERVAL):
            self._look()

    def _look(self) -> None:
        try:
            seen = self._count()
        except AdaptiveSchedulerError:
            return  # the manager is away: its keeper starts it again, or ends all futures by an error
        if seen != self.seen:
            self.seen = seen
            self._on_change()
