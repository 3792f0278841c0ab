"""Keeps nodes free for tasks that smaller ones have passed by for too long.

A large task that does not fit is passed by smaller ones that do: slots must not idle. But each of
them takes what the large one is waiting for, so that it would wait as long as smaller ones come.
After `after` seconds nodes of one head are reserved for it, those that are nearest to free of all
heads that could hold it: what runs there ends, nothing else is begun there. A class is reserved on one
head at most, and all that starve together on half of the nodes of a head, or on as many as one of them
needs, so that few cores idle meanwhile. Who waits longest comes first.

A reservation ends when a task of the class begins, wherever that is, and when the class has no free
tasks any more. It is made anew on another head if its head leaves, has not enough time left, or loses
one of the nodes.

Only what is passed by by a task *behind* it counts. A task that waits for better ones is where its
priority puts it.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping, Sequence

import msgspec

from adaptive_scheduler.core.rows.task_index import TaskClass
from adaptive_scheduler.core.tasks.head_view import HeadView
from adaptive_scheduler.core.tasks.resources import TaskResources

#: Seconds for which a task may be passed by.
STARVE_AFTER = 60.0


class Reservation(msgspec.Struct, frozen=True):
    """Nodes of one head that are kept free for the tasks of one class."""

    job: str
    nodes: frozenset[int]


class Starvation:
    """Which classes of tasks are passed by, and what is kept free for them.

    Parameters
    ----------
    after : float
        Seconds for which a task may be passed by.

    Attributes
    ----------
    passed_by : dict of TaskClass to float
        Since when, on the manager's monotonic clock; the oldest first.
    reserved : dict of TaskClass to Reservation
    has_released : bool
        Nodes were released, on which others may begin; whoever lets them begin clears this.
    """

    def __init__(self, after: float = STARVE_AFTER) -> None:
        self.after = after
        self.passed_by: dict[TaskClass, float] = {}
        self.reserved: dict[TaskClass, Reservation] = {}
        self.has_released = False

    # ------------------------------------------------------------------ who starves

    def note_passed(self, classes: Collection[TaskClass], now: float) -> None:
        """A task behind those of these classes was given something that they could not use."""
        for of in classes:
            self.passed_by.setdefault(of, now)

    def note_placed(self, of: TaskClass) -> None:
        """One of a class has a place: the next one waits anew."""
        self.forget(of)

    def keep_only(self, queued: Mapping[TaskClass, int]) -> None:
        """Forget classes without free tasks: they were cancelled, or run."""
        for of in [of for of in self.passed_by if not queued.get(of)]:
            self.forget(of)

    def forget(self, of: TaskClass) -> None:
        """A class has no free tasks any more."""
        self.passed_by.pop(of, None)
        self._release(of)

    def _release(self, of: TaskClass) -> None:
        if self.reserved.pop(of, None) is not None:
            self.has_released = True

    # ------------------------------------------------------------------ what is kept free

    def is_any_due(self, now: float) -> bool:
        """Whether a class has waited for too long, and nothing is reserved for it."""
        return any(
            now - since >= self.after and of not in self.reserved
            for of, since in self.passed_by.items()
        )

    def reserve(
        self, heads: Sequence[HeadView], resources: Sequence[TaskResources], now: float
    ) -> None:
        """Reserve nodes for all classes that have waited for too long, as far as there are any.

        Parameters
        ----------
        heads : sequence of HeadView
        resources : sequence of TaskResources
            By number.
        now : float
            Monotonic seconds.
        """
        for of, since in self.passed_by.items():
            if now - since < self.after:
                return
            if of not in self.reserved:
                self._reserve(of, heads, resources[of[0]])

    def _reserve(self, of: TaskClass, heads: Sequence[HeadView], task: TaskResources) -> None:
        best: tuple[tuple[float, ...], Reservation] | None = None
        for head in heads:
            if head.is_going or not head.may_have(task, of):
                continue
            kept = self.kept_from(head.job, of)
            inventory = head.mirror.inventory
            nodes = inventory.nearest_to_free(task, head.avoided.union(kept))
            if nodes is None or (kept and 2 * (len(kept) + len(nodes)) > len(inventory.nodes)):
                continue
            missing = inventory.missing(task, nodes)
            if best is None or missing < best[0]:
                best = missing, Reservation(head.job, frozenset(nodes))
        if best is not None:
            self.reserved[of] = best[1]

    def review(self, head: HeadView, classes: Container[TaskClass]) -> None:
        """Release nodes of a head that are of no use any more: another head may have some.

        Parameters
        ----------
        head : HeadView
        classes : container of TaskClass
            Those with free tasks that may run there.
        """
        useless = head.mirror.inventory.lost | head.avoided
        for of, one in list(self.reserved.items()):
            if one.job == head.job and (of not in classes or not useless.isdisjoint(one.nodes)):
                self._release(of)

    def kept_from(self, job: str, of: TaskClass | None) -> Collection[int]:
        """Return the nodes of a job that are not for a class; with None, all that are reserved."""
        if not self.reserved:
            return ()
        others = [
            one.nodes for other, one in self.reserved.items() if one.job == job and other != of
        ]
        return frozenset().union(*others)

    def lose(self, job: str) -> None:
        """A job is gone, or is given nothing more."""
        for of in [of for of, one in self.reserved.items() if one.job == job]:
            self._release(of)
