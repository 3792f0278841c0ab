"""When to list the queue."""

from __future__ import annotations

from adaptive_scheduler.core.jobs.backoff import Backoff

#: Listings that events ask for are at least this far apart (seconds): administrators count them.
SPACING = 1.0
#: Seconds without a listing after one that failed: the first time, and at most.
FIRST_PAUSE, LONGEST_PAUSE = SPACING / 2, 60.0


class ListingSchedule:
    """Lists the queue each `interval`, soon after events, and ever more rarely after failures.

    Parameters
    ----------
    interval : float
        The longest time between two listings, in seconds.

    Attributes
    ----------
    last : float
        When the last listing was asked for; monotonic seconds.
    """

    def __init__(self, interval: float) -> None:
        self.last = float("-inf")
        self._interval = interval
        self._is_under_way = False
        self._failures = Backoff(FIRST_PAUSE, LONGEST_PAUSE)

    def is_due(self, now: float, wanted: bool, leaving: bool) -> bool:
        """Whether to list the queue now.

        Parameters
        ----------
        now : float
            Monotonic seconds.
        wanted : bool
            Something happened that a listing may show.
        leaving : bool
            A job is expected to leave the queue.
        """
        return not self._is_under_way and self.next_due(now, wanted, leaving) <= 0

    def next_due(self, now: float, wanted: bool, leaving: bool) -> float:
        """Return the seconds until a listing is due, should none be under way."""
        soon = min(SPACING, self._interval) if leaving else self._interval
        wait = min(SPACING, soon) if wanted else soon
        return max(self._failures.left(now), self.last + wait - now)

    def on_sent(self, now: float) -> None:
        """A listing is asked for."""
        self.last, self._is_under_way = now, True

    def on_listed(self) -> None:
        """A good listing has come."""
        self._is_under_way = False
        self._failures.clear()

    def on_failed(self, reason: str, now: float) -> tuple[str, float]:
        """A listing failed; returns why none is made now, and for how many seconds."""
        self._is_under_way = False
        seconds = self._failures.wait(reason, now)
        return self._failures.reason, seconds

    def reset(self) -> None:
        """Forget failures: the user has resumed the run."""
        self._failures.clear()
