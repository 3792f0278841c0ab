"""How long the jobs of a run waited in the queue, of which the history tells also when they are gone."""

from __future__ import annotations

from adaptive_scheduler.core.jobs.records import is_external
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.io.storage.history_file import read_history


def seconds_in_queue(folder: RunFolder) -> list[float]:
    """Return the seconds from the submit of each job to its begin, in the order of their submits.

    Jobs that have not begun are left out, and those of which either is not known: of a very long run
    the oldest ones. What was started by hand waited in no queue.
    """
    jobs = [job for job in read_history(folder).jobs if not is_external(job.id)]
    known = [job for job in jobs if job.begin and job.submitted]
    known.sort(key=lambda job: job.submitted)
    return [max(0.0, job.begin - job.submitted) for job in known]
