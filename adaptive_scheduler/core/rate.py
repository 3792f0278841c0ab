"""How fast a number grows, over the last while."""

from __future__ import annotations

from collections import deque


class Rate:
    """The growth of a counter in a moving window.

    Reports come each few seconds and learners end between two of them, so a sum
    of what running learners report would show nothing for short ones.

    Parameters
    ----------
    window : float
        Seconds.
    """

    def __init__(self, window: float = 60.0) -> None:
        self._window = window
        self._samples: deque[tuple[float, float]] = deque()

    def note(self, value: float, now: float) -> float:
        """Take in the counter's value at a monotonic time; returns its growth a second."""
        self._samples.append((now, value))
        while len(self._samples) > 2 and self._samples[1][0] <= now - self._window:
            self._samples.popleft()
        begin, first = self._samples[0]
        return max(0.0, value - first) / (now - begin) if now > begin else 0.0
