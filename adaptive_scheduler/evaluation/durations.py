"""How long the user's function takes: an average and the 95th percentile."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

#: Durations that are remembered.
WINDOW = 512


class Durations:
    """Seconds of the last `WINDOW` evaluations, their sum, and a moving average.

    Attributes
    ----------
    n : int
        Evaluations so far.
    total : float
        Their seconds in all.
    average : float
        Moving average in seconds; 0 before the first.
    """

    def __init__(self) -> None:
        self.n = 0
        self.total = 0.0
        self.average = 0.0
        self._last: deque[float] = deque(maxlen=WINDOW)
        self._p95 = 0.0
        self._stale = 0

    def add(self, seconds: Sequence[float]) -> None:
        """Note evaluations of one message; they weigh as one in the moving average."""
        n = len(seconds)
        if not n:
            return
        total = sum(seconds)
        weight = 0.2 if self.n else 1.0
        self.n += n
        self.total += total
        self.average += weight * (total / n - self.average)
        self._last.extend(seconds)
        self._stale += n

    @property
    def p95(self) -> float:
        """Seconds that 95 % of the last evaluations took at most; 0 before the first."""
        if self._stale and (self._stale > WINDOW // 16 or len(self._last) < WINDOW):
            ordered = sorted(self._last)
            self._p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
            self._stale = 0
        return self._p95
