"""All items of a run with their indexes: which can be claimed, who holds which, which waits for which.

No rule of a row stands here; see `core.rows.items`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, KeysView, Mapping, Sequence

import msgspec

from adaptive_scheduler.core.rows.events import (
    Cancelled,
    Claimed,
    Event,
    Granted,
    Postponed,
    Prioritised,
    Retried,
    TaskEnded,
    Unplaceable,
)
from adaptive_scheduler.core.rows.items import (
    Rank,
    effect_on_dependant,
    end_of_waiting,
    rank_of,
    step,
    was_blocked,
)
from adaptive_scheduler.core.rows.ready_queue import DelayedItems, ReadyQueue
from adaptive_scheduler.core.rows.retry_decision import Budget, retry_delay
from adaptive_scheduler.core.rows.row import (
    DONE,
    OVER,
    QUEUED,
    RUNNING,
    WAITING,
    Item,
    Phase,
    TaskItem,
)
from adaptive_scheduler.core.rows.task_index import TaskClass, TaskIndex, class_of
from adaptive_scheduler.core.wire.messages import Owner, Refused, Report
from adaptive_scheduler.errors import InputError

#: Ranks that are not true any more and that a queue may hold beside as many as it has true ones.
MOST_STALE = 10_000


class Dependencies:
    """Counts for each item how many of those that it depends on are not DONE.

    Parameters
    ----------
    rows : sequence of Item
        In any phase: of a new run, or read from a journal.

    Raises
    ------
    InputError
        One depends on an item that does not exist.
    """

    def __init__(self, rows: Sequence[Item]) -> None:
        dependants: defaultdict[int, list[int]] = defaultdict(list)
        for item in rows:
            for parent in set(item.depends_on):
                dependants[parent].append(item.id)
        if any(not 0 <= parent < len(rows) for parent in dependants):
            raise InputError("an item of the database depends on one that does not exist.")
        self._dependants = dependants
        self._undone = {
            item.id: sum(rows[parent].phase is not DONE for parent in set(item.depends_on))
            for item in rows
            if item.depends_on
        }

    def add(self, item: Item, rows: Sequence[Item]) -> None:
        """Count for an item that is new; those that it depends on are there."""
        for parent in set(item.depends_on):
            self._dependants[parent].append(item.id)
        if item.depends_on:
            undone = sum(rows[parent].phase is not DONE for parent in set(item.depends_on))
            self._undone[item.id] = undone

    def __iter__(self) -> Iterator[int]:
        """Ids of items that depend on others."""
        return iter(self._undone)

    def dependants(self, item_id: int) -> Sequence[int]:
        """Ids of the items that depend on this one."""
        return self._dependants.get(item_id, ())

    def undone(self, item_id: int) -> int:
        """How many of those that this item depends on are not DONE."""
        return self._undone.get(item_id, 0)

    def effects(self, before: Item, after: Item) -> list[tuple[int, Event]]:
        """Take in that an item's phase has changed; returns the events that follow, by item."""
        found: list[tuple[int, Event]] = []
        for item_id in self._dependants.get(after.id, ()):
            self._undone[item_id] += (before.phase is DONE) - (after.phase is DONE)
            effect = effect_on_dependant(before, after, self._undone[item_id])
            if effect is not None:
                found.append((item_id, effect))
        if after.phase is QUEUED and self._undone.get(after.id):
            found.append((after.id, Postponed()))  # what it needs was reopened while it ran
        return found


class ItemTable:
    """The items of a run. Mutable, without I/O; no operation on one item scans or copies the others.

    Parameters
    ----------
    items : iterable of Item
        Their ids are 0, 1, 2, …
    budget : Budget
        How often an item may fail.

    Attributes
    ----------
    rows : list of Item
        By id.
    changed : dict of int to Item
        Items that changed since somebody last emptied it, the last one last: what the journal must
        write.
    phases : dict of Phase to int
        How many items are in each.
    queued, running : dict of int to int
        How many items of each shape are in this phase.
    last_token : int
        The highest token that was given.
    """

    def __init__(self, items: Iterable[Item], budget: Budget | None = None) -> None:
        self.budget = budget or Budget()
        self.rows: list[Item] = []
        self.changed: dict[int, Item] = {}
        # no Counters: with their own __delitem__ they take twice as long to write to
        self.phases: dict[Phase, int] = dict.fromkeys(Phase, 0)
        self.queued: defaultdict[int, int] = defaultdict(int)
        self.running: defaultdict[int, int] = defaultdict(int)
        self.tasks = TaskIndex()
        self.last_token = 0
        self._by_job: dict[str, int] = {}
        self._by_token: dict[int, int] = {}
        #: By the shape of learners, and the class of tasks.
        self._ready: defaultdict[int | TaskClass, ReadyQueue] = defaultdict(ReadyQueue)
        self._delayed = DelayedItems()
        for item in items:
            self._add(item)
        self.tasks.read_ends(self.rows)
        for queue in self._ready.values():
            queue.settle()
        self._dependencies = Dependencies(self.rows)
        self._settle()

    def __len__(self) -> int:
        return len(self.rows)

    def _add(self, item: Item) -> None:
        if item.id != len(self.rows):
            raise InputError(f"row {len(self.rows)} of the database has the id {item.id}.")
        self.rows.append(item)
        if item.token > self.last_token:
            self.last_token = item.token
        if type(item) is TaskItem and item.key:
            self.tasks.by_key[item.key] = item.id
        self._enter(item)

    def append(self, items: Sequence[Item], now: float) -> None:
        """Add rows while the run goes on; their ids follow those that there are."""
        for item in items:
            if any(not 0 <= parent < item.id for parent in item.depends_on):
                raise InputError(f"item {item.id} depends on a row that does not exist.")
            self._add(item)
            self.changed[item.id] = item
            self._dependencies.add(item, self.rows)
            if item.depends_on:
                self._settle_one(item.id, now, Postponed(reason=""))

    def _settle(self) -> None:
        """Make the phases agree with the dependencies: a manager may have died between two rows."""
        for item_id in self._dependencies:
            self._settle_one(item_id, self.rows[item_id].changed, Postponed())

    def _settle_one(self, item_id: int, now: float, postponed: Postponed) -> None:
        if self.rows[item_id].phase is QUEUED and self._dependencies.undone(item_id):
            self.apply(item_id, postponed, now)
        self._settle_waiting(item_id, now)

    def _settle_waiting(self, item_id: int, now: float) -> None:
        """Queue an item that waits for nothing, or fail it if it waits for something in vain."""
        item = self.rows[item_id]
        if item.phase is WAITING:
            event = end_of_waiting(self.rows[parent] for parent in item.depends_on)
            if event is not None:
                self.apply(item_id, event, now)

    # ------------------------------------------------------------------- indexes

    def _enter(self, item: Item) -> None:
        self.phases[item.phase] += 1
        if type(item) is TaskItem:
            self._enter_task(item)
            return
        if item.token:
            self._by_token[item.token] = item.id
        if item.phase is QUEUED:
            self.queued[item.shape] += 1
            if item.id not in self._delayed.until:
                self._push(item)
        elif item.phase is RUNNING:
            assert item.job is not None
            self.running[item.shape] += 1
            self._by_job[item.job] = item.id

    def _enter_task(self, item: TaskItem) -> None:
        if item.id in self._delayed.until:
            return  # it is in no index, so that no job is wanted for it
        self.tasks.enter(item)
        if item.phase is QUEUED:
            self._push(item)

    def _leave(self, item: Item) -> None:
        self.phases[item.phase] -= 1
        if type(item) is TaskItem:
            if item.id in self._delayed.until:
                self._delayed.drop(item.id)  # it was in no index
            else:
                self.tasks.leave(item)
            return
        if item.phase is QUEUED:
            self.queued[item.shape] -= 1
            if item.id in self._delayed.until:
                self._delayed.drop(item.id)
        elif item.phase is RUNNING:
            assert item.job is not None
            self.running[item.shape] -= 1
            del self._by_job[item.job]

    def _push(self, item: Item) -> None:
        if type(item) is not TaskItem:
            self._ready[item.shape].push(rank_of(item))
            return
        of = class_of(item)
        queue = self._ready[of]
        if queue.push(rank_of(item)) > MOST_STALE + 2 * self.tasks.queued[of]:
            queue.clear_out(self._is_true)

    def _is_true(self, rank: Rank) -> bool:
        item = self.rows[rank[2]]
        is_free = item.phase is QUEUED and item.id not in self._delayed.until
        return is_free and rank == rank_of(item)

    def _take_first(self, shape: int) -> Item | None:
        """Take ranks off the queue until one is still true."""
        queue = self._ready[shape]
        while (rank := queue.pop()) is not None:
            item = self.rows[rank[2]]
            is_true = item.phase is QUEUED and rank == rank_of(item)
            if is_true and item.id not in self._delayed.until:
                return item
        return None

    # -------------------------------------------------------------------- events

    def apply(self, item_id: int, event: Event, now: float) -> Item | Refused:
        """Apply one event to one item, and what follows from it to those that depend on it.

        Parameters
        ----------
        item_id : int
        event : Event
        now : float
            Seconds since 1970.
        """
        effects: list[tuple[int, Event]] = []
        answer = self._apply_one(item_id, event, now, effects)
        while effects:  # not by recursion: chains of dependencies are long
            self._apply_one(*effects.pop(), now, effects)
        return answer

    def _apply_one(
        self, item_id: int, event: Event, now: float, effects: list[tuple[int, Event]]
    ) -> Item | Refused:
        before = self.rows[item_id]
        after = step(before, event, now, self.budget)
        if type(after) is Refused or after is before:
            return after
        if type(event) is Prioritised and item_id in self._delayed.until:
            self.rows[item_id] = self.changed[item_id] = after  # it is in no queue
            return after
        if type(after) is TaskItem and after.phase in OVER:
            self.tasks.ends.append(item_id)
            msgspec.structs.force_setattr(after, "ended", len(self.tasks.ends))
        self._leave(before)
        self.rows[item_id] = after
        self.changed.pop(item_id, None)  # a job's old item must be written before its new one
        self.changed[item_id] = after
        self.last_token = max(self.last_token, after.token)
        if delay := retry_delay(after, event):
            self._delayed.add(item_id, delay)
        self._enter(after)
        if after.phase is not before.phase:
            effects += self._dependencies.effects(before, after)
        return after

    def wake_delayed(self, monotonic: float) -> bool:
        """Begin the delays of items that have failed since, and queue those whose delay is over.

        Returns whether there are any of these.
        """
        due = [self.rows[item_id] for item_id in self._delayed.due(monotonic)]
        for item in due:
            if type(item) is TaskItem:
                self._enter_task(item)
            else:
                self._push(item)
        return bool(due)

    def delay_left(self, item_id: int, monotonic: float) -> float | None:
        """Seconds for which an item is still held back; None: it is not."""
        if item_id not in self._delayed.until:
            return None
        until = self._delayed.until[item_id]
        return self._delayed.left_of(item_id) if until is None else max(0.0, until - monotonic)

    # -------------------------------------------------------------------- claims

    def claim(
        self, owner: Owner, shape: int, now: float, last: Report | None = None, output: str = ""
    ) -> Item | Refused | None:
        """Give the item that this client's job holds, or the first of a shape; None: there is none.

        Parameters
        ----------
        owner : Owner
        shape : int
        now : float
            Seconds since 1970.
        last : Report, optional
            What an earlier client of this job last reported of its item.
        output : str
            The end of what the job printed.
        """
        held = self._by_job.get(owner.job)
        if held is not None:
            taken = self.apply(held, Claimed(owner, self.last_token + 1, last, output), now)
            if isinstance(taken, Refused) or taken.phase is RUNNING:
                return taken
        item = self._take_first(shape)
        if item is None:
            return None
        return self.apply(item.id, Claimed(owner, self.last_token + 1), now)

    def held_by(self, job: str) -> Item | None:
        """The item that a job holds."""
        item_id = self._by_job.get(job)
        return None if item_id is None else self.rows[item_id]

    @property
    def holders(self) -> KeysView[str]:
        """Jobs that hold an item."""
        return self._by_job.keys()

    def by_token(self, token: int) -> Item | None:
        """The item that a token was given for; None if no item remembers it."""
        item_id = self._by_token.get(token)
        return None if item_id is None else self.rows[item_id]

    # -------------------------------------------------------------------- tasks

    def task(self, item_id: int) -> TaskItem:
        """The row of a task."""
        item = self.rows[item_id]
        assert type(item) is TaskItem, item
        return item

    def best_task(self, of: TaskClass) -> TaskItem | None:
        """The free task of a class that goes first; it stays where it is."""
        queue = self._ready[of]
        while (rank := queue.first()) is not None:
            if self._is_true(rank):
                return self.task(rank[2])
            queue.pop()
        return None

    def grant(self, item: Item, job: str, now: float) -> Item:
        """Hand a free task out to the head of a job."""
        granted = self.apply(item.id, Granted(job, self.last_token + 1), now)
        assert isinstance(granted, Item), granted
        return granted

    def end_task(self, row: int, event: TaskEnded, now: float) -> Item | Refused:
        """A head told of an end."""
        return self.apply(row, event, now)

    def prioritise(self, row: int, priority: float, now: float) -> Item | Refused:
        """Change the priority of an item that has not ended."""
        return self.apply(row, Prioritised(priority), now)

    def fail_class(self, of: TaskClass, reason: str, now: float) -> None:
        """Fail all free tasks of a class: no pool can hold them."""
        while (item := self.best_task(of)) is not None:
            self.apply(item.id, Unplaceable(reason), now)

    # ------------------------------------------------------------------- people
    # ------------------------------------------------------------------- control

    def cancel(self, now: float, reports: Mapping[int, Report] | None = None) -> None:
        """Cancel every item that has not ended; `reports` are the last ones of those that run."""
        last = reports or {}
        for item_id in range(len(self.rows)):
            # all end alike: what follows for those that depend on it does not matter
            self._apply_one(item_id, Cancelled(last=last.get(item_id)), now, [])

    def retry(self, item_ids: Sequence[int], now: float) -> int:
        """Queue ended items again, with those that they had blocked; returns how many."""
        retried: list[int] = []
        wanted = list(reversed(item_ids))
        while wanted:  # not by recursion: chains of dependencies are long
            item_id = wanted.pop()
            is_waiting = self._dependencies.undone(item_id) > 0
            if isinstance(self.apply(item_id, Retried(is_waiting), now), Refused):
                continue
            retried.append(item_id)
            dependants = self._dependencies.dependants(item_id)
            wanted += [child for child in dependants if was_blocked(self.rows[child])]
        for item_id in retried:
            self._settle_waiting(item_id, now)  # another that it depends on may not be retried
        return len(retried)

    # ------------------------------------------------------------------- counts

    @property
    def unfinished(self) -> int:
        """Items that have not ended."""
        return self.phases[WAITING] + self.phases[QUEUED] + self.phases[RUNNING]

    def may_become_free(self, shape: int) -> bool:
        """Whether a client of this shape may get something later."""
        return bool(self.queued[shape] or self.running[shape] or self.phases[WAITING])
