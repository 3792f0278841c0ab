"""How often something may be done that takes a while, so that it costs a small part of a core."""

from __future__ import annotations


class Pace:
    """Says when something is due again.

    Parameters
    ----------
    interval : float
        The least time between two, in seconds.
    share : float
        The part of the time that it may take.
    longest : float
        It is due after so many seconds, however long it takes.
    """

    def __init__(self, interval: float, share: float = 0.05, longest: float = 60.0) -> None:
        self._interval = interval
        self._share = share
        self._longest = longest
        self._next = float("-inf")

    def is_due(self, now: float) -> bool:
        """Whether it may be done now."""
        return now >= self._next

    def did(self, begun: float, ended: float) -> None:
        """Note that it was done, and how long it took."""
        pause = max(self._interval, min(self._longest, (ended - begun) / self._share))
        self._next = ended + pause

    def hurry(self) -> None:
        """Let it be due at once: somebody has changed something, or waits for it."""
        self._next = float("-inf")
