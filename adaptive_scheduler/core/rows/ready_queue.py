"""Items that can be claimed, in their order, and items that are held back for a while."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import chain

from adaptive_scheduler.core.rows.items import Rank


class ReadyQueue:
    """Ranks, the smallest first.

    What a run begins with is sorted once and taken from the end. Only what is added later is in a
    heap, mostly a small one: each pop from a heap of 100,000 takes seventeen comparisons.
    """

    def __init__(self) -> None:
        self._sorted: list[Rank] = []
        self._heap: list[Rank] = []

    def __len__(self) -> int:
        return len(self._sorted) + len(self._heap)

    def __iter__(self) -> Iterator[Rank]:
        return chain(self._sorted, self._heap)

    def keep(self, ranks: Iterable[Rank]) -> None:
        """Hold these alone: of an item that was pushed again, the older ranks are in the way."""
        self._sorted, self._heap = sorted(set(ranks), reverse=True), []

    def push(self, rank: Rank) -> int:
        """Add one; returns how many there are."""
        heapq.heappush(self._heap, rank)
        return len(self._sorted) + len(self._heap)

    def settle(self) -> None:
        """Sort what a run begins with."""
        self._sorted, self._heap = sorted(self._heap, reverse=True), []

    def first(self) -> Rank | None:
        """Return the smallest and leave it where it is; None if there is none."""
        if self._heap and not (self._sorted and self._sorted[-1] < self._heap[0]):
            return self._heap[0]
        return self._sorted[-1] if self._sorted else None

    def pop(self) -> Rank | None:
        """Take the smallest; None if there is none."""
        if self._heap and not (self._sorted and self._sorted[-1] < self._heap[0]):
            return heapq.heappop(self._heap)
        return self._sorted.pop() if self._sorted else None


class DelayedItems:
    """Items that are held back. A delay begins when `due` is called next.

    Attributes
    ----------
    until : dict of int to float, optional
        When each may be claimed again, by its id; None: its delay has not begun. Only to be read.
    """

    def __init__(self) -> None:
        self.until: dict[int, float | None] = {}
        self._delays: dict[int, float] = {}  # those that have not begun
        self._heap: list[tuple[float, int]] = []

    def add(self, item_id: int, seconds: float) -> None:
        """Hold an item back."""
        self._delays[item_id] = seconds
        self.until[item_id] = None

    def drop(self, item_id: int) -> None:
        """Hold it back no longer."""
        del self.until[item_id]

    def due(self, monotonic: float) -> Iterator[int]:
        """Begin new delays, and take out items whose delay is over."""
        for item_id, seconds in self._delays.items():
            if self.until.get(item_id, 0.0) is None:
                self.until[item_id] = monotonic + seconds
                heapq.heappush(self._heap, (monotonic + seconds, item_id))
        self._delays.clear()
        while self._heap and self._heap[0][0] <= monotonic:
            until, item_id = heapq.heappop(self._heap)
            if self.until.get(item_id) == until:
                del self.until[item_id]
                yield item_id
