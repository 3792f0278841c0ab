"""Jobs as the batch system reports them."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from typing import NewType, TypeVar

import msgspec

from adaptive_scheduler.core.resources import Resources

#: One array *task*, the same text in the listing and in the client: ``1234_7``, ``1007[2].vm``.
JobId = NewType("JobId", str)


class CommandResult(msgspec.Struct, frozen=True):
    """What a finished command left behind."""

    argv: tuple[str, ...]
    rc: int
    stdout: str
    stderr: str


class JobState(enum.StrEnum):
    """What a listing says of a job. Whatever is not understood is ALIVE."""

    PENDING = "pending"  # has not started; may be cancelled without loss
    RUNNING = "running"  # holds its nodes
    ALIVE = "alive"  # anything else: held, suspended, completing, requeued, unknown
    ENDED = "ended"  # the listing itself says that it is over


# By names of their own, as those of `items.Phase`: a listing asks ten times for each of its jobs.
PENDING, RUNNING = JobState.PENDING, JobState.RUNNING
ALIVE, ENDED = JobState.ALIVE, JobState.ENDED


class ListedJob(msgspec.Struct, frozen=True, gc=False):
    """One row of the batch system's queue."""

    id: JobId
    state: JobState
    native_state: str  # the scheduler's own word, for people
    name: str = ""
    comment: str = ""  # the tag given at the submit: says which run and which submit
    nodes: tuple[str, ...] = ()
    reason: str = ""  # why it waits, in the scheduler's words
    remedy: str = ""  # if it will not start for that reason: what to do
    rest: str = ""  # see `unfold`


class Ending(msgspec.Struct, frozen=True, gc=False):
    """How a job ended, as far as the batch system tells."""

    id: JobId
    #: completed | failed | timeout | cancelled | node_fail | preempted | out_of_memory | unknown;
    #: "" of one that lives, beside a row for the others of its array, see `unfold`
    cause: str
    detail: str = ""
    nodes: tuple[str, ...] = ()
    rest: str = ""  # see `unfold`


Told = TypeVar("Told", ListedJob, Ending)


def unfold(rows: Sequence[Told], jobs: Iterable[str]) -> Sequence[Told]:
    """Give each of these jobs a row of its own, where one row stands for many tasks of an array.

    Slurm, for one, folds the tasks that never started into one record when the array is cancelled.
    Such a row says in `rest` what the ids of its tasks begin with, up to their last ``_``; it is
    true of those that no other row names.
    """
    folded = {row.rest: row for row in rows if row.rest}
    if not folded:
        return rows
    told = {row.id for row in rows}
    missing = [job for job in jobs if job not in told]
    stood_for = [(job, row) for job in missing if (row := folded.get(job[: job.rfind("_") + 1]))]
    if not stood_for:
        return rows
    used = {row.id for _, row in stood_for}
    alone = [row for row in rows if row.id not in used]
    return alone + [msgspec.structs.replace(row, id=JobId(job), rest="") for job, row in stood_for]


class Host(msgspec.Struct, frozen=True):
    """What one host of the cluster offers to jobs.

    Attributes
    ----------
    name : str
    cores : int
        All of them, whoever uses them now.
    memory : int, optional
        MiB; None if the batch system does not tell.
    queue : str
        The only queue whose jobs it takes; "" for any.
    """

    name: str
    cores: int
    memory: int | None = None
    queue: str = ""


class Refusal(enum.StrEnum):
    """What a failed submit means for the next one."""

    BUSY = "busy"  # the controller is down or overloaded: the same again, later
    LIMIT = "limit"  # too many jobs: the same again, when some have ended
    TOO_LONG = "too_long"  # the array has more jobs than the site allows in one: a shorter one
    IMPOSSIBLE = "impossible"  # these resources will never be given: tell the user

    @property
    def remedy(self) -> str:
        """What a person can do about it."""
        return {
            "busy": "it is tried again by itself",
            "limit": "it goes on by itself when jobs have ended; a smaller max_jobs= "
            "stays below the limit",
            "too_long": "shorter arrays are submitted",
            "impossible": "change the options that it names",
        }[self.value]


class JobRequest(msgspec.Struct, frozen=True):
    """One submit: n jobs of one shape from one script.

    Attributes
    ----------
    name : str
        The job name people see in the queue.
    tag : str
        Names the run and the submit (``as:RUNID:NUMBER``); travels as the
        job's comment (or in its environment) and comes back in the listing.
    resources : Resources
        The shape.
    log_folder : str
        Absolute; job output goes to ``<log_folder>/<job id>.out``.
    excluded_nodes : tuple of str
        Hosts that killed earlier jobs.
    hosts : tuple of Host
        Those that may run it, where the scheduler asks for them (`Scheduler.hosts_command`).
    """

    name: str
    tag: str
    resources: Resources
    log_folder: str
    excluded_nodes: tuple[str, ...] = ()
    hosts: tuple[Host, ...] = ()
