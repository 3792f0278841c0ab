"""How fast a counter grows, and how fast commands may follow each other."""

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


class RateLimiter:
    """A token bucket: a few commands at once cost nothing, a stream of them is slowed down.

    Parameters
    ----------
    per_minute : float
        Commands a minute in the long run; a quarter of these may come at once.
    now : float
        Monotonic seconds.
    """

    def __init__(self, per_minute: float, now: float) -> None:
        self._pause = 60.0 / per_minute
        self._capacity = self._tokens = per_minute / 4
        self._last = now

    def take(self, now: float) -> float:
        """Take a token; returns the seconds to wait before the command is run."""
        earned = (now - self._last) / self._pause
        self._tokens = min(self._capacity, self._tokens + earned)
        self._last = now
        wait = self._pause if self._tokens < 1 else 0.0
        self._tokens -= 1
        return wait
