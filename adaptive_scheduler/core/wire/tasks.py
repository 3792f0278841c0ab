"""Messages about tasks: of the heads of pools' jobs, and of drivers."""

from __future__ import annotations

import enum

import msgspec

from adaptive_scheduler.core.tasks.place import NodeInventory, NodePlace
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.tasks.retry_policy import NO_RETRIES, RetryPolicy


class EndKind(enum.IntEnum):
    """How a task ended, as its head tells it."""

    VALUE = 0  # a call returned, a command succeeded
    ERROR = 1  # a call raised
    EXIT = 2  # a command ended with a status other than 0
    SIGNAL = 3  # a signal that is not ours killed it
    TIMEOUT = 4  # its timeout came
    CANCELLED = 5  # a person ended it
    CUT = 6  # the end of its job came
    DIED = 7  # the process that ran it is gone, and nobody knows more
    BACK = 8  # it has not begun
    UNABLE = 9  # it could not be started there
    LOST = 11  # its node was lost while nothing else ran there
    PASSED = 10  # no end: the place that was meant for it went to `next`, for it stands in line for another


class Given(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A task for a head.

    Attributes
    ----------
    item, token : int
        The row, and the right to it.
    fits : int
        Which task resources it needs; tasks of one number can follow each other in one place.
    place : list of NodePlace, optional
        Where it runs. None: it waits in the head, and takes over the place of a task of the same
        `fits` that ends.
    priority : float
    function : str
        Content key of its function; "" for a command.
    spec : bytes
        Pickled arguments, or an encoded command.
    attempt : int
    timeout : float, optional
        Seconds.
    threads : int
        Of each of its processes.
    crashes : int
        How often the process that ran it has died.
    """

    item: int
    token: int
    fits: int
    place: list[NodePlace] | None = None
    priority: float = 0.0
    function: str = ""
    spec: bytes = b""
    attempt: int = 1
    timeout: float | None = None
    threads: int = 1
    crashes: int = 0


class Order(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What a head is to do about a task.

    With `priority`: sort it in anew; with `place`: begin it there, unless it has begun; with
    `is_recall`: give it back, unless it has begun; with none of these: drop it, or end it if it runs.
    """

    number: int
    token: int
    priority: float | None = None
    place: list[NodePlace] | None = None
    is_recall: bool = False

    @property
    def is_drop(self) -> bool:
        """Whether the task is to end, or not to begin."""
        return self.priority is None and self.place is None and not self.is_recall


class End(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A task has ended, or comes back.

    Attributes
    ----------
    number : int
        Of this head's ends, from 1.
    token : int
    kind : EndKind
    next : int
        The task that took over its place; 0: the place is free.
    begun : bool
        Whether its function or program was begun.
    code : int
        Exit status, or number of the signal.
    value : bytes
    path : str
        File with the value, where it is large.
    seconds, ago : float
        That it ran; since it ended.
    peak : int
        Bytes of memory.
    text : str
        For people: why.
    part : int
        Which of its nodes it failed on, counted from the first one of its place; -1: nobody knows.
    """

    number: int
    token: int
    kind: EndKind
    next: int = 0
    begun: bool = True
    code: int = 0
    value: bytes = b""
    path: str = ""
    seconds: float = 0.0
    ago: float = 0.0
    peak: int = 0
    text: str = ""
    part: int = 0


class Held(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A task that a head holds: `place` of one that runs, None of one that waits in the head."""

    token: int
    place: list[NodePlace] | None


class NodeChange(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A node of a job has come, or is lost.

    Attributes
    ----------
    number : int
        Of this head's changes, from 1.
    node : int
        Which node, from 0: in the order of the Hello.
    inventory : NodeInventory, optional
        What the job has there; None: nothing can run there, until a later change says what there is.
    """

    number: int
    node: int
    inventory: NodeInventory | None


class Trade(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A head's report, and its request for work. It is its heartbeat too.

    Attributes
    ----------
    seen : int
        The last token that has reached it.
    told : int
        The last order that has reached it.
    ended : list of End
        All that the manager has not confirmed yet, in their order.
    begun : list of (int, int, int)
        Token, node and pid of tasks that have begun since.
    holds : list of Held, optional
        All that it holds, when the manager asks for it.
    wait : float
        Seconds for which the answer may be held back if there is nothing to do.
    ends : int
        Number of its last end: a new manager counts on from there.
    seconds_left : float, optional
        Until it ends what runs in it; None: nobody knows of an end.
    nodes : list of NodeChange
        All that the manager has not confirmed yet, in their order.
    """

    seen: int = 0
    told: int = 0
    ended: list[End] = []
    begun: list[tuple[int, int, int]] = []
    holds: list[Held] | None = None
    wait: float = 0.0
    ends: int = 0
    seconds_left: float | None = None
    nodes: list[NodeChange] = []


class Work(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The answer to a Trade.

    Attributes
    ----------
    heard : int
        The last of its ends that is on disk.
    tasks : list of Given
        All of this head's tasks above its `seen`.
    orders : list of Order
        All above its `told`.
    tell : bool
        It is to tell all that it holds: a new manager asks so.
    leave : bool
        It is to end: begin nothing more.
    nodes : int
        The last of its `NodeChange`s that was taken in.
    """

    heard: int = 0
    tasks: list[Given] = []
    orders: list[Order] = []
    tell: bool = False
    leave: bool = False
    nodes: int = 0


class PutFunction(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A part of the pickle of a function, which is kept under the digest of the whole.

    Sent before the first task that needs it; `part` counts from 0. What is whole is not needed again.
    """

    key: str
    part: int
    parts: int
    data: bytes


class NewTask(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One task that a driver submits.

    Attributes
    ----------
    spec : bytes
        Pickled arguments, or an encoded command.
    function : str
        Key of its function; "" for a command.
    resources : int
        Its place in `Submit.resources`.
    priority : float
    tag, name : str
    key : str
        A second task of the same key is the first one; "": none.
    after : list of int
        Tasks that must have succeeded before.
    policy : RetryPolicy
        How often it is tried again.
    timeout : float, optional
        Seconds.
    """

    spec: bytes
    function: str = ""
    resources: int = 0
    priority: float = 0.0
    tag: str = ""
    name: str = ""
    key: str = ""
    after: list[int] = []
    policy: RetryPolicy = NO_RETRIES
    timeout: float | None = None


class Submit(msgspec.Struct, frozen=True, gc=False, tag="SubmitTasks"):
    """Add tasks: at once all that are not refused. `batch` names them: sent again, it is known."""

    batch: str
    resources: list[TaskResources]
    calls: list[NewTask]


class RefusedTask(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One task of a Submit that was not taken: its place there, and why."""

    place: int
    code: str
    reason: str


class TasksSubmitted(msgspec.Struct, frozen=True, gc=False, tag="TasksSubmitted"):
    """The tasks of a Submit are on disk: their ids, in the same order; -1 of those that were refused."""

    items: list[int]
    refused: list[RefusedTask] = []


class Collect(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Which tasks have ended since the end number `seen`? Waits `wait` seconds if none has."""

    seen: int
    wait: float = 0.0


class LastTry(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Where and when a task was tried last. Times are those of the manager's clock.

    Attributes
    ----------
    job, node : str
    pid : int
        0 if it took only a moment.
    kind : EndKind
    peak : int
        Bytes of memory that it had at most; 0: not known.
    handed_out, ended : float
        Seconds since 1970.
    seconds : float
        That it ran.
    earlier : list of LastTry
        Those before it, the last ones.
    """

    job: str
    node: str
    pid: int
    kind: EndKind
    peak: int
    handed_out: float
    ended: float
    seconds: float
    earlier: list[LastTry] = []

    @property
    def begun(self) -> float:
        """Seconds since 1970."""
        return self.ended - self.seconds


class TaskResult(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """How a task ended.

    Attributes
    ----------
    item : int
    phase : str
        ``done``, ``failed`` or ``cancelled``.
    value : bytes
        Pickled value of a call that is done.
    path : str
        File that has it, where it is large.
    error : bytes
        Of a call that raised: pickled description of the exception.
    reason : str
    code : int
        Exit status, or number of the signal.
    attempts : int
    last_try : bytes
        An encoded `LastTry`; empty if it was never begun.
    """

    item: int
    phase: str
    value: bytes = b""
    path: str = ""
    error: bytes = b""
    reason: str = ""
    code: int = 0
    attempts: int = 0
    last_try: bytes = b""


class Results(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The answer to Collect: ends up to the number `upto`; with `more`, ask again at once."""

    upto: int
    ended: list[TaskResult] = []
    more: bool = False


class Fetch(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Which of these tasks have ended, and how? Without items: how many ends there are."""

    items: list[int]


class Fetched(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The answer to Fetch.

    Attributes
    ----------
    ends : int
        The number of the last end.
    looked_at : int
        How many of the items, from the first one: of the others it must be asked again.
    ended : list of TaskResult
    """

    ends: int
    looked_at: int
    ended: list[TaskResult]


class Prioritise(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Give tasks that have not ended new priorities."""

    items: list[int]
    priorities: list[float]


class Withdraw(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Cancel tasks; what has ended stays so. `waiting_only`: what was handed out stays as well."""

    items: list[int]
    waiting_only: bool = False


class DescribeTasks(msgspec.Struct, frozen=True, gc=False, tag=True):
    """How do these tasks stand? Changes nothing."""

    items: list[int]


class TaskView(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A task as it stands at this moment.

    Attributes
    ----------
    item : int
    phase : str
    attempts : int
        Those that have ended.
    job, node : str
        Of one that was handed out.
    pid : int
        Of one that has been running for a moment; 0: it is not known.
    since : float
        Seconds since 1970 of the last change of its phase.
    has_place : bool
        It was handed out and does not wait in the head: it runs, or is about to.
    """

    item: int
    phase: str
    attempts: int
    job: str = ""
    node: str = ""
    pid: int = 0
    since: float = 0.0
    has_place: bool = False


class TaskViews(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The answer to DescribeTasks, in the same order; tasks that do not exist are left out."""

    tasks: list[TaskView]


class OpenRun(msgspec.Struct, frozen=True, gc=False, tag=True):
    """More tasks may come: a driver is there, also if the run was over a moment ago."""


class CloseRun(msgspec.Struct, frozen=True, gc=False, tag=True):
    """No more tasks will come: the run is over when all have ended."""
