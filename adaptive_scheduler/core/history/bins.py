"""Sums over equal spans of time, which become wider as time goes on, so that they stay few."""

from __future__ import annotations

import math

import msgspec

#: Spans at most.
MOST = 1000
#: Seconds of the first ones.
FIRST_WIDTH = 1.0
#: Longest time that is believed, in seconds: ten years.
LONGEST = 3.2e8


class Bins(msgspec.Struct):
    """Core-seconds held and computed (``used``), items that ended and points, in spans of time.

    Attributes
    ----------
    begin : float
        Of the first span, in seconds since 1970; 0.0: nothing was added yet.
    width : float
        Of each, in seconds.
    held, used, ended, points : list of float
    """

    begin: float = 0.0
    width: float = FIRST_WIDTH
    held: list[float] = msgspec.field(default_factory=list)
    used: list[float] = msgspec.field(default_factory=list)
    ended: list[float] = msgspec.field(default_factory=list)
    points: list[float] = msgspec.field(default_factory=list)

    def add(self, name: str, start: float, end: float, amount: float) -> None:
        """Spread an amount evenly over a time.

        Parameters
        ----------
        name : str
            ``held``, ``used``, ``ended`` or ``points``.
        start, end : float
        amount : float
        """
        if not (0.0 < start < math.inf and amount) or end - start > LONGEST:
            return
        end = max(end, start)
        if not (self.begin <= start and end < self.begin + len(self.held) * self.width):
            self._reach(start, end)
        sums = getattr(self, name)
        first, last = self._place(start), self._place(end)
        if first == last:
            sums[first] += amount
            return
        for place in range(first, last + 1):
            low = max(start, self.begin + place * self.width)
            high = min(end, self.begin + (place + 1) * self.width)
            sums[place] += amount * max(0.0, high - low) / (end - start)

    def _place(self, time: float) -> int:
        return min(len(self.held) - 1, max(0, int((time - self.begin) / self.width)))

    def _reach(self, start: float, end: float) -> None:
        """Have spans for all of this time."""
        if not self.begin:
            self.begin = float(math.floor(start))
        if start < self.begin:
            self._begin_earlier(start)
        while end - self.begin >= MOST * self.width:
            self._widen()
        wanted = int((end - self.begin) / self.width) + 1
        self._extend(wanted - len(self.held))

    def _begin_earlier(self, start: float) -> None:
        end = self.begin + len(self.held) * self.width
        while end - start > MOST * self.width:
            self._widen()
        n = math.ceil((self.begin - start) / self.width)
        self.begin -= n * self.width
        for sums in self._sums():
            sums[:0] = [0.0] * n

    def _extend(self, n: int) -> None:
        for sums in self._sums():
            sums.extend([0.0] * n)

    def _widen(self) -> None:
        self.width *= 2
        for sums in self._sums():
            if len(sums) % 2:
                sums.append(0.0)
            sums[:] = [a + b for a, b in zip(sums[::2], sums[1::2], strict=True)]

    def _sums(self) -> tuple[list[float], ...]:
        return self.held, self.used, self.ended, self.points

    def copy(self) -> Bins:
        """Return one that can be added to."""
        return Bins(self.begin, self.width, *(list(sums) for sums in self._sums()))
