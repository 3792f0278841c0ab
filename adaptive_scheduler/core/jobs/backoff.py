"""Waits that grow with each failure, and the reason for them."""

from __future__ import annotations


class Backoff:
    """Knows until when not to try again.

    Parameters
    ----------
    first, longest : float
        Seconds: the first wait, which doubles at each further failure, and the longest.

    Attributes
    ----------
    reason : str
        Why, and for how long; "" after a success.
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first, self._longest = first, longest
        self.reason = ""
        self._pause = 0.0
        self._until = float("-inf")

    def wait(self, reason: str, now: float) -> float:
        """Wait from `now` (monotonic seconds) on, longer than the last time; returns the seconds."""
        self._pause = min(self._longest, max(self._first, 2 * self._pause))
        self._until = now + self._pause
        self.reason = f"{reason} (again in {self._pause:.0f} s)"
        return self._pause

    def clear(self) -> None:
        """End the wait: something succeeded, or the user has resumed the run."""
        self.reason, self._pause, self._until = "", 0.0, float("-inf")

    def left(self, now: float) -> float:
        """Return the seconds until the wait is over; 0 if it is."""
        return max(0.0, self._until - now)

    def has_ended(self, since: float, now: float) -> bool:
        """Whether the wait ended between these two moments."""
        return since < self._until <= now

    def reason_at(self, now: float) -> str:
        """Return the reason while the wait lasts; "" after it."""
        return self.reason if now < self._until else ""
