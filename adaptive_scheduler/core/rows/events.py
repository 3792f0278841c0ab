"""What can happen to an item."""

from __future__ import annotations

import msgspec

from adaptive_scheduler.core.wire.ends import UNKNOWN
from adaptive_scheduler.core.wire.messages import Owner, Report
from adaptive_scheduler.core.wire.tasks import EndKind


class Claimed(msgspec.Struct, frozen=True, gc=False):
    """A client takes it. `token` is new; a client that holds it already keeps its own.

    `last` is what an earlier client of the same job had reported, `output` the end of what the job
    has printed.
    """

    owner: Owner
    token: int
    last: Report | None = None
    output: str = ""


class Finished(msgspec.Struct, frozen=True, gc=False):
    """Its goal is met and its data are saved."""

    token: int
    report: Report = Report()


class Raised(msgspec.Struct, frozen=True, gc=False):
    """The user's code raised; or, with `crash`, a process that evaluated it died.

    `workers` is how many points the job evaluates at a time (0: unknown): after so many new points
    its failures are counted from the start.
    """

    token: int
    reason: str
    traceback: str = ""
    report: Report = Report()
    crash: bool = False
    workers: int = 0


class Released(msgspec.Struct, frozen=True, gc=False):
    """Its client gave it back, saved. `how`: a `How`."""

    token: int
    reason: str
    report: Report = Report()
    how: int = UNKNOWN


class Lost(msgspec.Struct, frozen=True, gc=False):
    """Its job ended without giving it back. `crash`: perhaps by the item's own fault; `how`: a `How`."""

    reason: str
    crash: bool = False
    last: Report | None = None
    output: str = ""
    how: int = UNKNOWN


class Unblocked(msgspec.Struct, frozen=True, gc=False):
    """All items that it depends on are DONE."""


class Blocked(msgspec.Struct, frozen=True, gc=False):
    """An item that it depends on has failed or was cancelled."""

    reason: str


class Unplaceable(msgspec.Struct, frozen=True, gc=False):
    """It can never be run: the last pool that could hold it is gone, or its arguments are lost."""

    reason: str


class Postponed(msgspec.Struct, frozen=True, gc=False):
    """An item that it depends on is to be done again."""

    reason: str = "what it depends on is done again"


class Cancelled(msgspec.Struct, frozen=True, gc=False):
    """A person cancelled it. `last` is what its client had reported."""

    reason: str = "cancelled"
    last: Report | None = None


class Retried(msgspec.Struct, frozen=True, gc=False):
    """A person wants it done again. `waiting`: not all that it depends on is DONE."""

    waiting: bool = False


class Granted(msgspec.Struct, frozen=True, gc=False):
    """A task is handed out to the head of a job. `token` is fresh."""

    job: str
    token: int


class TaskEnded(msgspec.Struct, frozen=True, gc=False):
    """A head tells how a task ended, or gives it back.

    Attributes
    ----------
    token : int
    kind : EndKind
    begun : bool
        Whether its function or program was begun.
    reason : str
        For people.
    seconds : float
        That it ran.
    code : int
        Exit status, or number of the signal.
    is_full_cut : bool
        With ``CUT``: it had a whole walltime, and was not done.
    """

    token: int
    kind: EndKind
    begun: bool = True
    reason: str = ""
    seconds: float = 0.0
    code: int = 0
    is_full_cut: bool = False


class Prioritised(msgspec.Struct, frozen=True, gc=False):
    """A driver or a person changes its priority."""

    priority: float


Event = (
    Claimed
    | Granted
    | TaskEnded
    | Prioritised
    | Finished
    | Raised
    | Released
    | Lost
    | Unblocked
    | Blocked
    | Unplaceable
    | Postponed
    | Cancelled
    | Retried
)
