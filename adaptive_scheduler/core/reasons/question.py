"""What is asked about, and all that is known for an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from adaptive_scheduler.core.jobs.batch_jobs import QueueCause
from adaptive_scheduler.core.jobs.job_tracking import TrackedJob
from adaptive_scheduler.core.jobs.outputs import Output
from adaptive_scheduler.core.jobs.records import JobRecord
from adaptive_scheduler.core.rows.row import Item, TaskItem
from adaptive_scheduler.core.rows.run_state import RunState
from adaptive_scheduler.core.tasks.pools import Pool


class Rows(Protocol):
    """The rows of a run, by their ids."""

    def __getitem__(self, item: int, /) -> Item:
        """One of them."""


@dataclass(frozen=True)
class Known:
    """A run at one instant, and what only its manager knows.

    Attributes
    ----------
    state : RunState
        Without a manager: as the database has it.
    wall, monotonic : float
        This instant: seconds since 1970, and of the clock that `state` uses.
    is_alive : bool
        A manager says so; else there is none.
    submits : bool
        That manager submits jobs.
    is_full : bool
        The batch system takes no more jobs until one ends.
    submit_error, listing_error, write_error : str
        Why the last submit, listing of the queue, or write to the disk did not work.
    early_deaths : str
        How many jobs in a row died before they asked for work, and of what.
    complaints : mapping of str to str
        What clients wrote that could not reach the manager, by their jobs.
    output : callable
        Given a job, the last lines that it printed; None if it has no output file.
    stored : Rows, optional
        Without a manager: the rows, which `state` lacks then.
    held : sequence of Item
        Without a manager: what the job that is asked about ran when it was heard last.
    """

    state: RunState
    wall: float
    monotonic: float
    is_alive: bool = True
    submits: bool = True
    is_full: bool = False
    submit_error: str = ""
    listing_error: str = ""
    write_error: str = ""
    early_deaths: str = ""
    complaints: Mapping[str, str] = field(default_factory=dict)
    output: Output = lambda _: None
    stored: Rows | None = None
    held: Sequence[Item] = ()


@dataclass(frozen=True)
class JobSource:
    """Jobs of one shape: those of a pool, or those for learners.

    Attributes
    ----------
    jobs : sequence of TrackedJob
        Those that there are.
    coming : int
        Jobs of submits without an answer.
    used : int
        Jobs that count for its limit; of learners those of other shapes do, too.
    most : int
        That limit.
    pool : Pool, optional
    """

    jobs: Sequence[TrackedJob]
    coming: int
    used: int
    most: int
    pool: Pool | None = None

    @property
    def whose(self) -> str:
        """`` of pool gpu``; "" for learners."""
        return f" of pool {self.pool.name}" if self.pool else ""


@dataclass(frozen=True)
class Question:
    """Why an item, or a job, is as it is.

    Attributes
    ----------
    known : Known
    row : Item, optional
        What is asked about; or a job is.
    record : JobRecord, optional
    """

    known: Known
    row: Item | None = None
    record: JobRecord | None = None

    @property
    def state(self) -> RunState:
        """The run."""
        return self.known.state

    @property
    def rows(self) -> Rows:
        """All rows of the run."""
        return self.state.items.rows if self.known.stored is None else self.known.stored

    @property
    def task(self) -> TaskItem | None:
        """The row, if it is a task."""
        return self.row if isinstance(self.row, TaskItem) else None

    @property
    def job(self) -> TrackedJob | None:
        """The job that is asked about, or that runs the item, if it is alive."""
        if self.record is not None:
            return self.state.jobs.live.get(self.record.id)
        job = self.row.job if self.row is not None else None
        return None if job is None else self.state.jobs.live.get(job)

    def waiting_jobs(self, sources: Iterable[JobSource]) -> list[TrackedJob]:
        """Jobs that wait in the queue for some of that: the one asked about, or those for an item."""
        if self.record is not None:
            jobs = [self.job] if self.job is not None else []
        else:
            jobs = [job for source in sources for job in source.jobs]
        return [
            job for job in jobs if (job.may_be_pending or _is_held(job)) and not job.record.external
        ]


def _is_held(job: TrackedJob) -> bool:
    """Whether a person holds it, of which some batch systems make a state of its own."""
    return job.listed is not None and not job.was_heard and job.listed.why is QueueCause.HELD


class Found(NamedTuple):
    """That a cause holds: the sentence, and what to do, unless that of the cause."""

    text: str
    remedy: str = ""


#: Says of a question in which ways a cause holds; in none if it does not.
Finder = Callable[[Question], Iterable[Found]]


class Cause(NamedTuple):
    """One line of the table.

    Attributes
    ----------
    name : str
    when : str
        When it holds, in words.
    remedy : str
        What to do then; "" if nothing need be done.
    find : callable
    """

    name: str
    when: str
    remedy: str
    find: Finder
