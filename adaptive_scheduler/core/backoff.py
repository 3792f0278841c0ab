"""Waiting longer and longer, with a reason that people can read."""

from __future__ import annotations

#: Seconds: the first wait, doubled at each further one, and the longest.
FIRST = 5.0
LONGEST = 300.0


class Backoff:
    """Says until when not to try again.

    Parameters
    ----------
    first, longest : float, optional
        Seconds, in place of `FIRST` and `LONGEST`.

    Attributes
    ----------
    reason : str
        Why, and for how long; "" while there is nothing to wait for.
    """

    def __init__(self, first: float | None = None, longest: float | None = None) -> None:
        self._first, self._longest = first, longest
        self.reason = ""
        self._pause = 0.0
        self._until = float("-inf")

    def wait(self, reason: str, now: float) -> float:
        """Wait from `now` (monotonic seconds) on, longer than the last time; returns the seconds."""
        first = FIRST if self._first is None else self._first
        longest = LONGEST if self._longest is None else self._longest
        self._pause = min(longest, max(first, 2 * self._pause))
        self._until = now + self._pause
        self.reason = f"{reason} (again in {self._pause:.0f} s)"
        return self._pause

    def clear(self) -> None:
        """It went well, or a person says so."""
        self.reason, self._pause, self._until = "", 0.0, float("-inf")

    def left(self, now: float) -> float:
        """Seconds until the wait is over; 0 if it is."""
        return max(0.0, self._until - now)

    def why(self, now: float) -> str:
        """The reason, as long as the wait is not over."""
        return self.reason if now < self._until else ""
