"""Which jobs wait in the queue of the batch system, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from adaptive_scheduler.core.jobs.batch_jobs import QueueCause
from adaptive_scheduler.core.jobs.job_tracking import TrackedJob
from adaptive_scheduler.core.reasons.question import Finder, Found, Question
from adaptive_scheduler.core.reasons.queue_words import jobs_text, queue_text
from adaptive_scheduler.core.reasons.sources import sources_of
from adaptive_scheduler.core.rows.row import QUEUED


def in_queue(cause: QueueCause) -> Finder:
    """Return what finds the jobs that wait for this."""

    def find(question: Question) -> Iterator[Found]:
        if question.row is None:
            for n, reason, remedy in _groups(question.waiting_jobs(()), cause):
                yield Found(queue_text(n, cause, reason, "it"), remedy)
        elif question.row.phase is QUEUED:
            for source in sources_of(question):
                for n, reason, remedy in _groups(question.waiting_jobs([source]), cause):
                    yield Found(jobs_text(n, cause, reason, source.whose), remedy)

    return find


def _groups(jobs: Iterable[TrackedJob], cause: QueueCause) -> Iterator[tuple[int, str, str]]:
    """How many jobs wait for this, with the batch system's reason and its remedy."""
    groups: Counter[tuple[str, str]] = Counter()
    for job in jobs:
        listed = job.listed
        if (QueueCause.OTHER if listed is None else listed.why) is cause:
            groups[("", "") if listed is None else (listed.reason, listed.remedy)] += 1
    for (reason, remedy), n in groups.items():
        yield n, reason, remedy
