"""Keeps nodes free for tasks that smaller ones have passed by for too long.

A large task that does not fit is passed by smaller ones that do: slots must not idle. But each of
them takes what the large one is waiting for, so that it would wait as long as smaller ones come.
After `after` seconds the nodes of one head that are nearest to free are reserved for it: what runs
there ends, nothing else is begun there. A head has one reservation at most, and a class is reserved
on one head at most, so that few cores idle meanwhile. Who waits longest comes first.

Only what is passed by by a task *behind* it counts. A task that waits for better ones is where its
priority puts it.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping

from adaptive_scheduler.core.rows.task_index import TaskClass
from adaptive_scheduler.core.tasks.place import Inventory
from adaptive_scheduler.core.tasks.resources import TaskResources

#: Seconds for which a task may be passed by.
STARVE_AFTER = 60.0


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
    reserved : dict of str to (TaskClass, set of int)
        Of each job that keeps nodes free: for which class, and which ones.
    """

    def __init__(self, after: float = STARVE_AFTER) -> None:
        self.after = after
        self.passed_by: dict[TaskClass, float] = {}
        self.reserved: dict[str, tuple[TaskClass, set[int]]] = {}

    def note_passed(self, classes: Collection[TaskClass], now: float) -> None:
        """A task behind those of these classes was given something that they could not use."""
        for of in classes:
            self.passed_by.setdefault(of, now)

    def note_placed(self, of: TaskClass) -> None:
        """One of a class has a place: the next one waits anew."""
        if self.passed_by.pop(of, None) is not None:
            self._release(of)

    def reserve(
        self, job: str, inventory: Inventory, classes: Container[TaskClass],
        resources: list[TaskResources], now: float,
    ) -> None:  # fmt: skip
        """Reserve nodes of a job if a class has waited for too long; release what nobody wants.

        Parameters
        ----------
        job : str
        inventory : Inventory
            The free part of it.
        classes : container of TaskClass
            Those with free tasks that may run there.
        resources : list of TaskResources
        now : float
            Monotonic seconds.
        """
        if job in self.reserved and self.reserved[job][0] not in classes:
            del self.reserved[job]
        if not self.passed_by or job in self.reserved:
            return
        taken = {of for of, _ in self.reserved.values()}
        for of, since in self.passed_by.items():
            if now - since < self.after:
                return
            if of in classes and of not in taken:
                nodes = inventory.nearest_to_free(resources[of[0]])
                if nodes is not None:
                    self.reserved[job] = of, set(nodes)
                    return

    def kept_from(self, job: str, of: TaskClass | None) -> Collection[int]:
        """Return the nodes of a job that are not for a class; with None, all that are reserved."""
        held = self.reserved.get(job)
        return () if held is None or held[0] == of else held[1]

    def keep_only(self, queued: Mapping[TaskClass, int]) -> None:
        """Forget classes without free tasks: they were cancelled, or run."""
        for of in [of for of in self.passed_by if not queued.get(of)]:
            self.forget(of)

    def forget(self, of: TaskClass) -> None:
        """A class has no free tasks any more."""
        self.passed_by.pop(of, None)
        self._release(of)

    def lose(self, job: str) -> None:
        """A job is gone."""
        self.reserved.pop(job, None)

    def _release(self, of: TaskClass) -> None:
        for job in [job for job, (other, _) in self.reserved.items() if other == of]:
            del self.reserved[job]
