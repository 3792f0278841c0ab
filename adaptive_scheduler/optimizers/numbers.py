"""Which point is the next one, and which number it has."""

from __future__ import annotations

import itertools
from bisect import bisect_left, insort
from collections.abc import Iterator

from adaptive_scheduler.core.searches.space import Values


class Numbers:
    """Numbers from 0 that no point has yet, and points that wait for one.

    Parameters
    ----------
    fixed : list of Values
        Points of the first numbers, which are certain.

    Attributes
    ----------
    fixed : dict of int to Values
        Points that have their number already: first ones, and those that are to be asked for again.
    chosen : list of Values
        Points that get the next numbers as they come.
    """

    def __init__(self, fixed: list[Values]) -> None:
        self.fixed = dict(enumerate(fixed))
        self.chosen: list[Values] = []
        self._gaps: list[int] = []
        self._next = 0

    def free(self) -> Iterator[int]:
        """Yield the numbers that are free, the smallest first."""
        yield from list(self._gaps)
        yield from itertools.count(self._next)

    def points(self) -> Iterator[tuple[int, Values]]:
        """Yield the points that are known, with their numbers."""
        chosen = iter(list(self.chosen))
        for number in self.free():
            values = self.fixed.get(number) or next(chosen, None)
            if values is None:
                return
            yield number, values

    def is_next(self, x: object) -> bool:
        """Whether this is the first of the points that were chosen."""
        return bool(self.chosen) and not self._gaps and x == (self._next, self.chosen[0])

    def is_free(self, number: int) -> bool:
        """Whether no point has this number."""
        n = bisect_left(self._gaps, number)
        return number >= self._next or (n < len(self._gaps) and self._gaps[n] == number)

    def take(self, number: int, values: Values) -> bool:
        """Let a point have a number; returns whether it was one of those chosen."""
        if number >= self._next:
            self._gaps.extend(range(self._next, number))
            self._next = number + 1
        elif self.is_free(number):
            del self._gaps[bisect_left(self._gaps, number)]
        if self.fixed.pop(number, None) == values or values not in self.chosen:
            return False
        self.chosen.remove(values)
        return True

    def give_back(self, number: int, values: Values) -> None:
        """Let a point be asked for again, with its number."""
        insort(self._gaps, number)
        self.fixed[number] = values
