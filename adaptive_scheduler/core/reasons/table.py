"""All causes for which something does not run or is not done: the most important first.

One table for `explain`, for what `task` shows, and for docs/explain.md, which is written from it. Its
order is that of an answer: first what has ended it, then what stops the whole run, then what only a person
can mend, then what goes on by itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from adaptive_scheduler.core.jobs.batch_jobs import QueueCause
from adaptive_scheduler.core.jobs.records import JobRecord
from adaptive_scheduler.core.reasons import (
    item_causes,
    job_causes,
    queue_causes,
    run_causes,
    task_waits,
)
from adaptive_scheduler.core.reasons.question import Cause, Found, Known, Question
from adaptive_scheduler.core.reasons.queue_words import REMEDIES
from adaptive_scheduler.core.rows.items import Ranked
from adaptive_scheduler.core.rows.row import Item
from adaptive_scheduler.core.tasks.pools import NO_ROOM
from adaptive_scheduler.core.wire.reasons import Reason

_RETRY = "mend it, then retry()"


def _queue(cause: QueueCause, when: str) -> Cause:
    return Cause(cause.value, when, REMEDIES[cause], queue_causes.in_queue(cause))


#: What is looked for where the rows of all items are at hand; see `goes_first`.
GOES_FIRST = Cause(
    "others go first", "Others have a higher priority, are older, or have failed less often.",
    "wait; prioritise it, if it matters more: adaptive-scheduler prioritise RUN ID PRIORITY (tasks)",
    lambda _: (),
)  # fmt: skip

#: What only who asks can see.
UNREACHABLE = Cause(
    "manager unreachable", "The manager lives, and does not answer from here.",
    "look at its host and at its log: adaptive-scheduler logs RUN", lambda _: (),
)  # fmt: skip
NOT_SENT = Cause(
    "not sent", "The program that submits the task has not sent it yet.",
    "wait; if it stays so, the run has no manager that answers: adaptive-scheduler status", lambda _: (),
)  # fmt: skip
MANAGER_DEAD = "manager dead"

CAUSES: tuple[Cause, ...] = (
    Cause("done", "It is done.", "", item_causes.done),
    Cause("parent failed", "It depends on one that failed or was cancelled.", _RETRY, item_causes.parent_failed),
    Cause("fits no pool", "Nothing that there is could ever hold the task.",
          "ask for less, or add a pool that is large enough, then retry()", item_causes.fits_no_pool),
    Cause("failed", "It was tried as often as it may, and failed.", _RETRY, item_causes.failed),
    Cause("run cancelled", "Somebody has cancelled the run.", "to go on: resume()", run_causes.run_cancelled),
    Cause("cancelled", "Somebody has cancelled it alone.", "to run it after all: retry()",
          item_causes.cancelled),
    Cause("job ended", "The job has ended.", "", job_causes.ended),
    Cause(MANAGER_DEAD, "The run has no manager.", "start another one with resume()", run_causes.manager_dead),
    UNREACHABLE,
    Cause("disk full", "The manager, or the job that runs it, cannot write to its disk.",
          "make room, or mend the file system; it goes on by itself",
          run_causes.disk_full),
    Cause("run held", "All jobs died, or the batch system refuses them: nothing is submitted.",
          "mend that, then resume()", run_causes.run_held),
    Cause("silent", "Its job should run, and sends no heartbeats.",
          "look at its output and at its node; cancel that job to have its work begun elsewhere now", item_causes.silent),
    Cause("retry delay", "It failed, and is tried again after its delay.", "wait", item_causes.retry_delay),
    Cause("waits for a parent", "It depends on one that is not done.", "wait for that; explain it, if it does not run",
          item_causes.parents),
    _queue(QueueCause.NEVER, "The batch system took the job, and will never start it: a limit of the partition, say."),
    _queue(QueueCause.HELD, "An administrator, or you, have put a hold on the job."),
    Cause("jobs in vain", "Jobs end before they have brought anything.",
          "give a longer walltime=, or look at the output of the last job", run_causes.jobs_in_vain),
    Cause("manager not reached", "The client of a job could not reach the manager: the network, or its interface.",
          "adaptive-scheduler doctor RUN tries the way from a node to the manager; give interface= a network that "
          "the nodes share", run_causes.manager_not_reached),
    Cause("batch system away", "The queue cannot be listed.", "nothing: jobs go on, and it is tried again by itself",
          run_causes.batch_system_away),
    Cause("submit limit", "The batch system takes no more jobs of this user.",
          "wait until jobs have ended; a smaller max_jobs stays below the limit", run_causes.submit_limit),
    Cause("submit postponed", "A submit got no answer, or was refused for the moment.",
          "nothing: it is tried again by itself", run_causes.submit_refused),
    _queue(QueueCause.LIMIT, "The job waits at a limit of a user, an account or a QOS."),
    _queue(QueueCause.NODES, "Nodes that the job needs are drained, down or reserved."),
    _queue(QueueCause.DEPENDENCY, "The job depends on another one."),
    _queue(QueueCause.LATER, "The job has a time to begin at."),
    Cause("max_jobs", "There are as many jobs as there may be.",
          "wait, or give a larger max_jobs", item_causes.max_jobs),
    Cause("ends too soon", "The task's walltime is longer than what jobs have left.",
          "wait for the next job, or give the task a shorter walltime", task_waits.ends_too_soon),
    _queue(QueueCause.RESOURCES, "Others use what the job needs."),
    _queue(QueueCause.PRIORITY, "Jobs of others are before it."),
    GOES_FIRST,
    Cause("room is kept", "Jobs have room, for tasks that go before it.", "wait", task_waits.others_first),
    Cause("jobs in use", "Jobs have not enough free cores, GPUs or memory.", "wait; a larger max_jobs helps",
          task_waits.jobs_in_use),
    Cause("no jobs", "Nothing submits jobs, and no machine has joined the run.",
          "add a pool, or run it here: adaptive-scheduler pool join RUN", item_causes.no_jobs),
    Cause("jobs unfit", "The jobs that run are too small, take other tags, or end.", "wait for another job",
          task_waits.jobs_unfit),
    _queue(QueueCause.OTHER, "The job waits in the queue, for another reason or for one not told yet."),
    NOT_SENT,
    Cause("job to come", "A job for it is about to be submitted.", "wait", item_causes.job_to_come),
    Cause("nodes avoided", "Nodes killed earlier jobs, and are not used for an hour.", "", run_causes.nodes_avoided),
    Cause("slow", "A point, or a task, runs for longer than usual.",
          "wait, or look at its log; point_timeout ends such a point by itself", item_causes.slow),
    Cause("waits in its job", "A job has the task, and begins it when another one ends.", "wait",
          item_causes.waits_in_job),
    Cause("begins", "A job was given the learner, and loads it.", "wait", item_causes.begins),
    Cause("job being cancelled", "A cancel was sent for the job.", "", job_causes.being_cancelled),
    Cause("job state", "The queue shows the job as suspended, completing, or the like.", "wait", job_causes.odd_state),
    Cause("job missing", "The queue does not show the job, though its client is heard.", "wait", job_causes.not_listed),
    Cause("not connected", "The job has started, and its client has not connected yet.",
          "wait; if it does not, look at its output, and try: adaptive-scheduler doctor", job_causes.not_connected),
    Cause("runs", "It is being worked on.", "", item_causes.runs_well),
    Cause("job runs", "The job has work, or may be given some.", "", job_causes.job_works),
    Cause("was tried", "It was begun before, and came back.", "", item_causes.was_tried),
)  # fmt: skip

_PLACE = {cause.name: place for place, cause in enumerate(CAUSES)}


def explain(known: Known, row: Item | None = None, record: JobRecord | None = None) -> list[Reason]:
    """Return why an item, or a job, does not run or is not done: the most important first.

    Parameters
    ----------
    known : Known
    row : Item, optional
    record : JobRecord, optional
        Without a row.
    """
    question = Question(known, row, record)
    return [reason for cause in CAUSES for reason in _reasons(cause, cause.find(question))]


def explain_line(row: Item, rows: Iterable[Ranked]) -> list[Reason]:
    """Return which items go before a free one; `rows`: all, or where each queued one stands."""
    return _reasons(GOES_FIRST, item_causes.goes_first(row, rows))


def not_sent() -> Reason:
    """Return why a task that only its program knows does not run."""
    return Reason(NOT_SENT.name, "it is on its way to the run", NOT_SENT.remedy)


def not_taken(error: str) -> Reason:
    """Return why a task that the run has not taken will not run."""
    cause = "fits no pool" if error.startswith(NO_ROOM) else "failed"
    return Reason(cause, f"it was not taken: {error}", "mend it, then submit it again")


def in_order(reasons: Iterable[Reason]) -> list[Reason]:
    """Sort reasons by importance."""
    return sorted(reasons, key=lambda one: _PLACE.get(one.cause, len(_PLACE)))


def _reasons(cause: Cause, found: Iterable[Found]) -> list[Reason]:
    return [Reason(cause.name, one.text, one.remedy or cause.remedy) for one in found]
