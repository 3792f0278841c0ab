"""What clients, managers and viewers say to each other: typed, versioned, never pickled.

One request, one reply. A request is sent again until its reply has come, so
every request may arrive twice or late: each carries its sender and a number,
and the same number gets the same reply.

None can be part of a cycle of references, nor can a row of the database: `gc=False`
keeps hundreds of thousands of them out of the garbage collector's way.
"""

from __future__ import annotations

from typing import Any, Literal, final

import msgspec

from adaptive_scheduler.core.wire.progress import Report as Report  # noqa: PLC0414  part of the words
from adaptive_scheduler.errors import ProtocolError

#: Raised whenever an older program could misread a message.
VERSION = 1


class Owner(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Who speaks: one life of one client.

    A requeued job comes back with a higher `restart`, a restarted MPI world
    with a higher `attempt`; `uuid` tells two processes with the same numbers apart.
    """

    job: str
    restart: int
    attempt: int
    uuid: str

    @property
    def life(self) -> tuple[int, int]:
        """Lives of one job in their order."""
        return (self.restart, self.attempt)


class Hello(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The first words of a client. `submit` is the number of the submit that made its job."""

    host: str
    pid: int
    ranks: int
    submit: int = -1


class Claim(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Give me an item, or the one I hold already."""


class Beat(msgspec.Struct, frozen=True, gc=False, tag=True):
    """I live; with a token: and this is how far the item is."""

    token: int = 0
    report: Report = Report()


class Finish(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The item's goal is met and its data are saved. With `claims`: give me the next one.

    The answer is then that to the claim. A manager that knows no `claims` says Ok.
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
    """I stop working on the item; its data are saved. `reason`: deadline, signal, ..."""

    token: int
    reason: str
    report: Report = Report()


class Goodbye(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The client ends. `reason` is for people; `broken`: it could not work on this node at all."""

    reason: str = ""
    broken: bool = False


class Status(msgspec.Struct, frozen=True, gc=False, tag=True):
    """What does the run look like? `rows`: ``all`` items, only ``active`` and failed ones, or ``none``."""

    rows: Literal["all", "active", "none"] = "active"


class Cancel(msgspec.Struct, frozen=True, gc=False, tag=True):
    """End the run: cancel its items and its jobs."""


class CancelItems(msgspec.Struct, frozen=True, gc=False, tag=True):
    """End these items alone; the run goes on.

    It is no field of `Cancel`: an older manager would not know the field, and end the whole run.
    """

    items: list[int]


class Resume(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Go on after a HELD, or after a cancel."""


class Retry(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Queue items again, their budgets reset. None: all FAILED and CANCELLED ones.

    `reopen` says that the items named may be DONE ones too.
    """

    items: list[int] | None = None
    reopen: bool = False


class Stop(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The manager's process is to end; jobs go on and wait for the next one."""


Request = (
    Hello | Claim | Beat | Finish | Fail | Release | Goodbye  # of clients
    | Status | Cancel | CancelItems | Resume | Retry | Stop  # of people
)  # fmt: skip


class Welcome(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The answer to Hello.

    Attributes
    ----------
    run : str
        The run's id.
    beat, lease, idle : float
        Seconds between two beats; until a silent client loses its lease;
        that a client without work stays.
    """

    run: str
    beat: float
    lease: float
    idle: float


class Assigned(msgspec.Struct, frozen=True, gc=False, tag=True):
    """An item is yours as long as you beat.

    Attributes
    ----------
    item : int
        The row: the place in the list of learners.
    token : int
        Names this right; higher than any before it in this run.
    fname : str or list of str
        Where the data go.
    worked : float
        Seconds that earlier clients worked on it.
    combo : object
        The row's combination of parameters, if the database was made with them.
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
    """Nothing is free. `over`: nor will be, go; else ask again after `wait` seconds."""

    wait: float
    over: bool = False


class Ok(msgspec.Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """Done, and on disk.

    `items`: how many were cancelled or queued again; always 0 from managers of version 0.2.0.
    """

    items: int = 0


@final
class Refused(msgspec.Struct, frozen=True, gc=False, tag=True):
    """No. `code` for programs, `reason` for people.

    Where it matters it is told by ``type(reply) is Refused``: `isinstance` takes 0.1 µs for
    structs, which ask Python's abstract classes, and a manager asks ten times a request.
    """

    code: str
    reason: str


class Picture(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The answer to Status: an encoded `core.snapshot.Snapshot`."""

    snapshot: msgspec.Raw


Reply = Welcome | Assigned | Idle | Ok | Refused | Picture


class Envelope(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A request on the wire. The version comes first and never moves."""

    version: int
    sender: Owner
    number: int
    body: msgspec.Raw


class _Head(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What messages of every version have in common."""

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
            f"a message of version {version}, but this is version {VERSION}: the manager and the "
            "jobs use different versions of adaptive_scheduler. Use one environment for both."
        )
