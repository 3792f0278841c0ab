"""One head as those see it who hand tasks out: what it may be given."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from adaptive_scheduler.core.rows.row import TaskItem
from adaptive_scheduler.core.rows.task_index import TaskClass
from adaptive_scheduler.core.tasks.head_mirror import HeadMirror
from adaptive_scheduler.core.tasks.resources import TaskResources

#: Tasks that one message brings.
MOST_TASKS = 1000
#: A job counts as new while it has so much of the time that it had for tasks, if that was so much
#: of its walltime: else only its manager is new.
_NEW, _WHOLE = 0.95, 0.75


@dataclass
class HeadView:
    """What is handed out to one head.

    Attributes
    ----------
    job : str
    mirror : HeadMirror
    accepts : collection of str
        Tags; empty: all tasks.
    seconds_left : float
        Until its job ends.
    most_left : float
        The most that this was.
    walltime : float
        Of the jobs of its pool; 0.0: it has none, or that is not limited.
    batch_size : int, optional
    threshold : int
        As those of its `Pool`.
    avoided : frozenset of int
        Nodes that are given nothing: tasks fail fast there, and only there.
    is_going : bool
        It is given nothing more.
    """

    job: str
    mirror: HeadMirror
    accepts: Collection[str] = ()
    seconds_left: float = float("inf")
    most_left: float = 0.0
    walltime: float = 0.0
    batch_size: int | None = None
    threshold: int = 1
    avoided: frozenset[int] = frozenset()
    is_going: bool = False

    def could_hold(self, task: TaskResources) -> bool:
        """Whether such a task could run there, while nothing else does."""
        return self.has_time_for(task) and self.mirror.inventory.could_ever_hold(task)

    def note_left(self, seconds: float) -> None:
        """Take in how long it is until its job ends."""
        self.seconds_left = seconds
        if seconds < float("inf"):
            self.most_left = max(self.most_left, seconds)

    def has_time_for(self, task: TaskResources) -> bool:
        """Whether such a task can end before its job does, or has as long there as anywhere.

        A job needs some of its walltime to begin and to end. A task that asks for so much of it that
        no job of the pool ever has that left is begun where a job is new: else it would wait for ever.
        """
        needed = task.walltime or 0.0
        if needed <= self.seconds_left:
            return True
        was_whole = self.most_left >= _WHOLE * self.walltime
        is_new = was_whole and self.seconds_left >= _NEW * self.most_left
        return self.most_left < needed <= self.walltime and is_new

    def may_have(self, task: TaskResources, of: TaskClass) -> bool:
        """Whether a task of a class may be given to it, if there is a place."""
        return (
            (not self.accepts or of[1] in self.accepts)
            and self.has_time_for(task)
            and not (of[2] and self.mirror.suspects)
        )

    def takes(self, task: TaskItem) -> bool:
        """Whether it accepts such a task, and may be given one more."""
        return bool(self.room) and (not self.accepts or task.tag in self.accepts)

    @property
    def room(self) -> int:
        """How many tasks it may be given by its batch size and threshold."""
        if self.batch_size is None:
            return MOST_TASKS
        missing = self.batch_size - len(self.mirror.given)
        return missing if missing >= self.threshold else 0
