"""What Submits have brought beside the tasks themselves: task resources by number, and batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from adaptive_scheduler.core.tasks.resources import (
    SizeLimits,
    TaskResources,
    is_kept_as,
    rounded_up,
)

#: So many different task resources are kept as they are; from then on memory and walltime are rounded
#: up: each kind is looked at whenever something is free, and there might be one for each task.
MOST_EXACT = 64


class TaskSubmits:
    """Task resources by number, and the tasks of each Submit.

    Parameters
    ----------
    resources : iterable of TaskResources
        By `Item.shape` of tasks.
    batches : mapping of str to list of int
        The items of each Submit that was taken.

    Attributes
    ----------
    resources : list of TaskResources
    batches : dict of str to list of int
    changed_resources, changed_batches : dict
        What is to be written to the database; whoever writes it clears these.
    """

    def __init__(
        self,
        resources: Iterable[TaskResources] = (),
        batches: Mapping[str, list[int]] | None = None,
    ) -> None:
        self.resources = list(resources)
        self.batches = dict(batches or {})
        self.changed_resources: dict[int, TaskResources] = {}
        self.changed_batches: dict[str, list[int]] = {}
        self._numbers = {one: number for number, one in enumerate(self.resources)}

    def number_of(
        self, resources: TaskResources, limits: Callable[[], SizeLimits] = SizeLimits
    ) -> int:
        """Return the number of task resources, a new one if need be.

        Parameters
        ----------
        resources : TaskResources
        limits : callable
            Returns what nodes and jobs have: what fits one of them is not made too large for it.
        """
        resources = self.as_kept(resources, limits)
        number = self._numbers.get(resources)
        if number is None:
            number = self._numbers[resources] = len(self.resources)
            self.resources.append(resources)
            self.changed_resources[number] = resources
        return number

    def as_kept(
        self, resources: TaskResources, limits: Callable[[], SizeLimits] = SizeLimits
    ) -> TaskResources:
        """Return what a new task with these resources is given: beyond `MOST_EXACT` kinds perhaps more."""
        if resources in self._numbers or len(self.resources) < MOST_EXACT:
            return resources
        return rounded_up(resources, limits())

    def numbers_of(self, resources: TaskResources) -> set[int]:
        """Return the numbers by which tasks that were submitted with these resources are known.

        There may be several: what `limits` says changes as jobs come.
        """
        exact = self._numbers.get(resources)
        if exact is not None:
            return {exact}
        rounded = range(MOST_EXACT, len(self.resources))
        return {n for n in rounded if is_kept_as(resources, self.resources[n])}

    def note_batch(self, batch: str, items: list[int]) -> None:
        """Remember which tasks a Submit made; -1: one that was refused."""
        self.batches[batch] = self.changed_batches[batch] = items
