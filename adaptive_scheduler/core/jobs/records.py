"""Jobs and submits as the database stores them. Fields keep their names: old databases have them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from adaptive_scheduler.core.wire.messages import Owner


class JobRecord(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One job.

    Attributes
    ----------
    id : str
    submit : int
        Number of the submit that made it; -1 for a script started by hand.
    shape : int
        Index of its resources in `RunConfig.shapes`.
    name : str
        Its name in the queue.
    owner : Owner, optional
        Its last client.
    has_worked : bool
        Whether it was ever given an item.
    goodbye : str
        Why its client ended, in the client's own words; "" while it has not said goodbye.
    broken : bool
        The client could not work on that node at all.
    host : str
        Where that client ran.
    ended : str
        Why the job is believed dead; "" for a live one.
    submitted, started : float
        Seconds since 1970; when its script began, as its client has told.
    cores : int
        Its MPI ranks, or cores for tasks, as its client has told; 0: it has not.
    """

    id: str
    submit: int = -1
    shape: int = 0
    name: str = ""
    owner: Owner | None = None
    has_worked: bool = False
    goodbye: str = ""
    broken: bool = False
    host: str = ""
    ended: str = ""
    submitted: float = 0.0
    started: float = 0.0
    cores: int = 0

    @property
    def external(self) -> bool:
        """Whether its script was started by hand, so that no queue lists it."""
        return is_external(self.id)

    @property
    def is_of_submit(self) -> bool:
        """Whether a submit of the run made it; a person may have submitted its script, too."""
        return self.submit >= 0 and not self.external

    @property
    def died_early(self) -> bool:
        """Whether it died before it asked for work, and nobody ended it on purpose."""
        if self.has_worked or self.external or (self.goodbye and not self.broken):
            return False
        return self.ended not in ("", "cancelled", "preempted", "node_fail")


class SubmitRecord(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One submit. `jobs` is None while nobody knows whether it reached the batch system."""

    number: int
    shape: int
    n: int
    name: str
    sent: float
    jobs: list[str] | None = None


def is_external(job: str) -> bool:
    """Whether a job is a process that was started by hand, so that no queue lists it."""
    return job.startswith(("local:", "here:"))


def count_early_deaths(records: Iterable[JobRecord]) -> int:
    """Count the jobs that died before they asked for work."""
    return sum(record.died_early for record in records)


def tag(run: str, number: int) -> str:
    """Return the comment that marks the jobs of one submit in the queue."""
    return f"as:{run}:{number}"


def submit_number(comment: str, run: str) -> int | None:
    """Return the number of a listed job's submit; None if its comment is not of this run."""
    parts = comment.split(":")
    if len(parts) != 3 or parts[:2] != ["as", run] or not parts[2].isdigit():
        return None
    return int(parts[2])
