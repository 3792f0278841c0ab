"""Waiting longer and longer, with a reason that people can read."""

from __future__ import annotations

#: Seconds: the first wait, doubled at each further one, and the longest.
FIRST = 5.0
LONGEST = 300.0


class Backoff:
    """Says until when not to try again.

    Attributes
    ----------
    reason : str
        Why, and for how long; "" while there is nothing to wait for.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._pause = 0.0
        self._until = float("-inf")

    def wait(self, reason: str, now: float) -> float:
        """Wait from `now` (monotonic seconds) on, longer than the last time; returns the seconds."""
        self._pause = min(LONGEST, max(FIRST, 2 * self._pause))
        self._until = now + self._pause
        self.reason = f"{reason} (again in {self._pause:.0f} s)"
        return self._pause

    def clear(self) -> None:
        """It went well, or a person says so."""
        self.reason, self._pause, self._until = "", 0.0, float("-inf")

    def why(self, now: float) -> str:
        """The reason, as long as the wait is not over."""
        return self.reason if now < self._until else ""
