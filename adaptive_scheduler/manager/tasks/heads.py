"""Answer heads of pools: take in what ended, hand out what is free. No socket, no file, no clock."""

from __future__ import annotations

from adaptive_scheduler.core.rows.events import TaskEnded
from adaptive_scheduler.core.rows.row import LONGEST, RUNNING, TaskItem
from adaptive_scheduler.core.rows.run_state import RunState
from adaptive_scheduler.core.tasks.pools import Pool
from adaptive_scheduler.core.tasks.task_state import Head, is_full_cut
from adaptive_scheduler.core.wire.messages import Owner, Refused, Reply
from adaptive_scheduler.core.wire.tasks import End, EndKind, Given, Trade, Work
from adaptive_scheduler.errors import DatabaseError
from adaptive_scheduler.manager.clients import DatabaseManager, Moment
from adaptive_scheduler.manager.tasks.jobs_wanted import awaits_nodes, is_in_the_way
from adaptive_scheduler.manager.tasks.parked import Parked

#: What heads send, besides Hello and Goodbye.
HEAD_REQUESTS = frozenset((Trade,))
#: Seconds that a task may wait in a head while another one has room for it, and between two looks.
RECALL_AFTER, RECALL_INTERVAL = 0.3, 0.25
#: Characters of a reason that a row keeps.
LONGEST_REASON = 4000
#: Ends that tell how long the calls of a function take.
_MEASURED = (EndKind.VALUE, EndKind.ERROR)
#: Ends that tell something about the node: that nothing can be started there, too.
_TELLING = frozenset(
    (EndKind.VALUE, EndKind.ERROR, EndKind.EXIT, EndKind.SIGNAL, EndKind.DIED, EndKind.UNABLE)
)
#: Ends that show that a job is good for something.
_OWN_ENDS = frozenset(EndKind) - {
    EndKind.CUT, EndKind.BACK, EndKind.CANCELLED, EndKind.UNABLE, EndKind.LOST,
}  # fmt: skip


class HeadManager:
    """The heads' side of the manager.

    Parameters
    ----------
    state : RunState
    clients : DatabaseManager
        Knows who speaks.
    """

    def __init__(self, state: RunState, clients: DatabaseManager) -> None:
        self._state = state
        self._clients = clients
        self._next_recall = 0.0

    def handle(self, owner: Owner, number: int, request: Trade, now: Moment) -> Reply | Parked:
        """Take in a report and answer it, or let it wait until there is something to do."""
        known = self._clients.renew_lease(owner, request, now)
        if type(known) is Refused:
            return known
        head = self._state.tasks.heads.get(owner.job)
        if head is None or head.owner != owner:
            return Refused("unknown_head", f"job {owner.job} must say first what it has.")
        if number <= self._clients.last_number(owner):
            return Refused("old_request", "its head has said anew what it has since then.")
        if not head.is_known and request.holds is None:
            return Work(tell=True)
        if impossible := self._learn(head, request, now):
            return Refused("bad_request", impossible)
        return self._trade(head, request, now)

    def _learn(self, head: Head, request: Trade, now: Moment) -> str:
        """Learn what a head has and, if this manager does not know it, holds; returns why that cannot be."""
        try:
            is_new = head.view.mirror.take_nodes(request.nodes)
        except ValueError as error:
            return f"what is said of its nodes cannot be: {error}."
        if is_new:
            self._state.note_nodes(head.view.job, now.wall, now.monotonic)
        if head.is_known:
            return ""
        if not head.view.mirror.could_hold(request.holds or ()):
            return "two of its tasks are said to be in one place."
        self._restore(head, request, now)
        return ""

    def _trade(self, head: Head, request: Trade, now: Moment) -> Reply | Parked:
        left = request.seconds_left
        head.ends_at = float("inf") if left is None else now.monotonic + left
        head.lives_until = now.wall + self._state.config.timing.lease
        for given, end in head.view.mirror.take(request):
            self._end(head, given, end, now)
            if end.begun and end.kind in _OWN_ENDS:
                head.note_end()
                self._state.stops.barren_runs = 0
        if request.ended:
            self._state.tasks.changed = True
        must_answer = bool(request.ended or request.nodes) or request.wait <= 0
        work = self._work(head, now, must_answer=must_answer)
        return work or Parked(now.monotonic + request.wait)

    def recall_overdue(self, now: Moment) -> None:
        """Take tasks back that wait in one head for too long, if another one has room for them."""
        heads = list(self._state.tasks.heads.values())
        if len(heads) < 2 or now.monotonic < self._next_recall:
            return
        self._next_recall = now.monotonic + RECALL_INTERVAL
        views = [head.view for head in heads if head.is_known]
        takers = [head.view for head in heads if head.is_known and not head.view.is_going]
        if self._state.tasks.hand_out.recall(views, takers, now.wall - RECALL_AFTER):
            self._state.tasks.changed = True

    def next_due(self, now: Moment) -> float:
        """Return the seconds until `recall_overdue` may do something."""
        heads = self._state.tasks.heads.values()
        if len(heads) < 2 or not any(head.view.mirror.is_any_waiting for head in heads):
            return float("inf")
        return self._next_recall - now.monotonic

    def _is_going(self, head: Head) -> bool:
        """Whether it is given nothing more."""
        pool = self._state.pool_of(head.view.job)
        return (
            bool(head.leaves)
            or head.view.job in self._state.stops.being_cancelled
            or head.view.seconds_left <= 0
            or (pool is not None and pool.is_removed)
            or self._fails_tasks(head)
        )

    def _fails_tasks(self, head: Head) -> bool:
        """Whether tasks fail fast on all of its nodes, and another one is there for them."""
        there = set(range(len(head.inventory.nodes))) - head.inventory.lost
        return bool(head.view.avoided) and head.view.avoided >= there

    def _avoided(self, head: Head, now: Moment) -> frozenset[int]:
        """Return the nodes of a head on which tasks fail fast, if another node is there for them."""
        failing = self._state.stops.nodes.failing_tasks(now.monotonic)
        if not failing:
            return frozenset()
        all_names = [self._names_of(other) for other in self._state.tasks.heads.values()]
        if all(name in failing for names in all_names for name in names):
            return frozenset()
        return frozenset(n for n, name in enumerate(self._names_of(head)) if name in failing)

    def _names_of(self, head: Head) -> list[str]:
        """Return its nodes, as the batch system calls them."""
        return [self._node_of(head, n) for n in range(len(head.inventory.nodes))]

    def _node_of(self, head: Head, number: int = 0) -> str:
        """Return one of its nodes, the first one if none is named, as the batch system calls it."""
        job = self._state.jobs.live.get(head.view.job)
        return (number == 0 and job and job.node_name) or head.inventory.nodes[number].name

    def wake(self, owner: Owner, _request: Trade, now: Moment) -> Reply | None:
        """Answer a report that waits, if there is something to do."""
        head = self._state.tasks.heads.get(owner.job)
        if head is None or head.owner != owner:
            return Refused("unknown_head", f"job {owner.job} must say first what it has.")
        return self._work(head, now, must_answer=False)

    def expire(self, owner: Owner, _request: Trade, now: Moment) -> Reply:
        """Answer a report that has waited as long as it wanted."""
        head = self._state.tasks.heads.get(owner.job)
        return (head and self._work(head, now, must_answer=True)) or Work()

    def _work(self, head: Head, now: Moment, *, must_answer: bool) -> Work | None:
        pool = self._state.pool_of(head.view.job)
        head.view.avoided = self._avoided(head, now)
        head.leaves = head.leaves or self._why_it_leaves(head, pool, now)
        head.view.note_left(head.ends_at - now.monotonic)
        if pool is not None:
            head.configure(pool)
        head.view.is_going = self._is_going(head) or is_in_the_way(self._state, head, now.monotonic)
        starvation = self._state.tasks.hand_out.starvation
        if not head.view.is_going:
            n = self._state.tasks.hand_out.to(head.view, now.wall, now.monotonic)
            if n:
                head.note_given()
                self._state.jobs.on_claim(head.view.job, now.monotonic)
        else:  # what waits there still gets the places that become free: nobody else has it
            starvation.lose(head.view.job)
            self._state.tasks.hand_out.place_waiting(head.view)
        if starvation.has_released:  # other heads may begin something there
            starvation.has_released = False
            self._state.tasks.changed = True
        work = head.view.mirror.work(leave=bool(head.leaves))
        return work if must_answer or work.tasks or work.orders or work.leave else None

    def _why_it_leaves(self, head: Head, pool: Pool | None, now: Moment) -> str:
        """Return why a head is to go; "" if it is to stay. None goes that holds a task."""
        if self._state.is_over:
            return "the run is over"
        if head.view.mirror.given or not head.is_known:
            head.idle_since = None
            return ""
        if head.idle_since is None or awaits_nodes(self._state, head, now.monotonic):
            head.idle_since = now.monotonic
        return "" if pool is None else self._why_it_may_go(head, pool, now)

    def _why_it_may_go(self, head: Head, pool: Pool, now: Moment) -> str:
        """Return why a head that holds nothing is to go; "" if it is to stay."""
        if pool.is_removed:
            return f"pool {pool.name} was removed"
        if self._fails_tasks(head):
            return f"tasks fail fast on its node, {self._node_of(head)}, and only there"
        if is_in_the_way(self._state, head, now.monotonic):
            return "it lacks nodes that tasks wait for"
        idle = 0.0 if head.idle_since is None else now.monotonic - head.idle_since
        is_spare = head.is_no_room(pool.resources.walltime, now.monotonic)
        if idle >= pool.idle and (is_spare or self._staying(head) >= pool.min_jobs):
            return f"it had no task for {pool.idle:g} s"
        return ""

    def _staying(self, head: Head) -> int:
        """How many other heads of its pool stay."""
        records = self._state.jobs.records
        shape = records[head.view.job].shape
        return sum(
            other is not head and not other.leaves and records[job].shape == shape
            for job, other in self._state.tasks.heads.items()
        )

    def _restore(self, head: Head, trade: Trade, now: Moment) -> None:
        """Learn what a head holds that a former manager has met; what never reached it comes back."""
        held = dict(self._state.items.tasks.of_job.get(head.view.job, {}))
        reached = {one.token for one in trade.holds or ()}
        reached |= {token for token in held if token <= trade.seen}
        tasks = [self._given(token, held[token]) for token in sorted(reached & held.keys())]
        head.view.mirror.restore(trade, tasks)
        for token in held.keys() - reached:
            back = TaskEnded(token, EndKind.BACK, begun=False, reason="it never reached its job")
            self._state.items.end_task(held[token], back, now.wall)
        head.is_known = True

    def _given(self, token: int, item: int) -> Given:
        row = self._state.items.task(item)
        return Given(
            item, token, row.shape, None, row.priority, row.function, b"", row.attempts + 1,
            crashes=row.crashes,
        )  # fmt: skip

    def _is_full_cut(self, head: Head, end: End) -> bool:
        pool = self._state.pool_of(head.view.job)
        return is_full_cut(end.seconds, pool.resources.walltime if pool else None)

    def _end(self, head: Head, given: Given, end: End, now: Moment) -> None:
        if given.item < 0:
            return  # of a task that this run does not know any more
        row = self._state.items.task(given.item)
        if row.phase is not RUNNING or row.token != end.token:
            return  # cancelled meanwhile
        is_measured = end.begun and end.kind in _MEASURED
        if is_measured and end.seconds < LONGEST:  # not of NaN
            self._state.tasks.hand_out.durations.note(given.function, max(0.0, end.seconds))
        text = (end.text or _why(end, row))[:LONGEST_REASON]
        is_full = end.kind is EndKind.CUT and self._is_full_cut(head, end)
        event = TaskEnded(
            end.token, end.kind, end.begun, text, end.seconds, end.code, is_full
        )  # fmt: skip
        self._state.tasks.ended_by[end.kind] += 1
        if end.kind in _TELLING:
            is_good, health = end.kind is EndKind.VALUE, self._state.stops.nodes
            for node in head.view.mirror.nodes_of(end):
                name = self._node_of(head, node)
                health.on_task_end(name, given.item, end.seconds, now.monotonic, good=is_good)
        after = self._state.items.end_task(given.item, event, now.wall)
        assert type(after) is not Refused, after
        self._state.tasks.note_last_try(row, head, end, now.wall)
        self._keep(given.item, end)

    def _keep(self, item: int, end: End) -> None:
        facts = self._state.tasks.facts
        if end.kind is EndKind.ERROR:
            facts.put_fact("error", item, end.value)
        elif end.kind is EndKind.VALUE:
            if end.path or self._may_have_path(item):
                facts.put_fact("path", item, end.path.encode())
            if not end.path:
                facts.put_fact("value", item, end.value)

    def _may_have_path(self, item: int) -> bool:
        """Whether a task has the path of a value that it had when it was done before."""
        try:
            return bool(self._state.tasks.facts.fact("path", item))
        except DatabaseError:
            return True  # it cannot be read: the new one is written over it


def _why(end: End, row: TaskItem) -> str:
    """Why a task ended of which its head says nothing; "" where the kind says all."""
    if end.kind is EndKind.TIMEOUT and row.timeout is not None:
        return f"it ran for longer than its timeout of {row.timeout:g} s"
    if end.kind is EndKind.CUT:
        return "its job ended"
    return ""
