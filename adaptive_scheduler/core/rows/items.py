"""Every rule by which a row of the database changes.

Theory of operation
-------------------
An *item* is a unit of work that at most one job has at a time: a learner, or a task. It is one
row of the database, with an `id`, a phase, and what people want to know of it. All rules of a row
stand in this module; `item_table` only keeps many rows and their indexes.

**A table, not methods.** A row changes in one way only: `step(item, event, ...)` looks up (phase,
event) in `TRANSITIONS` and calls what stands there. What is not there is refused. So every legal
change can be read off one table, the picture in the documentation is drawn from it, and tests go
through all pairs. Rows are frozen: a change makes a new one, which the journal writes as a whole. A
line that is read twice does no harm then, and "did it change?" is a comparison by `is`.

**Refusals are replies, not errors.** Requests are sent again until they are answered, so they come
twice and late, from clients that were believed dead, to managers that did not exist when they were
written. All this is normal, and who asks must be told apart from who has a bug: `Refused` has a code
for the program and a reason for people. An event that was carried out before changes nothing and is
accepted (a second `Finished`); so a client need not know whether its first message arrived.

**Leases and tokens.** A client has one lease, which its heartbeats renew. If the lease runs out, the
job may be dead, or suspended, or cut off, and nobody can tell which. Once its job is gone from the
queue, the item is given to another job. Should the first one wake up, both would take the item for
theirs. So each claim gets a *token*, higher than any before it, and what ends an item must name the
token that it was given. An old token is refused, whatever the clocks say. Tokens guard the row only;
the data files are guarded by the client, which merges what it finds (`evaluation.learners.store`).

**What counts against an item.** Only what it may be guilty of. Its function raised: `fails`, limited
by `Budget.max_fails`. The process that ran it died: `crashes`, limited by `max_crashes`. A walltime,
a preemption, a cancelled job, a failed node, a manager that was away: nothing. A function that fails
once in a thousand points must not use up its budget in a long run: if every worker brought a point
since the last failure, the count starts again. That alone would let an item that fails for ever
occupy a job for ever, so `fails_in_all` has a limit too (`IN_ALL`). An item that is given back again
and again without one new point has a walltime too short for its points; `MAX_VAIN` ends that.
Each of these is one `RetryDecision`: whether it is tried again, why, and the counts from now on.

**Delays.** An item that raised is tried again later, each time twice as late (`retry_delay`), and
then after its equals (`rank_of`): it may have failed because of something that mends itself, and
it must not keep the others from being worked on. Delays are not stored: a new manager tries at once.

**Dependencies.** An item that depends on others is WAITING until all of them are DONE. A change of
one reaches the others as events too (`effect_on_dependant`), so that the same table judges them.
`Finished` of the last one queues it; a failure or a cancel of one fails it without an attempt; and
if one that was DONE is to be done again, it waits again. One that runs meanwhile is not disturbed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec

from adaptive_scheduler.core.jobs.outputs import end_of_output
from adaptive_scheduler.core.rows.events import (
    Blocked,
    Cancelled,
    Claimed,
    Event,
    Finished,
    Granted,
    Lost,
    Postponed,
    Prioritised,
    Raised,
    Released,
    Retried,
    TaskEnded,
    Unblocked,
    Unplaceable,
)
from adaptive_scheduler.core.rows.retry_decision import (
    MAX_LOSSES,
    Budget,
    RetryDecision,
    decide_after_failure,
    decide_after_loss,
    decide_after_release,
)
from adaptive_scheduler.core.rows.row import (
    CANCELLED,
    DONE,
    FAILED,
    LONGEST,
    QUEUED,
    RUNNING,
    TASK,
    WAITING,
    Item,
    Phase,
    TaskItem,
)
from adaptive_scheduler.core.wire.ends import UNKNOWN, How
from adaptive_scheduler.core.wire.messages import Refused, Report
from adaptive_scheduler.core.wire.tasks import EndKind

replace = msgspec.structs.replace
#: What depends on an item in one of these can never be done.
_NEVER_DONE = (FAILED, CANCELLED)


# -------------------------------------------------------------------- transitions


def _claim(item: Item, event: Claimed, _: Budget) -> Item:
    return replace(
        item, phase=RUNNING, job=event.owner.job, owner=event.owner, token=event.token,
        attempts=item.attempts + 1, reason="",
    )  # fmt: skip


def _claim_again(item: Item, event: Claimed, budget: Budget) -> Item | Refused:
    """The same client again, or the next one of the same job: a requeue, a restarted MPI world."""
    assert item.owner is not None
    if event.owner == item.owner:
        return item
    if event.owner.job != item.job or event.owner.life <= item.owner.life:
        return Refused("not_free", f"item {item.id} is run by job {item.job}.")
    crashed = event.owner.restart == item.owner.restart  # a requeue is not the learner's fault
    printed = end_of_output(event.output)
    why = f"a process of job {item.job} died; " + (printed or "the job's output may say why")
    why = why if crashed else f"job {item.job} was requeued"
    how = How.CRASHED if crashed else How.LOST
    lost = Lost(why, crashed, event.last, event.output if crashed else "", how)
    freed = _lose(item, lost, budget)
    if freed.phase is FAILED:
        return freed
    return _claim(freed, event, budget)


def _finish(item: Item, event: Finished, _: Budget) -> Item:
    after = _give_back(item, event.report, DONE, "goal met", UNKNOWN)
    return replace(after, traceback="") if after.traceback else after


def _raise(item: Item, event: Raised, budget: Budget) -> Item:
    if event.crash:
        lost = Lost(event.reason, True, event.report, how=How.CRASHED)
        return replace(_lose(item, lost, budget), traceback=event.traceback)
    after = _follow(decide_after_failure(item, event, budget), item, event.report, How.FAILED)
    return replace(after, failed_at=after.npoints, traceback=event.traceback)


def _release(item: Item, event: Released, _: Budget) -> Item:
    return _follow(decide_after_release(item, event), item, event.report, event.how)


def _lose(item: Item, event: Lost, budget: Budget) -> Item:
    after = _follow(decide_after_loss(item, event, budget), item, event.last, event.how)
    return replace(after, traceback=event.output) if event.output else after


def _follow(decision: RetryDecision, item: Item, report: Report | None, how: int) -> Item:
    after = _give_back(item, report, decision.phase, decision.reason, how)
    return replace(
        after,
        fails=decision.fails,
        fails_in_all=decision.fails_in_all,
        crashes=decision.crashes,
        vain=decision.vain,
    )


def _give_back(item: Item, report: Report | None, phase: Phase, reason: str, how: int) -> Item:
    if report is None:
        return replace(item, job=None, owner=None, phase=phase, reason=reason, how=how)
    # all by name: handed on in a dict, they take four times as long
    return replace(
        item, job=None, owner=None, phase=phase, reason=reason, how=how,
        worked=item.worked + _seconds(report.seconds),
        data_seconds=item.data_seconds + _seconds(report.data_seconds),
        npoints=max(item.npoints, report.npoints),
        loss=report.loss,
        kept_aside=report.kept_aside or item.kept_aside,
    )  # fmt: skip


def _seconds(seconds: float) -> float:
    """Replace NaN and infinity, which JSON cannot hold: the row could not be read again."""
    if 0.0 <= seconds <= LONGEST:
        return seconds
    return LONGEST if LONGEST < seconds < math.inf else 0.0


def _end(item: Item, event: Blocked | Unplaceable | Cancelled, _: Budget) -> Item:
    if not isinstance(event, Cancelled):
        return _give_back(item, None, FAILED, event.reason, UNKNOWN)
    return _give_back(item, event.last, CANCELLED, event.reason, How.CANCELLED)


def _unblock(item: Item, _event: Unblocked, _: Budget) -> Item:
    return replace(item, phase=QUEUED, reason="")


def _postpone(item: Item, event: Postponed, _: Budget) -> Item:
    return replace(item, phase=WAITING, reason=event.reason)


def _retry(item: Item, event: Retried, _: Budget) -> Item:
    phase = WAITING if event.waiting else QUEUED
    if type(item) is TaskItem:
        item = replace(item, cuts=0, losses=0, code=0)
    return replace(
        item,
        phase=phase,
        fails=0,
        crashes=0,
        fails_in_all=0,
        vain=0,
        reason="retried",
        traceback="",
    )


def _same(item: Item, _event: Event, _: Budget) -> Item:
    """It was carried out before: no change."""
    return item


# -------------------------------------------------------------------- tasks


def _grant(item: Item, event: Granted, _: Budget) -> Item:
    return replace(item, phase=RUNNING, job=event.job, token=event.token, reason="")


#: Whole walltimes in which a task may not be done.
MAX_CUTS = 2
#: Ends that count as crashes; that with its node only if it comes again and again.
_CRASHES = frozenset((EndKind.SIGNAL, EndKind.DIED, EndKind.LOST))
#: How a try of a task ended, by what its head tells; of those that are not here it failed.
_HOW = {
    EndKind.CANCELLED: int(How.CANCELLED), EndKind.CUT: int(How.WALLTIME),
    EndKind.SIGNAL: int(How.CRASHED), EndKind.DIED: int(How.CRASHED), EndKind.LOST: int(How.LOST),
    EndKind.BACK: int(How.NOT_BEGUN),
}  # fmt: skip


def _end_task(item: TaskItem, event: TaskEnded, _: Budget) -> TaskItem:
    """How often a task may fail, die or be cut; what has not begun comes back uncounted."""
    kind, reason = event.kind, event.reason
    fails, crashes, cuts, losses = item.fails, item.crashes, item.cuts, item.losses
    phase = QUEUED
    if kind is EndKind.VALUE:
        phase = DONE
    elif kind is EndKind.CANCELLED:
        phase, reason = CANCELLED, reason or "cancelled"
    elif kind is EndKind.CUT:
        cuts += event.is_full_cut
        if cuts >= MAX_CUTS:
            phase = FAILED
            reason = f"not done in {cuts} whole walltimes: ask for a longer one, or for more cores"
    elif kind in _CRASHES:
        crashes, losses = _crashes_after(item, kind)
        phase = FAILED if crashes > max(item.crashes, item.policy.crashes_allowed) else QUEUED
        reason += _how_often(losses)
    elif kind is not EndKind.BACK:  # UNABLE, too: there, not everywhere
        fails += 1
        phase = FAILED if fails > item.policy.retries else QUEUED
    if item.policy.delay and phase is QUEUED and (fails, crashes) != (item.fails, item.crashes):
        reason = f"{reason}{'; ' if reason else ''}tried again {item.policy.delay:g} s after that"
    return replace(
        item, phase=phase, job=None, attempts=item.attempts + event.begun, fails=fails,
        crashes=crashes, cuts=cuts, losses=losses, reason=reason,
        worked=item.worked + _seconds(event.seconds), code=event.code,
        how=UNKNOWN if phase is DONE else _how_of_task(event, crashes > item.crashes),
    )  # fmt: skip


def _how_of_task(event: TaskEnded, is_crash: bool) -> int:
    """How its try ended; one that ended with its job before it had begun was none."""
    how = _HOW.get(event.kind, How.FAILED)
    if how == How.WALLTIME and not event.begun:
        return How.NOT_BEGUN
    return How.CRASHED if how == How.LOST and is_crash else how


def _crashes_after(item: TaskItem, kind: EndKind) -> tuple[int, int]:
    """How many crashes and losses of nodes a task has after one more."""
    losses = item.losses + (kind is EndKind.LOST)
    return item.crashes + (kind is not EndKind.LOST or losses > MAX_LOSSES), losses


def _how_often(losses: int) -> str:
    """Say why a lost node is a task's fault; "" where none is."""
    if losses <= MAX_LOSSES:
        return ""
    return f"; {losses} times a node was lost on which nothing else ran: perhaps it kills what runs there (else: max_crashes=)"


def _prioritise(item: Item, event: Prioritised, _: Budget) -> Item:
    return item if event.priority == item.priority else replace(item, priority=event.priority)


_Handler = Callable[[Any, Any, Budget], "Item | Refused"]

#: Every legal transition: (phase, event) -> (what happens, the phases it may lead to).
#: What is not here is refused. The table in docs/architecture.md is written from it.
TRANSITIONS: dict[tuple[Phase, type], tuple[_Handler, tuple[Phase, ...]]] = {
    (QUEUED, Granted): (_grant, (RUNNING,)),
    (RUNNING, TaskEnded): (_end_task, (DONE, QUEUED, FAILED, CANCELLED)),
    (WAITING, Prioritised): (_prioritise, (WAITING,)),
    (QUEUED, Prioritised): (_prioritise, (QUEUED,)),
    (QUEUED, Unplaceable): (_end, (FAILED,)),
    (RUNNING, Prioritised): (_prioritise, (RUNNING,)),
    (WAITING, Unblocked): (_unblock, (QUEUED,)),
    (WAITING, Blocked): (_end, (FAILED,)),
    (WAITING, Cancelled): (_end, (CANCELLED,)),
    (QUEUED, Claimed): (_claim, (RUNNING,)),
    (QUEUED, Postponed): (_postpone, (WAITING,)),
    (QUEUED, Cancelled): (_end, (CANCELLED,)),
    (RUNNING, Claimed): (_claim_again, (RUNNING, FAILED)),
    (RUNNING, Finished): (_finish, (DONE,)),
    (RUNNING, Raised): (_raise, (QUEUED, FAILED)),
    (RUNNING, Released): (_release, (QUEUED, FAILED)),
    (RUNNING, Lost): (_lose, (QUEUED, FAILED)),
    (RUNNING, Cancelled): (_end, (CANCELLED,)),
    (DONE, Finished): (_same, (DONE,)),
    (DONE, Retried): (_retry, (QUEUED, WAITING)),
    (FAILED, Retried): (_retry, (QUEUED, WAITING)),
    (CANCELLED, Retried): (_retry, (QUEUED, WAITING)),
}

#: Events that only the holder of the present token may send.
_FENCED = (Finished, Raised, Released, TaskEnded)


def step(item: Item, event: Event, now: float, budget: Budget) -> Item | Refused:
    """Apply one event to one row: the only way a row changes.

    Parameters
    ----------
    item : Item
    event : Event
    now : float
        Seconds since 1970, for `Item.changed`.
    budget : Budget
        How often an item may fail.

    Returns
    -------
    Item or Refused
        The same object where nothing changes.
    """
    is_fenced = type(event) in _FENCED
    if is_fenced and event.token != item.token:  # type: ignore[union-attr]
        return _stale(item)
    entry = TRANSITIONS.get((item.phase, type(event)))
    if entry is None:
        if is_fenced:  # e.g. released already, or given up meanwhile
            return _stale(item)
        return Refused("not_possible", f"item {item.id} is {item.phase.value}.")
    handler, _ = entry
    after = handler(item, event, budget)
    if after is item or type(after) is Refused:
        return after
    if type(event) is not Prioritised:
        # `after` is new and nobody has seen it: another copy would cost as much as all the rest
        msgspec.structs.force_setattr(after, "changed", now)
    return after


# ------------------------------------------------------------------------------- order

#: (-priority, fails and crashes, id): the smallest is given first. A plain tuple, not a NamedTuple:
#: one is built for each claim.
Rank = tuple[float, int, int]


class Ranked(Protocol):
    """What a rank is made of; `Item` says what each is."""

    @property
    def id(self) -> int:
        """Its number."""

    @property
    def phase(self) -> Phase:
        """Its state."""

    @property
    def priority(self) -> float:
        """The highest goes first."""

    @property
    def shape(self) -> int:
        """Of the jobs that can run it."""

    @property
    def fails(self) -> int:
        """Failures that count."""

    @property
    def crashes(self) -> int:
        """Crashes that count."""


def rank_of(item: Ranked) -> Rank:
    """Where an item stands; one that failed behind its equals, so that it cannot starve them."""
    return (-item.priority, item.fails + item.crashes, item.id)


# ------------------------------------------------------------------------- dependencies


def effect_on_dependant(before: Item, after: Item, undone: int) -> Event | None:
    """What follows for an item that depends on one whose phase has changed.

    Parameters
    ----------
    before, after : Item
        The one that has changed.
    undone : int
        How many items that the dependant depends on are not DONE now.
    """
    if after.phase is DONE:
        return None if undone else Unblocked()
    if before.phase is DONE:
        return Postponed()
    return _blocked_by(after) if after.phase in _NEVER_DONE else None


def end_of_waiting(dependencies: Iterable[Item]) -> Event | None:
    """What ends the waiting of an item that depends on these; None: it goes on waiting."""
    is_undone = False
    for item in dependencies:
        if item.phase in _NEVER_DONE:
            return _blocked_by(item)
        is_undone = is_undone or item.phase is not DONE
    return None if is_undone else Unblocked()


def was_blocked(item: Item) -> bool:
    """Whether it failed only because of what it depends on."""
    return item.phase is FAILED and item.attempts == 0


def _blocked_by(item: Item) -> Blocked:
    how = "failed" if item.phase is FAILED else "was cancelled"
    what = TASK if type(item) is TaskItem else "item"
    return Blocked(f"depends on {what} {item.id}, which {how}")


# ---------------------------------------------------------------------------- refusals


def _stale(item: Item) -> Refused:
    if item.phase is CANCELLED:
        return Refused("cancelled", f"item {item.id} was cancelled: save it, then let go.")
    who = f"run by job {item.job}" if item.job else item.phase.value
    why = f" ({item.reason})" if item.reason else ""
    return Refused(
        "stale_token", f"this token of item {item.id} is not valid: the item is {who} now{why}."
    )
