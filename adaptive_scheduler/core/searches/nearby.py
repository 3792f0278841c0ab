"""Points in flight, and whether another one is nearly the same as one of them."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Any

from adaptive_scheduler.core.searches.space import Range, Space, Values

#: Two points are near copies if no range differs by more than this share of it, and no choice.
NEAR = 0.005
#: Rounding must not make a copy of what is exactly so far away.
_SLACK = 1e-9


class Nearby:
    """A set of points of a space.

    They are sorted by one range, so that few of them are looked at.

    Parameters
    ----------
    space : Space
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        ranges = [n for n, axis in enumerate(space.axes) if isinstance(axis, Range)]
        # of whole numbers there may be few, and then many points would be looked at
        ranges.sort(key=lambda n: getattr(space.axes[n], "is_whole", False))
        self._by = ranges[0] if ranges else None
        self._sorted: list[tuple[float, int]] = []
        self._points: dict[int, Values] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._points)

    def points(self) -> list[Values]:
        """Return all points, in the order in which they were added."""
        return list(self._points.values())

    def add(self, values: Values) -> None:
        """Add a point, perhaps a second time."""
        self._points[self._next] = values
        insort(self._sorted, (self._place(values), self._next))
        self._next += 1

    def discard(self, values: Values) -> None:
        """Remove a point once, if it is there."""
        for n in self._candidates(values):
            if self._points[n] == values:
                del self._points[n]
                del self._sorted[bisect_left(self._sorted, (self._place(values), n))]
                return

    def has_near(self, values: Values) -> bool:
        """Whether one of the points is nearly this one."""
        near = (self._points[n] for n in self._candidates(values))
        return any(are_near(self._space, values, other) for other in near)

    def _place(self, values: Values) -> float:
        return 0.0 if self._by is None else _unit(self._space.axes[self._by], values[self._by])

    def _candidates(self, values: Values) -> list[int]:
        place, reach = self._place(values), NEAR + _SLACK
        first = bisect_left(self._sorted, (place - reach, -1))
        last = bisect_left(self._sorted, (place + reach, self._next))
        return [n for _, n in self._sorted[first:last]]


def are_near(space: Space, one: Values, other: Values) -> bool:
    """Whether two points are nearly the same."""
    for axis, a, b in zip(space.axes, one, other, strict=True):
        if isinstance(axis, Range):
            if abs(_unit(axis, a) - _unit(axis, b)) > NEAR + _SLACK:
                return False
        elif a != b or type(a) is not type(b):
            return False
    return True


def _unit(axis: Any, value: Any) -> float:
    unit: float = axis.unit(value)
    return unit
