"""Causes that concern one job: what it does, or how it ended."""

from __future__ import annotations

from collections.abc import Iterator

from adaptive_scheduler.core.jobs.batch_jobs import ALIVE
from adaptive_scheduler.core.jobs.job_tracking import TrackedJob
from adaptive_scheduler.core.jobs.outputs import explain_early_death
from adaptive_scheduler.core.reasons.question import Found, Question
from adaptive_scheduler.core.rows.row import TASK
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.core.times import duration_text

#: What helps where jobs die before they ask for work.
TRY_SUCH_A_JOB = "mend what the last one died of; adaptive-scheduler doctor RUN tries such a job"


def ended(question: Question) -> Iterator[Found]:
    """It has ended."""
    record = question.record
    if record is None or not (record.ended or record.goodbye):
        return
    said = f"; its client said: {record.goodbye}" if record.goodbye else ""
    where = f" on {record.host}" if record.host else ""
    how = f"how it ended{where}: {record.ended}" if record.ended else f"its client{where} has ended"
    if not record.died_early:
        yield Found(f"{how}{said}")
        return
    printed = "" if said else explain_early_death([record], question.known.output)
    yield Found(f"{how}{said}. It died before it asked for work{printed}", TRY_SUCH_A_JOB)


def being_cancelled(question: Question) -> Iterator[Found]:
    """A cancel was sent for it."""
    record, stops = question.record, question.state.stops
    if record is not None and record.id in stops.being_cancelled:
        yield Found("it is being cancelled: no work is left for it, or somebody has asked for that")


def odd_state(question: Question) -> Iterator[Found]:
    """The queue shows it in a state in which it neither waits nor runs."""
    job = question.job if question.row is None else None
    if job is None or job.listed is None or job.state is not ALIVE:
        return
    if job not in question.waiting_jobs(()):
        why = f" ({job.listed.reason})" if job.listed.reason else ""
        yield Found(f"the queue shows it as {job.listed.native_state}{why}", job.listed.remedy)


def not_connected(question: Question) -> Iterator[Found]:
    """It has started, and its client has not said a word."""
    job = question.job if question.row is None else None
    if job is None or job.was_heard or job.may_be_pending or job.record.external:
        return
    if question.known.is_alive and job not in question.waiting_jobs(()):
        where = f" on {job.node_name}" if job.node_name else ""
        yield Found(f"it has started{where}, and its client has not connected yet")


def not_listed(question: Question) -> Iterator[Found]:
    """The queue does not show it, and its client is heard, or may be yet."""
    job = question.job if question.row is None else None
    if job is None or job.record.external or not job.absences:
        return
    if job.was_heard and not job.record.goodbye:
        yield Found(
            "the queue does not show it any more; it counts as dead when its client is silent"
        )


def job_works(question: Question) -> Iterator[Found]:
    """It has work, or may be given some."""
    job, known = question.job, question.known
    if question.row is not None or job is None or not job.was_heard or job.record.goodbye:
        return
    where = f" on {job.node_name}" if job.node_name else ""
    if not known.is_alive:
        yield Found(f"its client has been heard{where}, and holds {_holds(question, job)}")
        return
    heard = duration_text(known.monotonic - job.last_heard)
    yield Found(f"it runs{where}, holds {_holds(question, job)}, and was heard {heard} ago")


def _holds(question: Question, job: TrackedJob) -> str:
    state, held = question.state, question.known.held
    if (head := state.tasks.heads.get(job.id)) is not None:
        tasks = counted(len(head.view.mirror.given), "task")
        return f"{tasks} on {head.used_cores} of its {counted(head.cores, 'core')}"
    item = state.items.held_by(job.id)
    learners = [item] if item is not None else [one for one in held if one.kind != TASK]
    if learners:
        return f"{learners[0].kind} {learners[0].id}"
    n = len(state.items.tasks.of_job.get(job.id, held))
    return counted(n, "task") if n else "nothing"
