"""Drops the oldest parts of a history, so that it stays small; no sum changes."""

from __future__ import annotations

from adaptive_scheduler.core.history.core_use import add_use, use_of_job, wait_of
from adaptive_scheduler.core.history.records import DroppedJobs, JobSpan, RunHistory, Tally

#: Tries and jobs that are kept at most.
MOST_STRETCHES, MOST_JOBS = 200_000, 20_000


def thin(
    history: RunHistory, most_stretches: int = MOST_STRETCHES, most_jobs: int = MOST_JOBS
) -> None:
    """Drop the oldest tries, then the oldest jobs that have ended with the tries in them."""
    dropped = len(history.stretches) - most_stretches
    if dropped > 0:
        del history.stretches[:dropped]
        history.past.stretches += dropped
    if len(history.jobs) > most_jobs:
        _drop_jobs(history, len(history.jobs) - most_jobs)


def _drop_jobs(history: RunHistory, n: int) -> None:
    running = {one.job for one in history.running.values()}
    ended = [
        (job.ended, place)
        for place, job in enumerate(history.jobs)
        if job.ended and place not in running
    ]
    gone = {place for _, place in sorted(ended)[:n]}
    for place in gone:
        _add(history.past, history.jobs[place], history.kind)
    new_place: dict[int, int] = {}
    for place in range(len(history.jobs)):
        if place not in gone:
            new_place[place] = len(new_place)
    history.jobs = [job for place, job in enumerate(history.jobs) if place not in gone]
    kept = [one for one in history.stretches if one.job not in gone]
    history.past.stretches += len(history.stretches) - len(kept)
    history.stretches = kept
    for one in kept:
        one.job = new_place[one.job]
    for under_way in history.running.values():
        under_way.job = new_place[under_way.job]


def _add(past: DroppedJobs, job: JobSpan, kind: str) -> None:
    past.jobs += 1
    add_use(past.use, use_of_job(job, job.ended, kind))
    for how, tally in job.tallies.items():
        add_tally(past.tallies.setdefault(how, Tally()), tally)
    wait = wait_of(job)
    if wait is not None:
        past.waited += wait
        past.waits += 1


def add_tally(to: Tally, tally: Tally) -> None:
    """Add one tally to another."""
    to.n += tally.n
    to.held += tally.held
    to.computed += tally.computed
