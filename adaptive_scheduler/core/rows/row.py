"""One row of the database: what is kept of an item. How it changes: `core.rows.items`."""

from __future__ import annotations

import enum
from typing import ClassVar

import msgspec

from adaptive_scheduler.core.tasks.retry_policy import NO_RETRIES, RetryPolicy
from adaptive_scheduler.core.wire.ends import UNKNOWN
from adaptive_scheduler.core.wire.messages import Owner


class Phase(enum.StrEnum):
    """Where an item stands. A job is set exactly while it is RUNNING."""

    WAITING = "waiting"  # for the items it depends on
    QUEUED = "queued"  # free
    RUNNING = "running"  # a job holds it
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


# By names of their own, for what is done at each request: Python 3.11 takes 170 ns to look up
# one in its class, 15 ns for these.
WAITING, QUEUED, RUNNING = Phase.WAITING, Phase.QUEUED, Phase.RUNNING
DONE, FAILED, CANCELLED = Phase.DONE, Phase.FAILED, Phase.CANCELLED
#: Kinds of items.
LEARNER, TASK = "learner", "task"
#: Phases that an item leaves only when a person asks for it.
OVER = frozenset({DONE, FAILED, CANCELLED})
#: Longest time of work in seconds that is believed: sums of longer ones would become infinite.
LONGEST = 1e12


class Item(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A unit of work that one job runs at a time: a learner, or a task.

    Attributes
    ----------
    id : int
        Its number: the learner's place in the list.
    fname : str or list of str
        Where its data go.
    phase : Phase
        Where it stands; always written, so that people can query for it.
    priority : float
        Higher goes first; ties go by `id`.
    depends_on : tuple of int
        Items that must be DONE before.
    shape : int
        Which of the run's resources it needs.
    job : str, optional
        The job that runs it, exactly while RUNNING.
    owner : Owner, optional
        That job's client.
    token : int
        Names the last claim of it; 0: it was never claimed.
    attempts, fails, crashes : int
        Times it was claimed; its function raised since it last got on; its client died.
    fails_in_all, failed_at : int
        Times its function raised, whatever it computed between; its points at the last of these.
    vain : int
        Times in a row that a client had begun and gave it back without one new point.
    reason, traceback : str
        Why it is in its phase; of the last failure.
    how : int
        How its last try ended: a `core.wire.ends.How`; -1 of one that is done, or that an older version ran.
    worked : float
        Seconds that earlier clients worked on it.
    data_seconds : float
        How many of these went into loading its data, and into saving them while nothing was computed.
    npoints, loss
        As last reported.
    kept_aside : str
        Damaged data files of it that were kept, under their new names.
    changed : float
        Seconds since 1970 of the last transition.
    """

    #: What it is.
    kind: ClassVar[str] = LEARNER

    id: int
    fname: str | list[str]
    phase: Phase
    priority: float = 0.0
    depends_on: tuple[int, ...] = ()
    shape: int = 0
    job: str | None = None
    owner: Owner | None = None
    token: int = 0
    attempts: int = 0
    fails: int = 0
    crashes: int = 0
    fails_in_all: int = 0
    failed_at: int = 0
    vain: int = 0
    reason: str = ""
    traceback: str = ""
    how: int = UNKNOWN
    worked: float = 0.0
    data_seconds: float = 0.0
    npoints: int = 0
    loss: float | None = None
    kept_aside: str = ""
    changed: float = 0.0


class TaskItem(Item, frozen=True, gc=False, omit_defaults=True, tag_field="kind", tag=TASK):
    """One call of a function, or one command.

    Attributes
    ----------
    tag, name : str
        For pools that accept only some, and for people.
    key : str
        A second one of the same key is the first one.
    function : str
        The content key of its function; "" for a command.
    policy : RetryPolicy
        How often it is tried again.
    timeout : float, optional
        Seconds that it may run.
    cuts : int
        Whole walltimes in which it was not done.
    losses : int
        Nodes that were lost while it ran there alone.
    code : int
        Exit status, or number of the signal, of its last try.
    ended : int
        The number of its end among all ends of tasks; 0 before.
    created : float
        Seconds since 1970 of its submit.
    """

    kind: ClassVar[str] = TASK

    tag: str = ""
    name: str = ""
    key: str = ""
    function: str = ""
    policy: RetryPolicy = NO_RETRIES
    timeout: float | None = None
    cuts: int = 0
    losses: int = 0
    code: int = 0
    ended: int = 0
    created: float = 0.0
