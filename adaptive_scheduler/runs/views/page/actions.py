"""Which buttons a view has, what each asks before, and what it says afterwards."""

from __future__ import annotations

from adaptive_scheduler.core.rows.row import CANCELLED, DONE, FAILED, TASK
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.runs.views import status
from adaptive_scheduler.runs.views.page.messages import ActionLine

CANCEL_RUN, CANCEL, RETRY_ALL, RETRY, RESUME = (
    "cancel_run",
    "cancel",
    "retry_all",
    "retry",
    "resume",
)
#: Followed by ``:NAME`` of a pool in a run of tasks.
MAX_JOBS = "max_jobs"
NAMES = frozenset({CANCEL_RUN, CANCEL, RETRY_ALL, RETRY, RESUME, MAX_JOBS})


def run_actions(snapshot: Snapshot, max_jobs: int) -> list[ActionLine]:
    """Return what can be done with the run now.

    Parameters
    ----------
    snapshot : Snapshot
    max_jobs : int
        Most jobs at a time of a run of learners.
    """
    found = [*_cancel(snapshot), *_retry(snapshot), *_resume(snapshot)]
    if snapshot.over:
        return found
    if snapshot.kind != TASK:
        return [*found, _max_jobs(MAX_JOBS, "Most jobs …", max_jobs)]
    pools = [state.pool for state in snapshot.pools if not state.pool.is_removed]
    return [
        *found,
        *(_max_jobs(f"{MAX_JOBS}:{one.name}", f"Most jobs of {one.name} …", one.max_jobs)
          for one in pools if snapshot.alive),
    ]  # fmt: skip


def _cancel(snapshot: Snapshot) -> list[ActionLine]:
    if snapshot.over:
        return []
    n = snapshot.unfinished
    what = counted(n, snapshot.kind)
    question = (
        f"Cancel the run? {what} that {'has' if n == 1 else 'have'} not ended "
        f"{'is' if n == 1 else 'are'} cancelled; running jobs save their data and end."
    )
    return [ActionLine(CANCEL_RUN, "Cancel the run", "run", question)]


def _retry(snapshot: Snapshot) -> list[ActionLine]:
    n = snapshot.phases.get(FAILED, 0)
    if not n:
        return []
    what = counted(n, f"failed {snapshot.kind}")
    question = f"Run {what} again? Data are kept; failures are counted from zero."
    return [ActionLine(RETRY_ALL, f"Retry {what}", "run", question)]


def _resume(snapshot: Snapshot) -> list[ActionLine]:
    word = status.word_of(snapshot)
    n = snapshot.phases.get(CANCELLED, 0)
    if word not in (status.HELD, status.DEAD) and not n:
        return []
    again = f" {counted(n, f'cancelled {snapshot.kind}')} are queued again." if n else ""
    start = " A manager is started." if not snapshot.alive else ""
    return [ActionLine(RESUME, "Resume", "run", f"Go on with the run?{again}{start}")]


def _max_jobs(name: str, label: str, now: int) -> ActionLine:
    question = f"Most jobs at a time (now {now}); fewer do not end jobs that run:"
    return ActionLine(name, label, "number", question, now)


def item_actions(item: int, phase: str, kind: str) -> list[ActionLine]:
    """Return what can be done with one item."""
    if phase in (DONE, FAILED, CANCELLED):
        question = f"Run {kind} {item} again? Its data are kept; failures are counted from zero."
        return [ActionLine(RETRY, f"Retry this {kind}", "items", question)]
    question = f"Cancel {kind} {item}? The run goes on; items that depend on it fail."
    return [ActionLine(CANCEL, f"Cancel this {kind}", "items", question)]


def text_of(name: str, n: int, kind: str) -> str:
    """Say what a button has done; `n`: of how many items."""
    what = counted(n, kind)
    if name in (CANCEL_RUN, CANCEL):
        return (
            f"{what} cancelled; running jobs save and end."
            if n
            else "Nothing to cancel: it had ended before."
        )
    if name == RESUME:
        return (
            f"The run goes on; {what} that had been cancelled queued again."
            if n
            else "The run goes on."
        )
    return f"{what} queued again." if n else "Nothing to retry: it has not ended yet."


def max_jobs_text(before: int, n: int) -> str:
    """Say what the new bound is."""
    return f"At most {counted(n, 'job')} at a time from now on; it was {before}."
