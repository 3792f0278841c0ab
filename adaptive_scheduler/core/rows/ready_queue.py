"""Items that can be claimed, in their order, and items that are held back for a while."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from adaptive_scheduler.core.rows.items import Rank

#: Ranks that are looked at in one step of `ReadyQueue.clear_out`, and calls of it for one step.
PART, CALLS = 4_000, 2_000


class ReadyQueue:
    """Ranks, the smallest first. Of an item that was pushed again, the older ranks are still there.

    What a run begins with is sorted once and taken from the end. What is added later is in a heap,
    mostly a small one: each pop from a heap of 100,000 takes seventeen comparisons. Ranks that are
    true no more are taken out in small steps: to sort a million anew would stop the manager for
    seconds.
    """

    def __init__(self) -> None:
        self._n = 0
        self._heap: list[Rank] = []
        self._runs: list[list[Rank]] = []  # each is sorted, and its smallest is the last
        self._lasts: list[tuple[Rank, int]] = []  # a heap: of each run its last one, and its place
        self._calls = 0
        self._unswept: list[list[Rank]] = []  # runs that this sweep has still to look at
        self._at = 0  # in the last of these
        self._seen: set[int] = set()  # items of which this sweep has found a true rank

    def __len__(self) -> int:
        return self._n

    def push(self, rank: Rank) -> int:
        """Add one; returns how many there are."""
        heapq.heappush(self._heap, rank)
        self._n += 1
        return self._n

    def settle(self) -> None:
        """Sort what a run begins with."""
        self._runs, self._heap = [sorted(self._heap, reverse=True)], []
        self._note_runs()

    def first(self) -> Rank | None:
        """Return the smallest and leave it where it is; None if there is none."""
        if self._heap and not (self._lasts and self._lasts[0][0] < self._heap[0]):
            return self._heap[0]
        return self._lasts[0][0] if self._lasts else None

    def pop(self) -> Rank | None:
        """Take the smallest; None if there is none."""
        if not self._n:
            return None
        self._n -= 1
        if self._heap and not (self._lasts and self._lasts[0][0] < self._heap[0]):
            return heapq.heappop(self._heap)
        rank, place = self._lasts[0]
        run = self._runs[place]
        run.pop()
        if run:
            heapq.heapreplace(self._lasts, (run[-1], place))
        else:
            heapq.heappop(self._lasts)
        return rank

    # ------------------------------------------------------------------- what is in the way

    def clear_out(self, is_true: Callable[[Rank], bool]) -> None:
        """Take some ranks out that are not true. To be called at each push while there are too many.

        Parameters
        ----------
        is_true : callable
            Whether a rank is that of an item that is free now. An item becomes free, or gets
            another rank, only with a push.
        """
        self._calls += 1
        if self._calls < CALLS:
            return
        self._calls = 0
        self._sweep(is_true)
        self._thin_heap(is_true)
        self._join_small()
        self._note_runs()

    def _sweep(self, is_true: Callable[[Rank], bool]) -> None:
        """Look at a part of the runs.

        A second true rank of an item goes too. None of these is the last that was pushed: runs that
        are new since the sweep began are left to the next one.
        """
        if not self._unswept:
            self._unswept, self._at = list(self._runs), 0
            self._seen.clear()
        left = PART
        while left > 0 and self._unswept:
            run, begin = self._unswept[-1], self._at
            part = run[begin : begin + left]
            run[begin : begin + left] = kept = _true_ones(part, is_true, self._seen)
            left -= len(part)
            self._n -= len(part) - len(kept)
            self._at += len(kept)
            if self._at >= len(run):
                self._unswept.pop()
                self._at = 0

    def _thin_heap(self, is_true: Callable[[Rank], bool]) -> None:
        """Make a run of a part of the heap: without its end, it is still a heap."""
        part = self._heap[-PART:]
        del self._heap[-PART:]
        kept = _true_ones(part, is_true, set())
        self._n -= len(part) - len(kept)
        self._runs.append(sorted(kept, reverse=True))

    def _join_small(self) -> None:
        """Keep the runs few."""
        unswept = set(map(id, self._unswept))
        runs = sorted(filter(None, self._runs), key=len)
        small = [run for run in runs if id(run) not in unswept][:3]
        if sum(map(len, small)) <= PART:
            joined = sorted(chain(*small), reverse=True)
            runs = [run for run in runs if not any(run is one for one in small)] + [joined]
        self._runs = runs

    def _note_runs(self) -> None:
        self._lasts = [(run[-1], place) for place, run in enumerate(self._runs) if run]
        heapq.heapify(self._lasts)


def _true_ones(
    ranks: Iterable[Rank], is_true: Callable[[Rank], bool], seen: set[int]
) -> list[Rank]:
    """Those that are true, one of each item that was not seen before."""
    found = []
    for rank in ranks:
        if rank[2] not in seen and is_true(rank):
            seen.add(rank[2])
            found.append(rank)
    return found


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

    def left_of(self, item_id: int) -> float:
        """Return the seconds of a delay that has not begun."""
        return self._delays[item_id]

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
