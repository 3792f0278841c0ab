"""Answer heads of pools: take in what ended, hand out what is free. No socket, no file, no clock."""

from __future__ import annotations

from adaptive_scheduler.core.rows.events import TaskEnded
from adaptive_scheduler.core.rows.items import LONGEST, RUNNING, Item
from adaptive_scheduler.core.rows.run_state import RunState
from adaptive_scheduler.core.tasks.task_state import Head
from adaptive_scheduler.core.wire.messages import Owner, Refused, Reply
from adaptive_scheduler.core.wire.tasks import End, EndKind, Given, Trade, Work
from adaptive_scheduler.manager.clients import DatabaseManager, Moment
from adaptive_scheduler.manager.parked import Parked

#: What heads send, besides Hello and Goodbye.
HEAD_REQUESTS = frozenset((Trade,))
#: Characters of a reason that a row keeps.
LONGEST_REASON = 4000
#: Ends that tell how long the calls of a function take.
_MEASURED = (EndKind.VALUE, EndKind.ERROR)


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
        if not head.is_known:
            if request.holds is None:
                return Work(tell=True)
            if not head.view.mirror.could_hold(request.holds):
                return Refused("bad_request", "two of its tasks are said to be in one place.")
            self._restore(head, request, now)
        return self._trade(head, request, now)

    def _trade(self, head: Head, request: Trade, now: Moment) -> Reply | Parked:
        for given, end in head.view.mirror.take(request):
            self._end(given, end, now)
        if request.ended:
            self._state.tasks.changed = True
        must_answer = bool(request.ended) or request.wait <= 0
        work = self._work(head, now, must_answer=must_answer)
        return work or Parked(now.monotonic + request.wait)

    def wake(self, owner: Owner, _request: Trade, now: Moment) -> Reply | None:
        """Answer a report that waits, if there is something to do."""
        head = self._state.tasks.heads.get(owner.job)
        if head is None or head.owner != owner:
            return Refused("unknown_head", f"job {owner.job} must say first what it has.")
        return self._work(head, now, must_answer=False)

    def expire(self, owner: Owner, _request: Trade, _now: Moment) -> Reply:
        """Answer a report that has waited as long as it wanted."""
        head = self._state.tasks.heads.get(owner.job)
        return Work() if head is None else head.view.mirror.work()

    def _work(self, head: Head, now: Moment, *, must_answer: bool) -> Work | None:
        if head.view.job not in self._state.being_cancelled:
            n = self._state.tasks.hand_out.to(head.view, now.wall, now.monotonic)
            if n:
                self._state.jobs.on_claim(head.view.job, now.monotonic)
        work = head.view.mirror.work()
        return work if must_answer or work.tasks or work.orders else None

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
        row = self._state.items.rows[item]
        return Given(
            item, token, row.shape, None, row.priority, row.function, b"", row.attempts + 1
        )

    def _end(self, given: Given, end: End, now: Moment) -> None:
        if given.item < 0:
            return  # of a task that this run does not know any more
        row = self._state.items.rows[given.item]
        if row.phase is not RUNNING or row.token != end.token:
            return  # cancelled meanwhile
        is_measured = end.begun and end.kind in _MEASURED
        if is_measured and end.seconds < LONGEST:  # not of NaN
            self._state.tasks.hand_out.durations.note(given.function, max(0.0, end.seconds))
        text = end.text[:LONGEST_REASON]
        event = TaskEnded(end.token, end.kind, end.begun, text, end.seconds, end.code)
        after = self._state.items.end_task(given.item, event, now.wall)
        assert type(after) is Item, after
        self._keep(given.item, end)

    def _keep(self, item: int, end: End) -> None:
        facts = self._state.tasks.facts
        if end.kind is EndKind.ERROR:
            facts.put_fact("error", item, end.value)
        elif end.kind is EndKind.VALUE:
            if end.path or facts.fact("path", item):  # or of one that was done before
                facts.put_fact("path", item, end.path.encode())
            if not end.path:
                facts.put_fact("value", item, end.value)
