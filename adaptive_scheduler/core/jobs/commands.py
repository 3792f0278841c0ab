"""What is decided about jobs, and what the batch system answered.

`reconcile` returns actions. `SubmitJobs` and `CancelJobs` are also the commands that the
batch worker carries out, together with `ListQueue`; the others concern the manager alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from adaptive_scheduler.core.jobs.batch_jobs import Ending, ListedJob, Refusal

# --------------------------------------------------------- commands for the batch system


class ListQueue(msgspec.Struct, frozen=True):
    """List the queue, and ask accounting about those of `jobs` that it lacks or shows as ended.

    `started` are the jobs known to have started. A row that stands for many array tasks never
    describes one of these, see `expand_array_rows`.
    """

    jobs: Sequence[str] = ()
    started: frozenset[str] = frozenset()


class SubmitJobs(msgspec.Struct, frozen=True):
    """Submit n jobs of one shape.

    Attributes
    ----------
    shape, n : int
        All that `reconcile` decides; the manager adds the rest.
    number : int
        Of the submit, see `SubmitRecord`.
    name : str
        The jobs' name in the queue.
    excluded_nodes : tuple of str
        Hosts that must not be used.
    group : int
        The same for all submits decided together: if one is impossible, the rest of its group
        is not sent. 0: none.
    """

    shape: int
    n: int
    number: int = 0
    name: str = ""
    excluded_nodes: tuple[str, ...] = ()
    group: int = 0


class CancelJobs(msgspec.Struct, frozen=True):
    """Cancel jobs that have no work, or whose clients have been silent for too long.

    `if_silent`: only those that are silent still, if it waits before it is sent.
    """

    jobs: Sequence[str]
    reason: str = ""
    if_silent: bool = False


Command = ListQueue | SubmitJobs | CancelJobs


# ------------------------------------------------------------ actions of the manager itself


class MarkDead(msgspec.Struct, frozen=True):
    """The job is dead, and its item goes back to the queue.

    `crash`: as far as is known, the job itself is at fault.
    """

    job: str
    cause: str
    crash: bool


class FreeItem(msgspec.Struct, frozen=True):
    """The job is still in the queue, but the client that had an item is gone."""

    job: str
    reason: str


class ForgetSubmit(msgspec.Struct, frozen=True):
    """The submit never reached the batch system."""

    number: int


class Hold(msgspec.Struct, frozen=True):
    """Submit nothing more until the user resumes the run."""

    reason: str


Action = SubmitJobs | CancelJobs | MarkDead | FreeItem | ForgetSubmit | Hold


# ------------------------------------------------------------------ results of commands


class QueueListing(msgspec.Struct, frozen=True):
    """A listing that can be believed.

    `doubt`: seconds for which a job must be missing from listings before that is believed.
    """

    jobs: Sequence[ListedJob]
    endings: Sequence[Ending] = ()
    doubt: float = 0.0


class ListingFailed(msgspec.Struct, frozen=True):
    """The queue could not be listed: nothing is known, and nothing follows."""

    reason: str


class Submitted(msgspec.Struct, frozen=True):
    """These jobs exist now."""

    jobs: Sequence[str]
    number: int = 0


class NotSubmitted(msgspec.Struct, frozen=True):
    """The submit was refused; `reason` has the batch system's own text."""

    refusal: Refusal
    reason: str
    number: int = 0


class SubmitUnknown(msgspec.Struct, frozen=True):
    """Nobody knows whether the jobs exist; listings will show.

    `is_limit`: the command waited at a limit of the number of jobs, until it was given up.
    """

    reason: str
    number: int = 0
    is_limit: bool = False


class CancelDone(msgspec.Struct, frozen=True):
    """A cancel was carried out; or `error` says why not. `jobs` are certainly cancelled."""

    error: str = ""
    jobs: Sequence[str] = ()


SubmitResult = Submitted | NotSubmitted | SubmitUnknown
Result = QueueListing | ListingFailed | SubmitResult | CancelDone
