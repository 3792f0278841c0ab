"""Numbers tasks as adaptive-scheduler 2 does: in groups, each of which is a learner there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class TaskID(NamedTuple):
    """A task: the number of its function, and its place among the tasks of that."""

    learner_index: int
    sequence_index: int


class TaskGroups:
    """Groups of at most `size` tasks of one function; each has one entry in tuples of resources.

    Parameters
    ----------
    size : int, optional
        Default: all tasks of a function are one group.
    """

    def __init__(self, size: int | None) -> None:
        self._size = size
        self._numbers: dict[Any, int] = {}
        self._counts: list[int] = []
        self._groups: dict[tuple[int, int], int] = {}
        self._kept: list[Callable[..., Any]] = []

    def add(self, function: Callable[..., Any]) -> TaskID:
        """Number a new task."""
        number = self._number(function)
        task = TaskID(number, self._counts[number])
        self._counts[number] += 1
        return task

    def _number(self, function: Callable[..., Any]) -> int:
        try:
            hash(function)
        except TypeError:
            key: Any = id(function)
        else:
            key = function
        if key not in self._numbers:
            self._numbers[key] = len(self._counts)
            self._counts.append(0)
            self._kept.append(function)  # while it lives, no other has its id
        return self._numbers[key]

    def group_of(self, task: TaskID) -> int:
        """Return the number of a task's group; those numbered first keep their numbers."""
        part = 0 if self._size is None else task.sequence_index // self._size
        return self._groups.setdefault((task.learner_index, part), len(self._groups))

    def count(self) -> int:
        """Number the groups of all tasks, function by function; returns how many there are."""
        for number, tasks in enumerate(self._counts):
            for place in range(0, tasks, self._size or max(1, tasks)):
                self.group_of(TaskID(number, place))
        return len(self._groups)
