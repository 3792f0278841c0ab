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
    """Exit status and output of a command that has ended."""

    argv: tuple[str, ...]
    rc: int
    stdout: str
    stderr: str


class JobState(enum.StrEnum):
    """State of a job in a listing. Every state that is not known is ALIVE."""

    PENDING = "pending"  # has not started; may be cancelled without loss
    RUNNING = "running"  # holds its nodes
    ALIVE = "alive"  # anything else: held, suspended, completing, requeued, unknown
    ENDED = "ended"  # the listing itself shows that it has ended


# Module constants, as for `items.Phase`: enum members are slow to look up, and each listed job
# needs ten look-ups.
PENDING, RUNNING = JobState.PENDING, JobState.RUNNING
ALIVE, ENDED = JobState.ALIVE, JobState.ENDED


class QueueCause(enum.StrEnum):
    """Why a job waits in the queue, in the words of no batch system: the names of causes."""

    NEVER = "job never starts"  # its request is never granted
    HELD = "job held"  # by a person
    LIMIT = "queue limit"  # of the jobs or the resources of a user, an account or a QOS
    NODES = "nodes unavailable"  # those that it needs are drained, down or reserved
    DEPENDENCY = "job dependency"  # another job comes first
    LATER = "job begins later"  # it has a time to begin at
    RESOURCES = "job resources"  # others use what it needs
    PRIORITY = "job priority"  # others are before it
    OTHER = "queue"  # the batch system gives another reason, or none yet


class ListedJob(msgspec.Struct, frozen=True, gc=False):
    """One row of the batch system's queue."""

    id: JobId
    state: JobState
    native_state: str  # as the batch system calls it, for users
    name: str = ""
    comment: str = ""  # the tag given at the submit: names the run and the submit
    nodes: tuple[str, ...] = ()
    reason: str = ""  # why it is pending, as the batch system says
    remedy: str = ""  # what to do, if it will never start for that reason
    cause: QueueCause = QueueCause.OTHER  # that reason, as people know it
    array_prefix: str = ""  # see `expand_array_rows`

    @property
    def why(self) -> QueueCause:
        """Why it waits, also of a scheduler that names only a remedy."""
        is_never = bool(self.remedy) and self.cause is QueueCause.OTHER
        return QueueCause.NEVER if is_never else self.cause


class Ending(msgspec.Struct, frozen=True, gc=False):
    """How a job ended, as the batch system's accounting reports it."""

    id: JobId
    #: A `core.wire.ends.JobEnd`; "" for a live task whose array also has a row of ended tasks, see `expand_array_rows`
    cause: str
    detail: str = ""
    nodes: tuple[str, ...] = ()
    array_prefix: str = ""  # see `expand_array_rows`


Row = TypeVar("Row", ListedJob, Ending)


def expand_array_rows(rows: Sequence[Row], jobs: Iterable[str]) -> Sequence[Row]:
    """Give each of these jobs a row of its own, where one row stands for many tasks of an array.

    Slurm, for example, keeps one record for all tasks that had not started when their array was
    cancelled. The `array_prefix` of such a row is what the ids of its tasks begin with, up to the
    last ``_``. The row describes those tasks that have no row of their own.
    """
    shared = {row.array_prefix: row for row in rows if row.array_prefix}
    if not shared:
        return rows
    named = {row.id for row in rows}
    expanded = [
        (job, row)
        for job in jobs
        if job not in named and (row := shared.get(job[: job.rfind("_") + 1]))
    ]
    if not expanded:
        return rows
    used = {row.id for _, row in expanded}
    others = [row for row in rows if row.id not in used]
    return others + [
        msgspec.structs.replace(row, id=JobId(job), array_prefix="") for job, row in expanded
    ]


class Host(msgspec.Struct, frozen=True):
    """What one host of the cluster offers to jobs.

    Attributes
    ----------
    name : str
    cores : int
        All of them, also those in use.
    memory : int, optional
        MiB; None if unknown.
    queue : str
        The only queue whose jobs it takes; "" for any.
    """

    name: str
    cores: int
    memory: int | None = None
    queue: str = ""


class Refusal(enum.StrEnum):
    """What a failed submit means for the next one."""

    BUSY = "busy"  # the controller is down or overloaded: submit the same again later
    LIMIT = "limit"  # too many jobs: submit again when some have ended
    TOO_LONG = "too_long"  # more jobs than the site allows in one array: submit shorter ones
    IMPOSSIBLE = "impossible"  # these resources are never granted: the user must decide

    @property
    def remedy(self) -> str:
        """What the user can do about it."""
        return {
            "busy": "it is tried again by itself",
            "limit": "it goes on by itself when jobs have ended; a smaller max_jobs= "
            "stays below the limit",
            "too_long": "shorter arrays are submitted",
            "impossible": "change the options that it names",
        }[self.value]


class JobRequest(msgspec.Struct, frozen=True):
    """One submit: any number of jobs of one shape, from one script.

    Attributes
    ----------
    name : str
        The jobs' name in the queue.
    tag : str
        Names the run and the submit (``as:RUNID:NUMBER``). It is sent as the
        jobs' comment (or in their environment) and comes back in listings.
    resources : Resources
        The shape.
    log_folder : str
        Absolute; job output goes to ``<log_folder>/<job id>.out``.
    excluded_nodes : tuple of str
        Hosts that must not be used: they killed earlier jobs.
    hosts : tuple of Host
        The cluster's hosts, for schedulers that ask for them (`Scheduler.hosts_command`).
    """

    name: str
    tag: str
    resources: Resources
    log_folder: str
    excluded_nodes: tuple[str, ...] = ()
    hosts: tuple[Host, ...] = ()
