"""Rows that are free, in the order in which they are given."""

from __future__ import annotations

import heapq

from adaptive_scheduler.core.rows.items import Item

#: (-priority, fails and crashes, row): the smallest is given first. No named one, it is made for
#: each item that is given, and looked at for each that is pushed.
Place = tuple[float, int, int]


def place_of(item: Item) -> Place:
    """Where an item stands; one that failed behind its equals, so that it cannot starve them."""
    return (-item.priority, item.fails + item.crashes, item.id)


class ReadyQueue:
    """Places, the smallest first.

    Those that a run begins with are sorted once and taken from the end. Only what comes later
    is in a heap, mostly a small one: out of a heap of 100,000 each takes seventeen comparisons.
    """

    def __init__(self) -> None:
        self._sorted: list[Place] = []
        self._heap: list[Place] = []

    def push(self, place: Place) -> None:
        """Add one."""
        heapq.heappush(self._heap, place)

    def settle(self) -> None:
        """Sort what a run begins with."""
        self._sorted, self._heap = sorted(self._heap, reverse=True), []

    def first(self) -> Place | None:
        """Return the smallest and leave it where it is; None if there is none."""
        if self._heap and not (self._sorted and self._sorted[-1] < self._heap[0]):
            return self._heap[0]
        return self._sorted[-1] if self._sorted else None

    def pop(self) -> Place | None:
        """Take the smallest; None if there is none."""
        if self._heap and not (self._sorted and self._sorted[-1] < self._heap[0]):
            return heapq.heappop(self._heap)
        return self._sorted.pop() if self._sorted else None
