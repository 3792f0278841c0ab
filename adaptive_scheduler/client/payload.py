"""What the claim loop and the payloads agree on: a payload runs items of one kind.

The claim loop knows leases, deadlines, signals and the manager. What an item is, how it is computed
and how its results are kept is the business of its payload: `client.learners.payload` runs learners.
The loop chooses one by the ``kind`` of the item that it was assigned.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor as Pool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from adaptive_scheduler.core.wire.messages import Assigned, Fail, Finish, Release, Report

#: Why the loop stops an item: the job's time is over; a signal (or a cancel); another client has it.
StopReason = Literal["deadline", "signal", "lost"]


@dataclass(frozen=True)
class Workers:
    """Where the user's code is evaluated.

    Attributes
    ----------
    pool : concurrent.futures.Executor
        Stays open from item to item.
    count : int
        How many calls it evaluates at a time.
    programs : Path, optional
        A folder of the user's own that workers can read: large functions go through it.
    """

    pool: Pool
    count: int
    programs: Path | None = None


@dataclass(frozen=True)
class ItemContext:
    """What the claim loop gives to the run of one item.

    Attributes
    ----------
    deadline : float or None
        `time.monotonic` after which nothing may be computed; None for never.
    lease_ok : callable
        Whether no other client can have the item by now; from any thread.
    report : callable
        Given a `Report` for people, and figures for the log.
    log : structlog.BoundLogger
        Names the item in each line.
    """

    deadline: float | None
    lease_ok: Callable[[], bool]
    report: Callable[[Report, dict[str, Any]], None]
    log: Any


@dataclass(frozen=True)
class ItemEnd:
    """How the run of an item ended.

    Attributes
    ----------
    request : Finish, Fail, Release or None
        What is sent to the manager; None if the item has another owner by now.
    is_by_deadline : bool
        The deadline ended it.
    pool_fault : str
        Why the workers are of no more use; "" as a rule.
    has_crashed : bool
        A worker process died: the job's output may say why.
    """

    request: Finish | Fail | Release | None
    is_by_deadline: bool = False
    pool_fault: str = ""
    has_crashed: bool = False


class ItemRun(Protocol):
    """One item, ready to run."""

    def stop(self, reason: StopReason, patience: float, /) -> None:
        """End soon, with what is known after `patience` seconds; from any thread, also before `run`."""

    def run(self) -> ItemEnd:
        """Run it; blocks."""


class Payload(Protocol):
    """Runs items of one kind."""

    def open(self, workers: Workers, /) -> None:
        """Get ready, before the first claim: what fails here is the run's fault, not an item's."""

    def prepare(self, assigned: Assigned, context: ItemContext, /) -> ItemRun:
        """Make an item ready to run."""

    def clean_up(self, seconds: float, /) -> None:
        """Free the memory of an item that ran for so many seconds and is not used any more."""
