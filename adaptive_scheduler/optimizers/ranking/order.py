"""The order of candidates, and which of them are still to be asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random
from typing import Any

import numpy as np

#: Numbers that are looked at together: mostly few are wanted, of perhaps a million.
AT_ONCE = 1000


class RankedOrder:
    """Numbers of candidates, the best first.

    Parameters
    ----------
    n : int
    random : Random, optional
        Shuffles them; else they begin in their order.
    """

    def __init__(self, n: int, random: Random | None = None) -> None:
        first = list(range(n))
        if random is not None:
            random.shuffle(first)
        self._taken: set[int] = set()
        self._set(np.array(first))

    def _set(self, order: np.ndarray[Any, Any]) -> None:
        self._order, self._begin = order, 0
        self._place = np.empty_like(order)
        self._place[order] = np.arange(len(order))

    def __len__(self) -> int:
        return len(self._order)

    def left(self) -> Iterator[int]:
        """Yield the numbers that nobody has taken, the best first."""
        while self._begin < len(self) and self._order[self._begin] in self._taken:
            self._begin += 1
        for begin in range(self._begin, len(self), AT_ONCE):
            for number in self._order[begin : begin + AT_ONCE].tolist():
                if number not in self._taken:
                    yield number

    def take(self, number: int) -> None:
        """Let a number be left no more."""
        self._taken.add(number)

    def give_back(self, numbers: Iterable[int]) -> None:
        """Let numbers be left again."""
        self._taken.difference_update(numbers)
        self._begin = 0

    def gain(self, number: int) -> float:
        """Return how early a number is: 1 of the first, and more than 0 of the last."""
        return 1.0 - float(self._place[number]) / len(self)

    def sort_by(self, promise: Any) -> None:
        """Let what promises most be first; what promises the same stays in its order."""
        self._set(self._order[np.argsort(-np.asarray(promise)[self._order], kind="stable")])
