"""One row of the database, the events that change it, and the table of its transitions."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from typing import Any

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
)
from adaptive_scheduler.core.wire.messages import Owner, Refused, Report
from adaptive_scheduler.core.wire.tasks import EndKind

replace = msgspec.structs.replace


class Phase(enum.StrEnum):
    """Where an item stands. A job is set exactly while it is RUNNING."""

    WAITING = "waiting"  # for the items it depends on
    QUEUED = "queued"  # free
    RUNNING = "running"  # a job holds it
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


# By names of their own, for what is done at each request: Python 3.11 takes 170 ns to look up
# one in its class, 15 ns for these.
WAITING, QUEUED, RUNNING = Phase.WAITING, Phase.QUEUED, Phase.RUNNING
DONE, FAILED, CANCELLED = Phase.DONE, Phase.FAILED, Phase.CANCELLED
#: Kinds of items.
LEARNER, TASK = "learner", "task"
#: Phases that an item leaves only when a person asks for it.
OVER = frozenset({DONE, FAILED, CANCELLED})
#: Seconds of work that no client has: sums of larger ones would become infinite.
LONGEST = 1e12


class Item(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A unit of work that one job runs at a time. Today: a learner.

    Attributes
    ----------
    id : int
        The row: the learner's place in the list.
    fname : str or list of str
        Where its data go.
    phase : Phase
        Where it stands; always written, so that people can query for it.
    kind : str
        What it is; later also a single call or a shell command.
    priority : float
        Higher goes first; ties go by age.
    depends_on : tuple of int
        Items that must be DONE before.
    shape : int
        Which of the run's resources it needs.
    job : str, optional
        The job that runs it, exactly while RUNNING.
    owner : Owner, optional
        That job's client.
    token : int
        The last right given to it; 0 is none.
    attempts, fails, crashes : int
        Times it was claimed; its function raised since it last got on; its client died.
    fails_in_all, failed_at : int
        Times its function raised, whatever it computed between; its points at the last of these.
    vain : int
        Times in a row that a client that had begun gave it back without one new point.
    reason, traceback : str
        Why it is where it is.
    worked : float
        Seconds that clients worked on it, without the present one.
    npoints, loss
        As last reported.
    kept_aside : str
        Damaged data files of it that were kept, under their new names.
    changed : float
        Seconds since 1970 of the last transition.
    tag, name : str
        Of a task: for pools that accept only some, and for people.
    key : str
        Of a task: a second one of the same key is the first one.
    function : str
        Of a task: the content key of its function; "" for a command.
    retries : int
        Of a task: times that it is tried again after it failed.
    timeout : float, optional
        Of a task: seconds that it may run.
    cuts : int
        Of a task: whole walltimes in which it was not done.
    code : int
        Of a task: exit status, or number of the signal, of its last try.
    ended : int
        Of a task: the number of its end among all ends of tasks; 0 before.
    """

    id: int
    fname: str | list[str]
    phase: Phase
    kind: str = LEARNER
    priority: float = 0.0
    depends_on: tuple[int, ...] = ()
    shape: int = 0
    job: str | None = None
    owner: Owner | None = None
    token: int = 0
    attempts: int = 0
    fails: int = 0
    crashes: int = 0
    fails_in_all: int = 0
    failed_at: int = 0
    vain: int = 0
    reason: str = ""
    traceback: str = ""
    worked: float = 0.0
    npoints: int = 0
    loss: float | None = None
    kept_aside: str = ""
    changed: float = 0.0
    tag: str = ""
    name: str = ""
    key: str = ""
    function: str = ""
    retries: int = 0
    timeout: float | None = None
    cuts: int = 0
    code: int = 0
    ended: int = 0


#: An item that gets on between its failures is given up at so many times its budget.
IN_ALL = 20
#: One that is given back so many times in a row without a new point is given up: its walltime is
#: too short for a point, or its function ends what runs it as the batch system would.
MAX_VAIN = 20


class Budget(msgspec.Struct, frozen=True):
    """How often an item may fail before it is given up."""

    max_fails: int = 3
    max_crashes: int = 5


# -------------------------------------------------------------------- transitions


def _claim(item: Item, event: Claimed, _: Budget) -> Item:
    return replace(
        item, phase=RUNNING, job=event.owner.job, owner=event.owner, token=event.token,
        attempts=item.attempts + 1, reason="",
    )  # fmt: skip


def _claim_again(item: Item, event: Claimed, budget: Budget) -> Item | Refused:
    """A client that asks twice, or the next life of the same job."""
    assert item.owner is not None
    if event.owner == item.owner:
        return item
    if event.owner.job != item.job or event.owner.life <= item.owner.life:
        return Refused("not_free", f"item {item.id} is run by job {item.job}.")
    crashed = event.owner.restart == item.owner.restart  # a requeue is not the learner's fault
    said = end_of_output(event.output)
    why = f"a process of job {item.job} died; " + (said or "the job's output may say why")
    why = why if crashed else f"job {item.job} was requeued"
    lost = Lost(why, crashed, event.last, event.output if crashed else "")
    freed = _lose(item, lost, budget)
    if freed.phase is FAILED:
        return freed
    return _claim(freed, event, budget)


def _finish(item: Item, event: Finished, _: Budget) -> Item:
    after = _let_go(item, event.report, DONE, "goal met")
    return replace(after, traceback="") if after.traceback else after


def _raise(item: Item, event: Raised, budget: Budget) -> Item:
    if event.crash:
        return replace(
            _lose(item, Lost(event.reason, True, event.report), budget), traceback=event.traceback
        )
    fails = 1 if _has_got_on(item, event) else item.fails + 1
    in_all = max(item.fails_in_all, item.fails) + 1
    is_last = in_all > IN_ALL * budget.max_fails
    phase = FAILED if is_last or fails > budget.max_fails else QUEUED
    reason = f"{event.reason} ({in_all} times in all)" if is_last and in_all > 1 else event.reason
    after = _let_go(item, event.report, phase, reason)
    return replace(
        after, fails=fails, fails_in_all=in_all, failed_at=after.npoints, traceback=event.traceback
    )


def _has_got_on(item: Item, event: Raised) -> bool:
    """Whether each worker of the job brought a new point, on average, since the last failure."""
    gained = max(event.report.new_points, event.report.npoints - item.failed_at)
    return bool(event.workers) and gained >= event.workers


def _release(item: Item, event: Released, _: Budget) -> Item:
    has_begun, got_on = event.report.seconds > 0, event.report.new_points > 0
    vain = 0 if got_on else item.vain + has_begun
    is_last = vain > MAX_VAIN
    reason = f"{event.reason} ({vain} times in a row without a point)" if is_last else event.reason
    after = _let_go(item, event.report, FAILED if is_last else QUEUED, reason)
    return after if vain == item.vain else replace(after, vain=vain)


def _lose(item: Item, event: Lost, budget: Budget) -> Item:
    crashes = item.crashes + event.crash
    given_up = crashes > budget.max_crashes
    reason = f"{event.reason} ({crashes} times)" if given_up else event.reason
    phase = FAILED if given_up else QUEUED
    after = _let_go(item, event.last, phase, reason)
    return replace(after, crashes=crashes, traceback=event.output or item.traceback)


def _let_go(item: Item, report: Report | None, phase: Phase, reason: str) -> Item:
    if report is None:
        return replace(item, job=None, owner=None, phase=phase, reason=reason)
    # all by name: handed on in a dict, they take four times as long
    return replace(
        item, job=None, owner=None, phase=phase, reason=reason,
        worked=item.worked + _seconds(report.seconds),
        npoints=max(item.npoints, report.npoints),
        loss=report.loss,
        kept_aside=report.kept_aside or item.kept_aside,
    )  # fmt: skip


def _seconds(seconds: float) -> float:
    """What JSON cannot hold (NaN, infinity) must not get into a row: nobody could read it again."""
    if 0.0 <= seconds <= LONGEST:
        return seconds
    return LONGEST if LONGEST < seconds < math.inf else 0.0


def _end(item: Item, event: Blocked | Cancelled, _: Budget) -> Item:
    if isinstance(event, Blocked):
        return _let_go(item, None, FAILED, event.reason)
    return _let_go(item, event.last, CANCELLED, event.reason)


def _unblock(item: Item, _event: Unblocked, _: Budget) -> Item:
    return replace(item, phase=QUEUED, reason="")


def _postpone(item: Item, _event: Postponed, _: Budget) -> Item:
    return replace(item, phase=WAITING, reason="what it depends on is done again")


def _retry(item: Item, event: Retried, _: Budget) -> Item:
    phase = WAITING if event.waiting else QUEUED
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
    """Heard before: the same answer, no change."""
    return item


# -------------------------------------------------------------------- tasks


def _grant(item: Item, event: Granted, _: Budget) -> Item:
    return replace(item, phase=RUNNING, job=event.job, token=event.token, reason="")


#: Times that a task is tried again after the process that ran it died, if it does not say.
MAX_TASK_CRASHES = 1
#: Whole walltimes in which a task may not be done.
MAX_CUTS = 2


def _end_task(item: Item, event: TaskEnded, _: Budget) -> Item:
    """How often a task may fail, die or be cut; what has not begun comes back uncounted."""
    kind, fails, crashes, cuts, reason = (
        event.kind,
        item.fails,
        item.crashes,
        item.cuts,
        event.reason,
    )
    if kind is EndKind.VALUE:
        phase = DONE
    elif kind is EndKind.CANCELLED:
        phase, reason = CANCELLED, reason or "cancelled"
    elif kind is EndKind.BACK:
        phase = QUEUED
    elif kind is EndKind.CUT:
        cuts += event.is_full_cut
        phase = FAILED if cuts >= MAX_CUTS else QUEUED
        if phase is FAILED:
            reason = f"not done in {cuts} whole walltimes: ask for a longer one, or for more cores"
    elif kind in (EndKind.SIGNAL, EndKind.DIED):
        crashes += 1
        phase = FAILED if crashes > max(item.retries, MAX_TASK_CRASHES) else QUEUED
    else:
        fails += 1
        phase = FAILED if fails > item.retries or kind is EndKind.UNABLE else QUEUED
    return replace(
        item, phase=phase, job=None, attempts=item.attempts + event.begun, fails=fails,
        crashes=crashes, cuts=cuts, reason=reason, worked=item.worked + _seconds(event.seconds),
        code=event.code,
    )  # fmt: skip


def _prioritise(item: Item, event: Prioritised, _: Budget) -> Item:
    return item if event.priority == item.priority else replace(item, priority=event.priority)


_Handler = Callable[[Item, Any, Budget], "Item | Refused"]

#: Every legal transition: (phase, event) -> (what happens, the phases it may lead to).
#: What is not here is refused. The picture in docs/architecture.md is drawn from it.
TRANSITIONS: dict[tuple[Phase, type], tuple[_Handler, tuple[Phase, ...]]] = {
    (QUEUED, Granted): (_grant, (RUNNING,)),
    (RUNNING, TaskEnded): (_end_task, (DONE, QUEUED, FAILED, CANCELLED)),
    (WAITING, Prioritised): (_prioritise, (WAITING,)),
    (QUEUED, Prioritised): (_prioritise, (QUEUED,)),
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
    # `after` is new and nobody has seen it: another copy would cost as much as all the rest
    msgspec.structs.force_setattr(after, "changed", now)
    return after


def _stale(item: Item) -> Refused:
    if item.phase is CANCELLED:
        return Refused("cancelled", f"item {item.id} was cancelled: save it, then let go.")
    who = f"run by job {item.job}" if item.job else item.phase.value
    why = f" ({item.reason})" if item.reason else ""
    return Refused(
        "stale_token", f"this right to item {item.id} is over: the item is {who} now{why}."
    )
