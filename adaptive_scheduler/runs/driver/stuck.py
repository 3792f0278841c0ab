"""Why a run does not go on without a person, as its driver tells once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from adaptive_scheduler.core.jobs.batch_jobs import QueueCause
from adaptive_scheduler.core.reasons.queue_words import REMEDIES, jobs_text
from adaptive_scheduler.core.wire.snapshot import JobRow, Snapshot, never_start

#: Seconds for which no job may start because of a limit, or of nodes that are away, before that is told.
PATIENCE = 60.0
#: What ends by itself as a rule, but not always: a limit may be that of an account without hours.
_MAY_LAST = (QueueCause.LIMIT, QueueCause.NODES)


class Stuck(NamedTuple):
    """Why a run does not go on.

    Attributes
    ----------
    key : tuple
        The same as long as the reason is.
    text : str
        Continues "the run in FOLDER".
    patience : float
        Seconds for which it must be so before it is worth a word.
    """

    key: tuple[str, ...]
    text: str
    patience: float = 0.0


def why_stuck(snapshot: Snapshot, remedy: str) -> Stuck | None:
    """Return why a run does not go on by itself, and what to do; None if it does.

    Parameters
    ----------
    snapshot : Snapshot
    remedy : str
        How tasks that nothing runs are run.
    """
    if held := " ".join(note for note in snapshot.notes if note.startswith("held:")):
        return Stuck((held,), f"is {held}")
    if not snapshot.unfinished:
        return None
    if not snapshot.is_served:
        text = f"has tasks that have not ended, and nothing runs them. {remedy}"
        return Stuck((text,), text)
    return _in_queue(snapshot.jobs)


def _in_queue(jobs: Sequence[JobRow]) -> Stuck | None:
    """Why jobs wait that will not start by themselves; or, where none runs, that may never start."""
    never = [job for job in jobs if job.remedy]
    if never:
        return Stuck(
            _reasons(never), f"goes on without some of its jobs. {_joined(never_start(never))}"
        )
    waiting = [job for job in jobs if job.waiting and job.cause in _MAY_LAST]
    if not waiting or len(waiting) < len(jobs):
        return None
    groups = Counter((job.cause, job.reason) for job in waiting)
    lines = [
        f"{jobs_text(n, cause, reason)}: {REMEDIES[cause]}" for (cause, reason), n in groups.items()
    ]
    return Stuck(_reasons(waiting), f"has no job that runs. {_joined(lines)}", PATIENCE)


def _reasons(jobs: Sequence[JobRow]) -> tuple[str, ...]:
    return tuple(sorted({f"{job.cause} {job.reason}" for job in jobs}))


def _joined(lines: Sequence[str]) -> str:
    return " ".join(f"{line.rstrip('.')}." for line in lines)
