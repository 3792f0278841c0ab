"""All rows with their indexes: what is free, who runs what, who waits for whom."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, KeysView, Mapping, Sequence

import msgspec

from adaptive_scheduler.core.rows.events import (
    Blocked,
    Cancelled,
    Claimed,
    Event,
    Granted,
    Postponed,
    Prioritised,
    Raised,
    Retried,
    TaskEnded,
    Unblocked,
)
from adaptive_scheduler.core.rows.items import (
    DONE,
    LEARNER,
    OVER,
    QUEUED,
    RUNNING,
    TASK,
    WAITING,
    Budget,
    Item,
    Phase,
    step,
)
from adaptive_scheduler.core.rows.ready_queue import ReadyQueue, place_of
from adaptive_scheduler.core.wire.messages import Owner, Refused, Report
from adaptive_scheduler.errors import InputError

#: Tasks that follow each other in one place, and that one pool accepts: task resources and tag.
TaskClass = tuple[int, str]
#: What depends on such an item will never be free.
_NEVER_DONE = (Phase.FAILED, Phase.CANCELLED)
#: Seconds until an item whose function raised is tried again: doubled at each failure.
FIRST_DELAY = 1.0
LONGEST_DELAY = 300.0


class ItemTable:
    """The rows of a run. Mutable, without I/O; no operation scans or copies the rows.

    Parameters
    ----------
    items : iterable of Item
        Their ids are 0, 1, 2, …
    budget : Budget
        How often an item may fail.

    Attributes
    ----------
    changed : dict of int to Item
        Rows changed since somebody last emptied it, the last one last: what the journal must write.
    """

    def __init__(self, items: Iterable[Item], budget: Budget | None = None) -> None:
        self.budget = budget or Budget()
        self.rows: list[Item] = []
        self.changed: dict[int, Item] = {}
        # no Counters: with their own __delitem__ they take twice as long to write to
        self.phases: dict[Phase, int] = dict.fromkeys(Phase, 0)
        self.queued: defaultdict[int, int] = defaultdict(int)  # by shape
        self.running: defaultdict[int, int] = defaultdict(int)  # by shape
        self.queued_tasks: defaultdict[TaskClass, int] = defaultdict(int)
        self.running_tasks: defaultdict[TaskClass, int] = defaultdict(int)
        #: Tasks of each job, by their tokens.
        self.tasks_of: defaultdict[str, dict[int, int]] = defaultdict(dict)
        #: Ids of tasks by their keys.
        self.by_key: dict[str, int] = {}
        #: Ids of tasks in the order in which they ended; one that was retried stands there twice.
        self.ends: list[int] = []
        self._by_job: dict[str, int] = {}
        self._children: defaultdict[int, list[int]] = defaultdict(list)
        self._by_token: dict[int, int] = {}
        self._missing: dict[int, int] = {}  # how many parents of a WAITING item are not DONE
        self._free: defaultdict[int | TaskClass, ReadyQueue] = defaultdict(ReadyQueue)
        self._delayed: list[tuple[float, int]] = []
        self._delay_until: dict[int, float] = {}
        self._consequences: list[tuple[int, Event]] = []
        self.last_token = 0
        for item in items:
            self._add(item)
        self._sort_ends()
        for queue in self._free.values():
            queue.settle()
        self._settle()

    def __len__(self) -> int:
        return len(self.rows)

    def _add(self, item: Item) -> None:
        if item.id != len(self.rows):
            raise InputError(f"row {len(self.rows)} of the database has the id {item.id}.")
        self.rows.append(item)
        self.last_token = max(self.last_token, item.token)
        if item.key:
            self.by_key[item.key] = item.id
        for parent in set(item.depends_on):
            self._children[parent].append(item.id)
        self._enter(item)

    def _sort_ends(self) -> None:
        """Tasks that have ended, by the numbers of their ends; 0 are ends that count no more."""
        ended = [item for item in self.rows if item.ended]
        self.ends = [-1] * max((item.ended for item in ended), default=0)
        for item in ended:
            self.ends[item.ended - 1] = item.id

    def append(self, items: Sequence[Item], now: float) -> None:
        """Add rows while the run goes on; their ids follow those that there are."""
        for item in items:
            if any(not 0 <= parent < item.id for parent in item.depends_on):
                raise InputError(f"item {item.id} depends on a row that does not exist.")
            self._add(item)
            self.changed[item.id] = item
            if item.depends_on:
                self._missing[item.id] = self._count_missing(item)
                if item.phase is QUEUED and self._missing[item.id]:
                    self.apply(item.id, Postponed(), now)
                self._settle_waiting(item.id, now)

    def _settle(self) -> None:
        """Count parents: rows may come in any phase, from a new run or from a journal."""
        if any(not 0 <= parent < len(self.rows) for parent in self._children):
            raise InputError("an item of the database depends on a row that does not exist.")
        dependent = [item for item in self.rows if item.depends_on]
        for item in dependent:
            self._missing[item.id] = self._count_missing(item)
        for item in dependent:
            if item.phase is QUEUED and self._missing[item.id]:
                self.apply(item.id, Postponed(), item.changed)
            self._settle_waiting(item.id, item.changed)

    def _settle_waiting(self, row: int, now: float) -> None:
        """A row that waits although nothing is left to wait for: free it, or give it up."""
        item = self.rows[row]
        if item.phase is not WAITING:
            return
        if self._missing[row] == 0:
            self.apply(row, Unblocked(), now)
            return
        ended = (self.rows[p] for p in item.depends_on if self.rows[p].phase in _NEVER_DONE)
        parent = next(ended, None)
        if parent is not None:
            self.apply(row, _blocked_by(parent), now)

    def _count_missing(self, item: Item) -> int:
        return sum(self.rows[parent].phase is not DONE for parent in set(item.depends_on))

    # ------------------------------------------------------------------- indexes

    def _enter(self, item: Item) -> None:
        self.phases[item.phase] += 1
        if item.kind != LEARNER:
            self._enter_task(item)
            return
        if item.token:
            self._by_token[item.token] = item.id
        if item.phase is QUEUED:
            self.queued[item.shape] += 1
            if item.id not in self._delay_until:
                self._push(item)
        elif item.phase is RUNNING:
            assert item.job is not None
            self.running[item.shape] += 1
            self._by_job[item.job] = item.id

    def _enter_task(self, item: Item) -> None:
        if item.phase is QUEUED:
            self.queued_tasks[item.shape, item.tag] += 1
            self._push(item)
        elif item.phase is RUNNING:
            assert item.job is not None
            self.running_tasks[item.shape, item.tag] += 1
            self.tasks_of[item.job][item.token] = item.id

    def _leave_task(self, item: Item) -> None:
        if item.phase is QUEUED:
            self.queued_tasks[item.shape, item.tag] -= 1
        elif item.phase is RUNNING:
            assert item.job is not None
            self.running_tasks[item.shape, item.tag] -= 1
            held = self.tasks_of[item.job]
            del held[item.token]
            if not held:
                del self.tasks_of[item.job]

    def _leave(self, item: Item) -> None:
        self.phases[item.phase] -= 1
        if item.kind != LEARNER:
            self._leave_task(item)
            return
        if item.phase is QUEUED:
            self.queued[item.shape] -= 1
            self._delay_until.pop(item.id, None)
        elif item.phase is RUNNING:
            assert item.job is not None
            self.running[item.shape] -= 1
            del self._by_job[item.job]

    def _push(self, item: Item) -> None:
        key = item.shape if item.kind == LEARNER else (item.shape, item.tag)
        self._free[key].push(place_of(item))

    def _take_first(self, shape: int | TaskClass) -> Item | None:
        """Take places off the queue until one is still true."""
        queue = self._free[shape]
        while (place := queue.pop()) is not None:
            item = self.rows[place[2]]
            is_true = item.phase is QUEUED and place == place_of(item)
            if is_true and item.id not in self._delay_until:
                return item
        return None

    # -------------------------------------------------------------------- events

    def apply(self, row: int, event: Event, now: float) -> Item | Refused:
        """Apply one event to one row, and what follows from it to its children.

        Parameters
        ----------
        row : int
        event : Event
        now : float
            Seconds since 1970.
        """
        answer = self._apply_one(row, event, now)
        while self._consequences:  # not by recursion: chains of dependencies are long
            child, consequence = self._consequences.pop()
            self._apply_one(child, consequence, now)
        return answer

    def _apply_one(self, row: int, event: Event, now: float) -> Item | Refused:
        before = self.rows[row]
        after = step(before, event, now, self.budget)
        if type(after) is Refused or after is before:
            return after
        if after.kind == TASK and after.phase in OVER:
            self.ends.append(row)
            msgspec.structs.force_setattr(after, "ended", len(self.ends))
        self._leave(before)
        self.rows[row] = after
        self.changed.pop(row, None)  # who lets go of one and takes another is written so
        self.changed[row] = after
        self.last_token = max(self.last_token, after.token)
        if type(event) is Raised and after.phase is QUEUED:
            self._delay_until[row] = -1.0  # held back until `delay` says how long
        self._enter(after)
        if after.phase is not before.phase:
            self._tell_children(before, after)
            if after.phase is QUEUED and self._missing.get(row):
                self._consequences.append((row, Postponed()))  # it ran while that was reopened
        return after

    def _tell_children(self, before: Item, after: Item) -> None:
        for child in self._children.get(after.id, ()):
            if after.phase is DONE:
                self._missing[child] -= 1
                if self._missing[child] == 0:
                    self._consequences.append((child, Unblocked()))
            elif before.phase is DONE:
                self._missing[child] += 1
                self._consequences.append((child, Postponed()))
            elif after.phase in _NEVER_DONE:
                self._consequences.append((child, _blocked_by(after)))

    def delay(self, row: int, monotonic: float) -> None:
        """Hold back an item that has just failed, the longer the more often it did."""
        item = self.rows[row]
        doublings = min(item.fails + item.crashes - 1, 60)  # beyond it, floats overflow
        seconds = min(LONGEST_DELAY, FIRST_DELAY * 2.0**doublings)
        self._delay_until[row] = monotonic + seconds
        heapq.heappush(self._delayed, (monotonic + seconds, row))

    def wake_delayed(self, monotonic: float) -> None:
        """Make free what was held back long enough."""
        while self._delayed and self._delayed[0][0] <= monotonic:
            until, row = heapq.heappop(self._delayed)
            if self._delay_until.get(row) == until:
                del self._delay_until[row]
                self._push(self.rows[row])

    def claim(
        self, owner: Owner, shape: int, now: float, last: Report | None = None, output: str = ""
    ) -> Item | Refused | None:
        """Give the best free item of a shape, or the one that this client holds; None if there is none.

        Parameters
        ----------
        owner : Owner
        shape : int
        now : float
            Seconds since 1970.
        last : Report, optional
            What a former life of this job last reported.
        output : str
            The end of what it printed.
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
        """The item that a job runs."""
        row = self._by_job.get(job)
        return None if row is None else self.rows[row]

    @property
    def holders(self) -> KeysView[str]:
        """Jobs that hold an item."""
        return self._by_job.keys()

    def row_of(self, token: int) -> int | None:
        """The row that a token was given for; None if no row remembers it."""
        return self._by_token.get(token)

    # -------------------------------------------------------------------- tasks

    def best_task(self, of: TaskClass) -> Item | None:
        """The free task of a class that goes first; it stays where it is."""
        queue = self._free[of]
        while (place := queue.first()) is not None:
            item = self.rows[place[2]]
            if (
                item.phase is QUEUED
                and place == place_of(item)
                and item.id not in self._delay_until
            ):
                return item
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

    # ------------------------------------------------------------------- people

    def cancel(self, now: float, reports: Mapping[int, Report] | None = None) -> None:
        """End every item that has not ended; `reports` are the last ones of those that run."""
        for row in range(len(self.rows)):
            self._apply_one(row, Cancelled(last=(reports or {}).get(row)), now)
        self._consequences.clear()  # all end alike: none is blocked by another

    def retry(self, rows: Sequence[int], now: float) -> int:
        """Queue ended items again, with those that they had blocked; returns how many."""
        retried: list[int] = []
        wanted = list(reversed(rows))
        while wanted:  # not by recursion: chains of dependencies are long
            row = wanted.pop()
            waiting = row in self._missing and self._missing[row] > 0
            if isinstance(self.apply(row, Retried(waiting), now), Refused):
                continue
            retried.append(row)
            wanted += [
                child for child in self._children.get(row, ())
                if self.rows[child].phase is Phase.FAILED and self.rows[child].attempts == 0
            ]  # fmt: skip
        for row in retried:
            self._settle_waiting(row, now)  # another parent may not have been retried
        return len(retried)

    # ------------------------------------------------------------------- counts

    @property
    def unfinished(self) -> int:
        """Items that have not ended."""
        return self.phases[WAITING] + self.phases[QUEUED] + self.phases[RUNNING]

    def may_become_free(self, shape: int) -> bool:
        """Whether a client of this shape may get something later."""
        return bool(self.queued[shape] or self.running[shape] or self.phases[WAITING])


def _blocked_by(parent: Item) -> Blocked:
    how = "failed" if parent.phase is Phase.FAILED else "was cancelled"
    return Blocked(f"depends on item {parent.id}, which {how}")
