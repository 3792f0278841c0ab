"""How many points should be in flight: as the slots of a run come and go."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from adaptive_scheduler.core.wire.slots import SlotCount
from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.evaluation.durations import Durations

#: Seconds between two looks at the slots.
INTERVAL = 0.7
#: Points that wait for each slot, unless another number is given.
AHEAD_SHARE = 1 / 4
#: Of short points more wait: so many seconds of work for each slot, but at most so many points. A slot
#: idles else for as long as a message takes to the learner and back.
AHEAD_SECONDS, MOST_AHEAD, MOST_AHEAD_BLIND = 0.1, 16, 512
#: But of a learner that chooses by the values, not more than this share of those that it has.
EARLY_SHARE = 1 / 4


@dataclass(frozen=True)
class PointsWanted:
    """How many points should be in flight.

    Attributes
    ----------
    ntasks : int, optional
        Points to evaluate at a time; None: as many as there are slots.
    ahead : int, optional
        Points that wait besides; None: see `AHEAD_SHARE`; but none if `ntasks` is given.
    is_blind : bool
        The learner does not choose by the values.
    """

    ntasks: int | None = None
    ahead: int | None = None
    is_blind: bool = False

    def points(self, count: SlotCount, durations: Durations) -> int:
        """Return how many points should be in flight.

        Parameters
        ----------
        count : SlotCount
            Tasks that can run at a time now; 0 while no job is there: then some wait, so that one
            comes.
        durations : Durations
            Of the points so far.
        """
        if self.ntasks is not None:
            return self.ntasks + (self.ahead or 0)
        ahead = self._ahead(count.slots, durations) if self.ahead is None else self.ahead
        return max(1, count.slots) + count.ending + ahead

    def _ahead(self, slots: int, durations: Durations) -> int:
        least = max(1, round(slots * AHEAD_SHARE))
        if not durations.n:
            return least
        most = MOST_AHEAD_BLIND if self.is_blind else MOST_AHEAD
        ahead = int(slots * min(most, AHEAD_SECONDS / max(durations.average, 1e-9)))
        if not self.is_blind:
            ahead = min(ahead, int(durations.n * EARLY_SHARE))
        return max(least, ahead)


class SlotWatch:
    """Looks regularly how many slots there are; a thread does.

    Parameters
    ----------
    count : callable
        Returns how many there are.
    on_change : callable
        Called, in the thread, when there are more or fewer.
    always : callable
        Called, in the thread, before each further look.

    Attributes
    ----------
    seen : SlotCount
        The last count.
    """

    def __init__(
        self,
        count: Callable[[], SlotCount],
        on_change: Callable[[], None],
        always: Callable[[], None] = lambda: None,
    ) -> None:
        self.seen = SlotCount(0)
        self._count, self._on_change, self._always = count, on_change, always
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
            self._always()
            self._look()

    def _look(self) -> None:
        try:
            seen = self._count()
        except AdaptiveSchedulerError:
            return  # the manager is away: its keeper starts it again, or ends all futures by an error
        if seen != self.seen:
            self.seen = seen
            self._on_change()
