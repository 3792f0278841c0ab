"""Messages between clients, manager and people's programs: typed, versioned, never pickled.

One request, one reply. A request is sent again until its reply has come, so every request may arrive
twice or late: each has its sender and a number, and the same number gets the same reply.

`gc=False`: messages and rows cannot be part of a cycle of references, so the garbage collector need
not look at hundreds of thousands of them.
"""

from __future__ import annotations

from typing import Any, Literal, final

import msgspec

from adaptive_scheduler.core.tasks.place import NodeInventory
from adaptive_scheduler.core.wire.ends import UNKNOWN
from adaptive_scheduler.core.wire.pools import AddPool, PoolList, Pools, RemovePool
from adaptive_scheduler.core.wire.progress import Report as Report  # noqa: PLC0414  part of the messages
from adaptive_scheduler.core.wire.reasons import Explain, Reasons
from adaptive_scheduler.core.wire.slots import SlotCount, Slots
from adaptive_scheduler.core.wire.tasks import (
    CloseRun,
    Collect,
    DescribeTasks,
    Fetch,
    Fetched,
    OpenRun,
    Prioritise,
    PutFunction,
    Results,
    Submit,
    TasksSubmitted,
    TaskViews,
    Trade,
    Withdraw,
    Work,
)
from adaptive_scheduler.errors import ProtocolError

#: Increased whenever an older program could misread a message.
VERSION = 1


class Owner(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The sender of a request: one process that is, or was, the client of a job.

    A requeued job comes back with a higher `restart`, a restarted MPI world with a higher `attempt`;
    `uuid` tells two processes with the same numbers apart. `run` is the id of the run that it works for; "" of
    drivers and people, who speak to whatever run there is.
    """

    job: str
    restart: int
    attempt: int
    uuid: str
    run: str = ""

    @property
    def life(self) -> tuple[int, int]:
        """Orders the clients that one job has had."""
        return (self.restart, self.attempt)


class Hello(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A client has started.

    `submit` is the number of the submit that made its job; `inventory` is what the head of a
    pool's job has, and empty for others. A node that has not come yet has no cores there (see
    `tasks.NodeChange`). `age` is for how many seconds the job has run, by its own clock; 0.0 if it
    does not know.
    """

    host: str
    pid: int
    ranks: int
    submit: int = -1
    inventory: list[NodeInventory] = []
    age: float = 0.0


class Claim(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Asks for an item; a client that holds one gets that one again."""


class Beat(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Heartbeat: renews the client's lease. With a token, it also reports how far the item is."""

    token: int = 0
    report: Report = Report()


class Finish(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The item's goal is met and its data are saved. `claims`: it asks for the next item as well.

    The reply is then that to a claim. A manager that does not know `claims` replies Ok.
    """

    token: int
    report: Report = Report()
    claims: bool = False


class Fail(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The user's code raised; or, with `crash`, a process that evaluated it died.

    `workers`: how many points the job evaluates at a time; 0 from clients of version 0.2.0.
    """

    token: int
    reason: str
    traceback: str = ""
    report: Report = Report()
    crash: bool = False
    workers: int = 0


class Release(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The client gives the item back; its data are saved. `reason`: deadline, signal, ...; `how`: a `How`."""

    token: int
    reason: str
    report: Report = Report()
    how: int = UNKNOWN


class Goodbye(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The client ends. `reason` is for people; `broken`: it could not even begin on its node.

    `submit` is the number of the submit that made its job: this may be the first that is heard of it.
    `how`: how the item ended that it holds, if the manager knows no other end: a `How`.
    """

    reason: str = ""
    broken: bool = False
    submit: int = -1
    how: int = UNKNOWN


class Status(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Asks for a snapshot. `rows`: of ``all`` items, of ``active`` and failed ones, or of ``none``."""

    rows: Literal["all", "active", "none"] = "active"


class Cancel(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Cancels all items and jobs of the run."""


class CancelItems(msgspec.Struct, frozen=True, gc=False, tag=True):
    """End these items alone; the run goes on.

    It is no field of `Cancel`: an older manager would not know the field, and end the whole run.
    """

    items: list[int]


class Resume(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Goes on with a run that is held or was cancelled."""


class Retry(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Queues items again, with all of their budgets. None: all that are FAILED or CANCELLED.

    `reopen`: items that are DONE too.
    """

    items: list[int] | None = None
    reopen: bool = False


class ChangeMaxJobs(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Sets how many jobs a run of learners has at most at a time.

    Of those too many, the ones that wait are cancelled, and the ones that run leave when their learner has ended. The answer has how many jobs the run has, or has asked for.
    """

    max_jobs: int


class Stop(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Ends the manager's process; jobs go on and wait for the next one."""


Request = (
    Hello | Claim | Beat | Finish | Fail | Release | Goodbye  # of clients
    | Trade  # of heads of pools
    | PutFunction | Submit | Collect | Fetch | Prioritise | Withdraw  # of drivers
    | OpenRun | CloseRun  # of drivers
    | DescribeTasks | Explain  # of drivers and people
    | AddPool | RemovePool | Pools | Slots  # of drivers and people
    | Status | Cancel | CancelItems | Resume | Retry | ChangeMaxJobs | Stop  # of people
)  # fmt: skip


class Welcome(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The reply to Hello.

    Attributes
    ----------
    run : str
        The run's id.
    beat, lease, idle : float
        Seconds between two heartbeats; until a client that sends none loses its lease; that a client
        without work stays.
    """

    run: str
    beat: float
    lease: float
    idle: float


class Assigned(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The client holds this item, as long as its lease is renewed.

    Attributes
    ----------
    item : int
        Its id: the learner's place in the list.
    token : int
        Names this claim; higher than that of any earlier one in this run.
    fname : str or list of str
        Where the data go.
    worked : float
        Seconds that earlier clients worked on it.
    combo : object
        Its combination of parameters, if the database was made with them.
    kind : str
        What the item is; today always ``learner``.
    """

    item: int
    token: int
    fname: str | list[str]
    worked: float = 0.0
    combo: Any = None
    kind: str = "learner"


class Idle(msgspec.Struct, frozen=True, gc=False, tag=True):
    """There is no item now. `over`: nor will there be, for this `reason`; else ask again after `wait` seconds."""

    wait: float
    over: bool = False
    reason: str = ""


class Ok(msgspec.Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """Done, and on disk.

    `items`: how many were cancelled or queued again; always 0 from managers of version 0.2.0.
    """

    items: int = 0


@final
class Refused(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The request was not carried out. `code` is for programs, `reason` for people.

    Compare ``type(reply) is Refused`` where many are compared: `isinstance` takes 0.1 µs for structs,
    and a manager compares ten times a request.
    """

    code: str
    reason: str


class Picture(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The reply to Status: an encoded `core.wire.snapshot.Snapshot`."""

    snapshot: msgspec.Raw


Reply = (
    Welcome | Assigned | Idle | Ok | Refused | Picture  # to clients and people
    | Work | TasksSubmitted | Results | Fetched | TaskViews | PoolList | SlotCount | Reasons  # about tasks
)  # fmt: skip


class Envelope(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A request on the wire. The version comes first and never moves."""

    version: int
    sender: Owner
    number: int
    body: msgspec.Raw


class _Head(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The part that messages of every version have."""

    version: int


class Answer(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A reply on the wire: the number of its request, and the body."""

    version: int
    number: int
    body: msgspec.Raw


_heads = msgspec.msgpack.Decoder(_Head)
_envelopes = msgspec.msgpack.Decoder(Envelope)
_answers = msgspec.msgpack.Decoder(Answer)
_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)
_encoder = msgspec.msgpack.Encoder()


def encode_request(sender: Owner, number: int, body: Request) -> bytes:
    """Bytes of one request."""
    return _encoder.encode(Envelope(VERSION, sender, number, msgspec.Raw(_encoder.encode(body))))


def decode_request(data: bytes) -> tuple[Owner, int, Request]:
    """Sender, number and body of a request; ProtocolError for anything else."""
    try:
        _check_version(data)
        envelope = _envelopes.decode(data)
        return envelope.sender, envelope.number, _requests.decode(envelope.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"not a request: {error}") from error


def number_of(data: bytes) -> int | None:
    """Number of a request that could not be decoded; None if it is not even one.

    0 for one of another version, whose form nobody knows: its sender looks first at the version of
    the answer, which never moves, and says that it is another one.
    """
    try:
        if _heads.decode(data).version != VERSION:
            return 0
        return _envelopes.decode(data).number
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def encode_reply(number: int, body: Reply) -> bytes:
    """Bytes of the reply to request `number`."""
    return _encoder.encode(Answer(VERSION, number, msgspec.Raw(_encoder.encode(body))))


def decode_reply(data: bytes) -> tuple[int, Reply]:
    """Number and body of a reply; ProtocolError for anything else."""
    try:
        _check_version(data)
        answer = _answers.decode(data)
        return answer.number, _replies.decode(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"not a reply: {error}") from error


def _check_version(data: bytes) -> None:
    version = _heads.decode(data).version
    if version != VERSION:
        raise ProtocolError(
            f"a message of version {version}, but this is version {VERSION}: the manager and its "
            "jobs or drivers use different versions of adaptive_scheduler. Use one environment for "
            "all."
        )
