"""Indexes of those items that are tasks: how many are free, who holds which, in which order they ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from adaptive_scheduler.core.rows.row import QUEUED, RUNNING, Item, TaskItem

#: Tasks that follow each other in one place, and that one pool accepts: task resources and tag. The
#: last one says whether they died before: a head runs one of these at a time.
TaskClass = tuple[int, str, bool]


def class_of(item: TaskItem) -> TaskClass:
    """Which tasks may take the place of this one when it ends."""
    return item.shape, item.tag, item.crashes > 0


class TaskIndex:
    """Indexes of the tasks of a run.

    Attributes
    ----------
    queued : dict of TaskClass to int
        How many free ones there are.
    of_job : dict of str to dict of int to int
        Of each job its tasks, by their tokens.
    by_key : dict of str to int
        Ids by key.
    ends : list of int
        Ids in the order in which they ended. One that was tried again stands there twice: its row
        has the number of the end that counts. -1: that end counts no more.
    """

    def __init__(self) -> None:
        self.queued: defaultdict[TaskClass, int] = defaultdict(int)
        self.of_job: defaultdict[str, dict[int, int]] = defaultdict(dict)
        self.by_key: dict[str, int] = {}
        self.ends: list[int] = []

    def read_ends(self, rows: Iterable[Item]) -> None:
        """Put tasks that have ended in their order; they have been added."""
        ended = [item for item in rows if type(item) is TaskItem and item.ended]
        self.ends = [-1] * max((item.ended for item in ended), default=0)
        for item in ended:
            self.ends[item.ended - 1] = item.id

    def enter(self, item: TaskItem) -> None:
        """Count a row as it is now."""
        if item.phase is QUEUED:
            self.queued[class_of(item)] += 1
        elif item.phase is RUNNING:
            assert item.job is not None
            self.of_job[item.job][item.token] = item.id

    def leave(self, item: TaskItem) -> None:
        """Count a row no more as it was."""
        if item.phase is QUEUED:
            self.queued[class_of(item)] -= 1
        elif item.phase is RUNNING:
            assert item.job is not None
            held = self.of_job[item.job]
            del held[item.token]
            if not held:
                del self.of_job[item.job]
