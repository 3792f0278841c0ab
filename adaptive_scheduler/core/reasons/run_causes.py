"""Causes that concern a run as a whole."""

from __future__ import annotations

from collections.abc import Iterator

from adaptive_scheduler.core.jobs.outputs import DIED_EARLY, reached_no_manager
from adaptive_scheduler.core.reasons.job_causes import TRY_SUCH_A_JOB
from adaptive_scheduler.core.reasons.question import Found, Question
from adaptive_scheduler.core.reasons.sources import sources_of
from adaptive_scheduler.core.rows.row import CANCELLED, OVER, QUEUED, RUNNING, WAITING

#: Complaints of jobs that are quoted of an item that any of them could run.
_COMPLAINTS = 2


def _is_wanted(question: Question) -> bool:
    """Whether something is still to happen: an item that has not ended, a job that lives."""
    if question.row is not None:
        return question.row.phase not in OVER
    return question.job is not None


def manager_dead(question: Question) -> Iterator[Found]:
    """There is no manager."""
    if question.known.is_alive or not _is_wanted(question):
        return
    row = question.row
    if row is not None and row.phase is RUNNING:
        yield Found(
            f"this run has no manager; job {row.job} had it when the last one ended, and jobs go on "
            "by themselves for a day"
        )
    else:
        yield Found("this run has no manager, so nothing is begun")


def disk_full(question: Question) -> Iterator[Found]:
    """The manager cannot write, so it answers nobody; or the job cannot save the points."""
    if _is_wanted(question) and question.known.write_error:
        yield Found(f"the manager cannot write to its disk: {question.known.write_error}")
    row = question.row
    report = question.state.reports.get(row.id) if row is not None else None
    if row is not None and row.phase is RUNNING and report is not None and report.problem:
        yield Found(f"its points cannot be written: {report.problem}. They wait in memory")


def run_cancelled(question: Question) -> Iterator[Found]:
    """Somebody has cancelled the run."""
    row = question.row
    concerns = question.job is not None if row is None else row.phase is CANCELLED
    if question.state.cancelled and concerns:
        yield Found("the run was cancelled")


def run_held(question: Question) -> Iterator[Found]:
    """Nothing more is submitted until a person resumes the run."""
    row = question.row
    if question.state.stops.held and row is not None and row.phase in (QUEUED, WAITING):
        yield Found(f"the run is held: {question.state.stops.held.rstrip('.')}")


def batch_system_away(question: Question) -> Iterator[Found]:
    """The queue cannot be listed."""
    if _needs_jobs(question) and question.known.listing_error:
        yield Found(f"the batch system does not answer: {question.known.listing_error}")


def submit_limit(question: Question) -> Iterator[Found]:
    """The batch system takes no more jobs of this user."""
    if _lacks_jobs(question) and question.known.is_full:
        yield Found(f"the batch system takes no more jobs now: {question.known.submit_error}")


def submit_refused(question: Question) -> Iterator[Found]:
    """A submit did not work; it is tried again."""
    known, in_vain = question.known, question.state.backoff_reason
    if in_vain and in_vain in known.submit_error:
        return  # nobody refused it: `jobs_in_vain` says so
    if _lacks_jobs(question) and known.submit_error and not known.is_full:
        yield Found(f"no job is submitted now: {known.submit_error}")


def jobs_in_vain(question: Question) -> Iterator[Found]:
    """Jobs end before they bring anything, so each further one waits longer."""
    known, state = question.known, question.state
    if question.row is None or not _needs_jobs(question) or state.stops.held:
        return
    if known.early_deaths:
        yield Found(f"{DIED_EARLY}: {known.early_deaths}", TRY_SUCH_A_JOB)
    elif reason := state.backoff_reason:
        slowly = known.submit_error if reason in known.submit_error else reason
        yield Found(f"jobs are submitted slowly: {slowly}")


def manager_not_reached(question: Question) -> Iterator[Found]:
    """The client of its job, or of jobs that would run it, has written that it finds no manager."""
    row, complaints = question.row, question.known.complaints
    if question.record is not None or (row is not None and row.phase is RUNNING):
        own = question.record.id if question.record is not None else row.job if row else None
        told = [own] if own is not None and own in complaints else []
    else:
        told = list(complaints)[:_COMPLAINTS] if _needs_jobs(question) else []
    for job in told:
        yield Found(reached_no_manager(job, complaints[job]))


def nodes_avoided(question: Question) -> Iterator[Found]:
    """Nodes killed earlier jobs, or tasks fail there and only there."""
    excluded = question.state.stops.nodes.excluded(question.known.monotonic)
    if _needs_jobs(question) and excluded:
        yield Found(f"nodes are avoided that killed earlier jobs: {', '.join(excluded)}")


def _needs_jobs(question: Question) -> bool:
    """Whether it is a free item that a job has yet to come for, or a job in the queue."""
    if question.row is None:
        return question.job is not None
    return question.row.phase is QUEUED and bool(sources_of(question))


def _lacks_jobs(question: Question) -> bool:
    """Whether an item is free, and fewer jobs may come for it than it is allowed."""
    row = question.row
    if row is None or row.phase is not QUEUED:
        return False
    return any(source.used < source.most for source in sources_of(question))
