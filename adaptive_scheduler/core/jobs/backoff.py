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

    def has_ended(self, since: float, now: float) -> bool:
        """Whether the wait was over between these two moments: it is time to try again."""
        return since < self._until <= now

    def why(self, now: float) -> str:
        """The reason, as long as the wait is not over."""
        return self.reason if now < self._until else ""


class Room:
    """How many jobs to ask for at a time, where the batch system has a limit.

    A refusal says that there is less room than was asked for, not how much there is: so less is
    asked for, then more and more again, for limits come and go.

    Attributes
    ----------
    most : int, optional
        None: no limit is known.
    """

    def __init__(self) -> None:
        self.most: int | None = None

    def refuse(self, n: int) -> None:
        """So many at once were too many."""
        self.most = max(1, n // 4)

    def add(self) -> None:
        """A job has left the queue: there is room for another one."""
        if self.most is not None:
            self.most += 1

    def grow(self, enough: int) -> None:
        """All that was asked for was given; with `enough`, no limit is felt any more."""
        if self.most is not None:
            self.most = 2 * self.most if 2 * self.most < enough else None

    def part(self, n: int) -> int:
        """How many of `n` to ask for now."""
        return n if self.most is None else min(n, self.most)
