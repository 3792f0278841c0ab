"""Which free task goes to which head, and when.

The free task of the highest priority goes first. A task gets a place if there is room for it; one
that does not fit is passed by smaller ones, but not for ever (`starvation`). Where no place is
free, tasks that take little time are handed out ahead: such a task waits in the head and takes
over the place of one of the same resources the moment that one ends, so that the slot does not
idle for as long as a message takes to the manager and back. But what waits in a head is passed by
nobody, so it is little: about `AHEAD` seconds of work in each slot, by the mean duration of the
task's function. An unknown function counts as a long one.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Sequence

from adaptive_scheduler.core.rows.events import Unplaceable
from adaptive_scheduler.core.rows.item_table import ItemTable
from adaptive_scheduler.core.rows.items import Rank, rank_of
from adaptive_scheduler.core.rows.row import TaskItem
from adaptive_scheduler.core.rows.task_index import TaskClass, class_of
from adaptive_scheduler.core.tasks.head_view import MOST_TASKS, HeadView
from adaptive_scheduler.core.tasks.place import Placement
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.tasks.starvation import Starvation
from adaptive_scheduler.core.wire.tasks import Given
from adaptive_scheduler.errors import DatabaseError

#: Seconds of work that may wait in a head for each slot.
AHEAD = 0.1
#: A task is told to have begun when it has been running for so many seconds.
TOLD_AFTER = 0.05
#: Bytes of arguments that one message brings.
MOST_BYTES = 2**20
#: How much one duration counts for the mean.
_WEIGHT = 0.05


class FunctionDurations:
    """How long the calls of each function take, on average."""

    def __init__(self) -> None:
        self._mean: dict[str, float] = {}

    def note(self, function: str, seconds: float) -> None:
        """Take in the duration of a task that has ended."""
        mean = self._mean.get(function)
        self._mean[function] = seconds if mean is None else mean + _WEIGHT * (seconds - mean)

    def of(self, function: str) -> float:
        """Seconds; infinity while nobody knows."""
        return self._mean.get(function, float("inf"))

    @property
    def is_any_short(self) -> bool:
        """Whether the calls of some function are so short that they may be handed out ahead."""
        return any(mean <= AHEAD for mean in self._mean.values())


class HandOut:
    """Hands free tasks out to heads.

    Parameters
    ----------
    items : ItemTable
    resources : list of TaskResources
        By `Item.shape` of tasks.
    spec_of : callable
        Given an item's id, its spec; DatabaseError: it is lost.
    heads : callable, optional
        Returns all heads that tasks are handed out to: nodes of one that is not asking may be kept free.

    Attributes
    ----------
    durations : FunctionDurations
    starvation : Starvation
        What is kept free for tasks that are passed by.
    """

    def __init__(
        self,
        items: ItemTable,
        resources: list[TaskResources],
        spec_of: Callable[[int], bytes],
        heads: Callable[[], Iterable[HeadView]] | None = None,
    ) -> None:
        self.durations = FunctionDurations()
        self.starvation = Starvation()
        self._items = items
        self._resources = resources
        self._spec_of = spec_of
        self._heads = heads

    def to(self, head: HeadView, wall: float, monotonic: float) -> int:
        """Hand out what a head can take; returns how many tasks.

        Parameters
        ----------
        head : HeadView
        wall, monotonic : float
            Seconds since 1970, for the rows; of the manager's clock.
        """
        classes = self._classes(head)
        self.starvation.keep_only(self._items.tasks.queued)
        self.starvation.review(head, classes)
        if self.starvation.is_any_due(monotonic):
            heads = [head] if self._heads is None else self._heads()
            self.starvation.reserve(list(heads), self._resources, monotonic)
        self.place_waiting(head)
        if self._is_full(head):
            return 0
        best = [(rank_of(item), of) for of in classes if (item := self._items.best_task(of))]
        heapq.heapify(best)
        without_place: dict[TaskClass, None] = {}
        in_turn: set[int] = set()  # resources for which a task waits that goes first where one ends
        soon: dict[int, int] = {}  # tasks that are likely to end soon, by resources
        n, size = head.mirror.unseen
        before = n
        most = min(MOST_TASKS, n + head.room)
        while best and n < most and size < MOST_BYTES:
            _, of = best[0]
            item = self._items.best_task(of)
            assert item is not None, "its rank is in the heap"
            place = None if of in without_place else self._place(head, of)
            if place is None:
                without_place[of] = None  # nothing frees while it is given more
            if place is None and (of[0] in in_turn or not self._is_ahead_useful(head, item, soon)):
                in_turn.add(of[0])  # whatever is held ahead would take over the place before it
                heapq.heappop(best)
                continue
            if place is not None:
                self.starvation.note_placed(of)
                soon.pop(of[0], None)
            self.starvation.note_passed(self._passed(head, without_place, of), monotonic)
            given = self._give(head, item, place, wall)
            if given is not None:
                size += given
                n += 1
            self._next(best, of)
        return n - before

    def recall(self, heads: Sequence[HeadView], takers: Iterable[HeadView], until: float) -> bool:
        """Take tasks back that wait in a head while another one has room for them.

        What was to end soon may run for long. Returns whether there are such tasks.

        Parameters
        ----------
        heads : sequence of HeadView
            In which tasks may wait.
        takers : iterable of HeadView
            That may be given tasks.
        until : float
            Seconds since 1970: those alone that were handed out before.
        """
        rows = self._items.rows
        takers = [taker for taker in takers if taker.mirror.inventory.free_cores]
        if not takers:  # by far the most frequent case; there may be a thousand tasks in each head
            return False
        overdue = [
            (head, given)
            for head in heads
            for given in head.mirror.waiting_tasks
            if given.item >= 0 and rows[given.item].changed < until
        ]
        found = False
        for taker in takers if overdue else ():
            free = taker.mirror.inventory.free_cores
            kept = self._kept(taker, None)
            for head, given in list(overdue):
                needs = self._resources[given.fits]
                is_for_it = (
                    head is not taker
                    and needs.cores_per_node <= free
                    and taker.takes(self._items.task(given.item))
                    and taker.has_time_for(needs)
                    and not (given.crashes and taker.mirror.suspects)
                )
                if is_for_it and taker.mirror.inventory.place(needs, kept):
                    head.mirror.recall(given.token)
                    overdue.remove((head, given))
                    free -= needs.cores_per_node
                    found = True
        return found

    def place_waiting(self, head: HeadView) -> None:
        """Let tasks that wait in a head begin where something has become free."""
        head.mirror.place_waiting(self._resources, self._kept(head, None), MOST_TASKS)

    def _kept(self, head: HeadView, of: TaskClass | None) -> Collection[int]:
        """Return the nodes of a head that are not for a class: avoided, or reserved for others."""
        reserved = self.starvation.kept_from(head.job, of)
        return head.avoided.union(reserved) if head.avoided else reserved

    def _is_full(self, head: HeadView) -> bool:
        """Whether it can be given nothing, whatever the classes are: there may be many thousands."""
        may_wait = head.batch_size is not None or self.durations.is_any_short
        return not head.mirror.inventory.free_cores and not may_wait

    def _next(self, best: list[tuple[Rank, TaskClass]], of: TaskClass) -> None:
        following = self._items.best_task(of)
        if following is None:
            heapq.heappop(best)
            self.starvation.forget(of)
        else:
            heapq.heapreplace(best, (rank_of(following), of))
        if of[2]:  # of those that died before, whatever they need, a head runs one at a time
            best[:] = [one for one in best if not one[1][2]]
            heapq.heapify(best)

    def _passed(
        self, head: HeadView, without_place: Iterable[TaskClass], of: TaskClass
    ) -> list[TaskClass]:
        """Classes whose best task is in front of those of `of` and could run there some day."""
        return [
            other for other in without_place
            if other != of and other not in self.starvation.passed_by
            and head.mirror.inventory.could_hold(self._resources[other[0]])
        ]  # fmt: skip

    def _classes(self, head: HeadView) -> list[TaskClass]:
        resources = self._resources
        return [
            of for of, n in self._items.tasks.queued.items()
            if n and head.may_have(resources[of[0]], of)
        ]  # fmt: skip

    def _place(self, head: HeadView, of: TaskClass) -> Placement | None:
        return head.mirror.inventory.place(self._resources[of[0]], self._kept(head, of))

    def _is_ahead_useful(self, head: HeadView, item: TaskItem, soon: dict[int, int]) -> bool:
        if self._kept(head, class_of(item)):
            return False  # it might take over a place on a node that is to become free
        if head.batch_size is not None:
            return bool(head.mirror.placed(item.shape))
        mean = self.durations.of(item.function)
        if mean > AHEAD:
            return False
        if item.shape not in soon:
            tasks = head.mirror.placed_tasks(item.shape)
            soon[item.shape] = sum(self._ends_soon(head, one) for one in tasks)
        waiting = len(head.mirror.waiting(item.shape))
        slots = soon[item.shape]
        return bool(slots) and (waiting + 1) * mean <= AHEAD * slots

    def _ends_soon(self, head: HeadView, given: Given) -> bool:
        """Whether the place of a task is likely to be free within `AHEAD` seconds.

        Not if it has been running for `TOLD_AFTER`, and its function mostly takes less: nobody knows
        what it waits for, perhaps for a task that would be held ahead behind it.
        """
        mean = self.durations.of(given.function)
        is_late = mean < TOLD_AFTER and given.token in head.mirror.pids
        return mean <= AHEAD and not is_late

    def _give(
        self, head: HeadView, item: TaskItem, place: Placement | None, wall: float
    ) -> int | None:
        """Hand out one task; returns the size of its spec. None: that is lost, and the task fails."""
        try:
            spec = self._spec_of(item.id)
        except DatabaseError as lost:
            reason = (
                f"what it is to do cannot be read: {lost} Restore that file and retry the task."
            )
            self._items.apply(item.id, Unplaceable(reason), wall)
            return None
        granted = self._items.grant(item, head.job, wall)
        head.mirror.give(
            Given(
                item.id, granted.token, item.shape, place, item.priority, item.function, spec,
                item.attempts + 1, item.timeout, self._resources[item.shape].threads_per_rank,
                item.crashes,
            )
        )  # fmt: skip
        return len(spec)
