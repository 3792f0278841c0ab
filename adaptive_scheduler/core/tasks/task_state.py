"""What a manager knows of tasks beside their rows: resources, batches, heads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Protocol

import msgspec

from adaptive_scheduler.core.rows.events import TaskEnded
from adaptive_scheduler.core.rows.item_table import ItemTable
from adaptive_scheduler.core.rows.row import TaskItem
from adaptive_scheduler.core.rows.task_results import Told, kept, told
from adaptive_scheduler.core.tasks.hand_out import HandOut
from adaptive_scheduler.core.tasks.head_mirror import HeadMirror
from adaptive_scheduler.core.tasks.head_view import HeadView
from adaptive_scheduler.core.tasks.place import Inventory, NodeInventory
from adaptive_scheduler.core.tasks.pools import Pool
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.tasks.task_submits import TaskSubmits
from adaptive_scheduler.core.wire.messages import Owner
from adaptive_scheduler.core.wire.tasks import End, EndKind, LastTry
from adaptive_scheduler.errors import DatabaseError

#: Ends of jobs that say nothing about the tasks in them.
CUTS = frozenset({"timeout", "preempted", "node_fail", "cancelled", "goodbye"})

#: Tries before the last one that are kept, for people.
MOST_EARLIER = 20
#: Part of a walltime: a task that had so much of it, and was cut, had a whole one. Some of it is
#: needed to start, and to end in good order.
FULL_WALLTIME = 0.8
#: Tries after which a task is charged with the walltimes of jobs that ended unheard, too: one that keeps its
#: head from speaking, as it fills the node's memory, would be tried for ever.
UNHEARD_TRIES = 8
#: Part of a walltime: a job of which less is left is followed by another one.
NEARLY_OVER = 0.1
#: Seconds for which a job may lack some of its nodes before it counts as one that cannot run all that
#: its pool promises: they come one by one, and a lost one may be there again.
NODE_PATIENCE = 60.0
#: Seconds after which nodes that are away will not come any more: by then a head has started them as often as
#: it does (`client.tasks.other_nodes.launch_plan`: five times 63 s).
NODES_GIVEN_UP = 400.0


class FactStore(Protocol):
    """What is written once; see `io.storage.facts`."""

    def put_fact(self, table: str, item: int, data: bytes) -> None:
        """Note a fact; it is durable after the next commit."""

    def fact(self, table: str, item: int) -> bytes | None:
        """Return a fact, also one that is not durable yet."""

    def put_function(self, key: str, data: bytes) -> None:
        """Note the pickle of a function; it is durable after the next commit."""

    def has_function(self, key: str) -> bool:
        """Whether the pickle of a function is here."""


class NoFacts:
    """Of a run without tasks."""

    def put_fact(self, table: str, item: int, data: bytes) -> None:
        """There is none."""

    def fact(self, table: str, item: int) -> bytes | None:
        """There is none."""

    def put_function(self, key: str, data: bytes) -> None:
        """There is none."""

    def has_function(self, key: str) -> bool:  # noqa: ARG002
        """There is none."""
        return False


class Head:
    """The client of one job of a pool.

    Attributes
    ----------
    owner : Owner
    view : HeadView
    is_known : bool
        Whether this manager knows what it holds.
    ends_at : float
        When it ends what runs in it, on the manager's monotonic clock.
    idle_since : float or None
        Since when it holds nothing.
    leaves : str
        Why it is told to leave; "" while it is not.
    is_barren : bool
        It was given tasks, and none of them has ended.
    lacks_since : float or None
        Since when some of its nodes have not come, or are lost.
    lives_until : float
        A lease after it was last heard, in seconds since 1970: it may have lived until then.
    """

    def __init__(self, owner: Owner, nodes: Iterable[NodeInventory]) -> None:
        self.owner = owner
        self.view = HeadView(owner.job, HeadMirror(nodes))
        self.is_known = False
        self.ends_at = float("inf")
        self.idle_since: float | None = None
        self.leaves = ""
        self.is_barren = False
        self.lacks_since: float | None = None
        self.lives_until = float("inf")
        self._has_ended_one = False

    def configure(self, pool: Pool) -> None:
        """Take over what its pool says at present."""
        self.view.accepts = pool.accepts
        self.view.batch_size, self.view.threshold = pool.batch_size, pool.threshold
        self.view.walltime = pool.resources.walltime or 0.0

    def __str__(self) -> str:
        away = self.inventory.n_away
        but = f", {away} of them away" if away else ""
        return f"{self.node or self.owner.job}, which was joined by hand ({self.inventory}{but})"

    @property
    def node(self) -> str:
        """The name of its first node."""
        return self.inventory.nodes[0].name if self.inventory.nodes else ""

    def node_of(self, token: int, part: int = 0) -> str:
        """Return the name of a node on which a task runs, the first one if none is named, as far as is known."""
        return self.view.mirror.node_of(token, part) or self.node

    @property
    def inventory(self) -> Inventory:
        """What its job has."""
        return self.view.mirror.inventory

    @property
    def cores(self) -> int:
        """Cores for tasks that its job has, on the nodes that are there."""
        return self.inventory.cores

    @property
    def used_cores(self) -> int:
        """Those of them that tasks occupy."""
        return self.inventory.cores - self.inventory.free_cores

    def is_nearly_over(self, walltime: float | None, now: float) -> bool:
        """Whether so little of its walltime is left that it will run little more."""
        return self.ends_at - now <= (walltime or 0.0) * NEARLY_OVER

    def note_nodes(self, now: float) -> None:
        """It has told which nodes there are."""
        is_whole = self.inventory.is_complete and not self.inventory.lost
        if is_whole:
            self.lacks_since = self.idle_since = None  # what waits may fit from now on
        elif self.lacks_since is None:
            self.lacks_since = now

    def lacks_nodes(self, now: float) -> bool:
        """Whether some of its nodes have been away for too long."""
        return self.lacks_since is not None and now - self.lacks_since >= NODE_PATIENCE

    def may_hold(self, task: TaskResources, now: float) -> bool:
        """Whether such a task may run there some day, while nothing else does, as far as is known."""
        if not self.view.has_time_for(task):
            return False
        is_final = self.lacks_since is None or now - self.lacks_since >= NODES_GIVEN_UP
        if is_final:
            return self.inventory.could_hold(task)
        return not self.inventory.is_complete or self.inventory.could_ever_hold(task)

    def is_no_room(self, walltime: float | None, now: float) -> bool:
        """Whether it does not count as a place for tasks that wait."""
        return self.is_nearly_over(walltime, now) or self.lacks_nodes(now)

    def note_given(self) -> None:
        """It was given tasks."""
        self.idle_since, self.is_barren = None, not self._has_ended_one

    def note_end(self) -> None:
        """A task of it has ended, well or badly, by itself."""
        self._has_ended_one, self.is_barren = True, False


class TaskState:
    """The tasks' part of a run's state.

    Parameters
    ----------
    items : ItemTable
    facts : FactStore
    submitted : TaskSubmits, optional

    Attributes
    ----------
    submitted : TaskSubmits
    heads : dict of str to Head
        By job.
    is_open : bool
        More tasks may come.
    changed : bool
        Something happened for which a head that waits may get an answer.
    ended_by : Counter of EndKind
        How tries of tasks have ended since this manager began.
    """

    def __init__(
        self, items: ItemTable, facts: FactStore, submitted: TaskSubmits | None = None
    ) -> None:
        self.facts = facts
        self.submitted = submitted or TaskSubmits()
        self.heads: dict[str, Head] = {}
        self.is_open = False
        self.changed = False
        self.ended_by: Counter[EndKind] = Counter()
        self.hand_out = HandOut(items, self.resources, self._spec, self._views)
        self._items = items

    def _spec(self, item: int) -> bytes:
        try:
            return kept(self.facts.fact("spec", item), "arguments")
        except DatabaseError:
            self.changed = True  # the task fails, which its driver is to know
            raise

    def _views(self) -> Iterator[HeadView]:
        """Heads of which it is known what they hold."""
        return (head.view for head in self.heads.values() if head.is_known)

    @property
    def resources(self) -> list[TaskResources]:
        """By `Item.shape` of tasks."""
        return self.submitted.resources

    def note_last_try(self, row: TaskItem, head: Head | None, end: End, now: float) -> None:
        """Remember where and when a task, whose row is that before its end, was tried."""
        if not end.begun:
            return
        pid = head.view.mirror.pids.get(end.token, 0) if head else 0
        last = LastTry(
            row.job or "", head.node_of(end.token, end.part) if head else "", pid, end.kind, end.peak,
            row.changed, now - end.ago, end.seconds, self._earlier(row),
        )  # fmt: skip
        self.facts.put_fact("times", row.id, msgspec.msgpack.encode(last))

    def _earlier(self, row: TaskItem) -> list[LastTry]:
        """Return the tries before the one that has ended now."""
        if not row.attempts:  # by far the most frequent case
            return []
        try:
            known = self.facts.fact("times", row.id)
        except DatabaseError:
            return []  # they cannot be read, and are for people alone
        if not known:
            return []
        last = msgspec.msgpack.decode(known, type=LastTry)
        return [*last.earlier, msgspec.structs.replace(last, earlier=[])][-MOST_EARLIER:]

    def note_told(self, row: TaskItem, now: float) -> None:
        """A driver is told how a task has ended; only the first time counts."""
        try:
            before = self.facts.fact("told", row.id)
        except DatabaseError:
            return  # it cannot be read, and is for people alone
        if told(before, row) is None:
            self.facts.put_fact("told", row.id, msgspec.msgpack.encode(Told(row.ended, now)))

    def meet_head(self, owner: Owner, nodes: Iterable[NodeInventory]) -> None:
        """A head says what it has. Each is asked what it holds: it may have been believed dead."""
        before = self.heads.get(owner.job)
        if before is None or before.owner != owner:
            self.heads[owner.job] = Head(owner, nodes)
        self.changed = True

    def drop_cancelled(self) -> None:
        """Let heads end what is theirs no more: a person cancelled it."""
        rows = self._items.rows
        for head in self.heads.values():
            mirror = head.view.mirror
            for token, given in mirror.given.items():
                if given.item >= 0 and rows[given.item].token == token and not rows[given.item].job:
                    mirror.drop(token)

    def lose_head(
        self, job: str, reason: str, cause: str, now: float, walltime: float | None = None
    ) -> None:
        """A job, of so much walltime, is gone: what had not begun in it comes back uncounted.

        Of what had begun, a task that died before is blamed; if there is none, all are. A job that
        ended at its walltime, or with its node, is nobody's fault. Of a head that has not said yet
        what it holds, nobody knows what had begun: then all may have. A task has had a whole walltime
        only as far as its head was there: one that died before left its job without any. Not after
        `UNHEARD_TRIES`.
        """
        head = self.heads.pop(job, None)
        self.hand_out.starvation.lose(job)
        held = dict(self._items.tasks.of_job.get(job, {}))
        is_known = head is not None and head.is_known
        begun = held.keys() & head.view.mirror.has_begun if head and is_known else held.keys()
        heard_until = min(now, head.lives_until) if head and is_known else 0.0
        suspects = {token for token in begun if self._items.rows[held[token]].crashes} or set(begun)
        for token, item in held.items():
            is_blamed = cause not in CUTS and token in suspects
            kind = EndKind.DIED if is_blamed else EndKind.CUT
            if token not in begun:
                kind = EndKind.BACK
            has_begun = kind is not EndKind.BACK
            row = self._items.task(item)
            seconds = max(0.0, now - row.changed)
            end = End(0, token, kind, begun=has_begun, seconds=seconds)
            self.note_last_try(row, head, end, now)
            until = heard_until if row.attempts < UNHEARD_TRIES else now
            is_full = kind is EndKind.CUT and is_full_cut(until - row.changed, walltime)
            ended = TaskEnded(token, kind, has_begun, reason, is_full_cut=is_full)
            self._items.end_task(item, ended, now)
        self.changed = True


def is_full_cut(seconds: float, walltime: float | None) -> bool:
    """Whether a task that a job's end has cut had a whole walltime, as far as it can have one."""
    return walltime is not None and seconds >= FULL_WALLTIME * walltime
