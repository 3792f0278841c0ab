"""Where jobs for an item come from: the pools that can hold a task, or the shape of a learner."""

from __future__ import annotations

from adaptive_scheduler.core.reasons.question import JobSource, Question
from adaptive_scheduler.core.rows.row import QUEUED, TaskItem
from adaptive_scheduler.core.rows.run_state import RunState


def is_free(question: Question) -> bool:
    """Whether it is an item that only a job is missing for."""
    row, known = question.row, question.known
    if row is None or row.phase is not QUEUED or not known.is_alive:
        return False
    return known.state.items.delay_left(row.id, known.monotonic) is None


def sources_of(question: Question) -> list[JobSource]:
    """Return them; none where no jobs are submitted, or of what is no free item."""
    row, state = question.row, question.state
    if row is None or not is_free(question):
        return []
    if isinstance(row, TaskItem):
        task = state.tasks.resources[row.shape]
        return [
            _source(state, shape)
            for shape in state.pools.active
            if state.pools.could_hold_in(shape, task, row.tag)
        ]
    return [_source(state, row.shape)] if question.known.submits else []


def _source(state: RunState, shape: int) -> JobSource:
    jobs = [job for job in state.jobs.live.values() if not job.record.external]
    own = [job for job in jobs if job.record.shape == shape]
    submits = state.jobs.pending_submits.values()
    coming = sum(one.missing for one in submits if one.record.shape == shape)
    pool = state.pools.active.get(shape)
    if pool is not None:
        return JobSource(own, coming, len(own) + coming, pool.max_jobs, pool)
    used = len(jobs) + sum(one.missing for one in submits)
    return JobSource(own, coming, used, state.config.limits.max_jobs)
