"""What the job manager asks of the batch system, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adaptive_scheduler.core.jobs.batch_jobs import Ending, ListedJob, Refusal
from adaptive_scheduler.core.jobs.records import SubmitRecord

# ---------------------------------------------------------- tasks for the batch system


@dataclass(frozen=True)
class ListQueue:
    """List the queue; ask accounting about those of `jobs` that it lacks, or shows as ended.

    `begun` are those that have started: of these a row for many tasks says nothing, see `unfold`.
    """

    jobs: Sequence[str] = ()
    begun: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Submit:
    """Write the script of a submit and hand it in.

    `wave` is the same for all that were decided together: of those, a request that is
    impossible is sent once.
    """

    submit: SubmitRecord
    excluded: tuple[str, ...] = ()
    wave: int | None = None


@dataclass(frozen=True)
class CancelTask:
    """Cancel jobs."""

    jobs: Sequence[str]


Task = ListQueue | Submit | CancelTask


# ------------------------------------------------------------------ what came of them


@dataclass(frozen=True)
class QueueListing:
    """A good look; a job must be missing for `doubt` seconds before that is believed."""

    jobs: Sequence[ListedJob]
    endings: Sequence[Ending] = ()
    doubt: float = 0.0


@dataclass(frozen=True)
class ListingFailed:
    """A look that says nothing."""

    reason: str


@dataclass(frozen=True)
class Submitted:
    """These jobs exist now."""

    number: int
    jobs: Sequence[str]


@dataclass(frozen=True)
class NotSubmitted:
    """The batch system refused, with its words."""

    number: int
    refusal: Refusal
    words: str


@dataclass(frozen=True)
class SubmitUnknown:
    """Nobody knows whether the jobs exist: the listings will tell."""

    number: int
    reason: str


@dataclass(frozen=True)
class CancelDone:
    """The cancel was carried out, or not: `words` say why. `jobs`: these are cancelled, for sure."""

    words: str = ""
    jobs: Sequence[str] = ()


Result = QueueListing | ListingFailed | Submitted | NotSubmitted | SubmitUnknown | CancelDone
