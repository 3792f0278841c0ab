"""Whether an item that came back is tried again, or given up; and when. Each answer is a value."""

from __future__ import annotations

import msgspec

from adaptive_scheduler.core.rows.events import Event, Lost, Raised, Released, TaskEnded
from adaptive_scheduler.core.rows.row import FAILED, QUEUED, Item, Phase, TaskItem
from adaptive_scheduler.core.wire.tasks import EndKind

#: An item that has new points between its failures is given up after so many times its budget.
IN_ALL = 20
#: An item that is given back so many times in a row without a new point is given up: its walltime is
#: too short for a point, or its function ends its own process as the batch system would.
MAX_VAIN = 20
#: Seconds until an item whose function raised is tried again: doubled at each failure.
FIRST_DELAY = 1.0
LONGEST_DELAY = 300.0
#: Nodes that may be lost while a task runs there alone, before it counts as its fault: a node that dies
#: is none, but a task may kill all that its user has on its node.
MAX_LOSSES = 2
#: Ends of tries after which a task is queued again at once: nothing speaks against it.
_UNCOUNTED = frozenset({EndKind.CUT, EndKind.BACK})


class Budget(msgspec.Struct, frozen=True):
    """How often an item may fail before it is given up."""

    max_fails: int = 3
    max_crashes: int = 5


class RetryDecision(msgspec.Struct, frozen=True, gc=False):
    """What becomes of an item that came back and is not done.

    Attributes
    ----------
    phase : Phase
        QUEUED: it is tried again; FAILED: it is given up.
    reason : str
        Why it came back; of one that is given up, also how often.
    fails, fails_in_all, crashes, vain : int
        Its counts from now on.
    """

    phase: Phase
    reason: str
    fails: int
    fails_in_all: int
    crashes: int
    vain: int


def decide_after_failure(item: Item, event: Raised, budget: Budget) -> RetryDecision:
    """Its function raised."""
    fails = 1 if _has_new_points(item, event) else item.fails + 1
    in_all = max(item.fails_in_all, item.fails) + 1
    is_last = in_all > IN_ALL * budget.max_fails
    phase = FAILED if is_last or fails > budget.max_fails else QUEUED
    reason = f"{event.reason} ({in_all} times in all)" if is_last and in_all > 1 else event.reason
    return RetryDecision(phase, reason, fails, in_all, item.crashes, item.vain)


def _has_new_points(item: Item, event: Raised) -> bool:
    """Whether each worker of the job brought a new point, on average, since the last failure."""
    gained = max(event.report.new_points, event.report.npoints - item.failed_at)
    return bool(event.workers) and gained >= event.workers


def decide_after_loss(item: Item, event: Lost, budget: Budget) -> RetryDecision:
    """Its job is gone; only a crash counts."""
    crashes = item.crashes + event.crash
    is_last = crashes > budget.max_crashes
    reason = f"{event.reason} ({crashes} times)" if is_last else event.reason
    phase = FAILED if is_last else QUEUED
    return RetryDecision(phase, reason, item.fails, item.fails_in_all, crashes, item.vain)


def decide_after_release(item: Item, event: Released) -> RetryDecision:
    """Its client gave it back; only having begun without one new point counts."""
    has_begun, is_fruitful = event.report.seconds > 0, event.report.new_points > 0
    vain = 0 if is_fruitful else item.vain + has_begun
    is_last = vain > MAX_VAIN
    reason = f"{event.reason} ({vain} times in a row without a point)" if is_last else event.reason
    phase = FAILED if is_last else QUEUED
    return RetryDecision(phase, reason, item.fails, item.fails_in_all, item.crashes, vain)


def retry_delay(item: Item, event: Event) -> float:
    """Seconds for which an item is held back after an event; 0.0: not at all."""
    if item.phase is not QUEUED:
        return 0.0
    if type(item) is TaskItem:
        return item.policy.delay if type(event) is TaskEnded and _is_counted(item, event) else 0.0
    if type(event) is not Raised:
        return 0.0
    doublings = min(item.fails + item.crashes - 1, 60)  # beyond it, floats overflow
    return min(LONGEST_DELAY, FIRST_DELAY * 2.0**doublings)


def _is_counted(item: TaskItem, event: TaskEnded) -> bool:
    """Whether the end of a try speaks against a task."""
    if event.kind is EndKind.LOST:
        return item.losses > MAX_LOSSES
    return event.kind not in _UNCOUNTED
