"""A batch system in memory: jobs start and end when a test says so."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from adaptive_scheduler.core.jobs.batch_jobs import Ending, JobId, JobState, ListedJob, Refusal
from adaptive_scheduler.core.jobs.commands import (
    CancelDone,
    CancelJobs,
    Command,
    ListingFailed,
    ListQueue,
    NotSubmitted,
    QueueListing,
    Result,
    SubmitJobs,
    SubmitResult,
    Submitted,
    SubmitUnknown,
)
from adaptive_scheduler.core.jobs.records import tag

#: What may go wrong with one listing and one submit.
ListingFault = Literal["fails", "empty", "late", "none"]
SubmitFault = Literal["busy", "limit", "lost", "unanswered", "none"]


@dataclass
class VirtualJob:
    """One job as it really is.

    `cause` is how it ended, "" while it has not; `started` when it last began to run.
    """

    id: str
    submit: int
    shape: int
    tag: str
    state: JobState = JobState.PENDING
    restart: int = 0
    cause: str = ""
    started: float = 0.0

    @property
    def alive(self) -> bool:
        """Whether the batch system still has it."""
        return not self.cause


class VirtualBatchSystem:
    """Carries out the commands of a job manager.

    Parameters
    ----------
    run : str
        The run's id, for the jobs' tags.
    accounting : bool
        Whether it reports how jobs ended.
    on_cancel : callable
        Called with the id of each job just before it is cancelled.

    Attributes
    ----------
    jobs : dict of str to VirtualJob
        All jobs ever.
    listing_faults, submit_faults : deque
        What goes wrong with the next listings and submits.
    failing_cancels : int
        So many of the next cancels fail.
    limit : int, optional
        The most live jobs of this user: a submit that would exceed it is refused as a whole.
    doubt : float
        Seconds that a job must be missing in its listings before that is believed.
    submits : list of (int, bool)
        How many jobs each submit asked for, and whether there was room.
    """

    def __init__(
        self,
        run: str,
        accounting: bool = True,
        on_cancel: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.jobs: dict[str, VirtualJob] = {}
        self.listing_faults: deque[ListingFault] = deque()
        self.submit_faults: deque[SubmitFault] = deque()
        self.failing_cancels = 0
        self.doubt = 0.0
        self.limit: int | None = None
        self.submits: list[tuple[int, bool]] = []
        self._run = run
        self._accounting = accounting
        self._on_cancel = on_cancel
        self._number = 1000
        self._before: list[ListedJob] = []

    def living(self) -> list[VirtualJob]:
        """Return the jobs that are pending or running."""
        return [job for job in self.jobs.values() if job.alive]

    def end(self, job: VirtualJob, cause: str) -> None:
        """End a job, if it has not ended."""
        job.cause = job.cause or cause
        job.state = JobState.ENDED

    # ------------------------------------------------------------------ commands

    def carry_out(self, command: Command) -> Result:
        """Carry out a command of a job manager."""
        match command:
            case ListQueue():
                return self._list(command)
            case SubmitJobs():
                return msgspec.structs.replace(self._submit(command), number=command.number)
            case CancelJobs():
                return self._cancel(command.jobs)

    def _list(self, command: ListQueue) -> Result:
        fault = self.listing_faults.popleft() if self.listing_faults else None
        if fault == "fails":
            return ListingFailed("slurm_load_jobs error: Unable to contact slurm controller")
        if fault == "empty":
            return QueueListing([])
        if fault == "late":
            return QueueListing(self._before)
        self._before = [
            ListedJob(JobId(job.id), job.state, job.state.value.upper(), comment=job.tag)
            for job in self.living()
        ]
        listed = {job.id for job in self._before}
        return QueueListing(self._before, self._endings(set(command.jobs) - listed), self.doubt)

    def _endings(self, missing: set[str]) -> list[Ending]:
        ended = (self.jobs[job] for job in sorted(missing & set(self.jobs)))
        return [Ending(JobId(job.id), job.cause) for job in ended if self._accounting]

    def _submit(self, command: SubmitJobs) -> SubmitResult:
        full = self.limit is not None and len(self.living()) + command.n > self.limit
        self.submits.append((command.n, not full))
        if full:
            return NotSubmitted(Refusal.LIMIT, "qsub: would exceed the limit")
        fault = self.submit_faults.popleft() if self.submit_faults else None
        if fault in tuple(Refusal):
            return NotSubmitted(Refusal(fault), "sbatch: error: try again later")
        if fault == "lost":
            return SubmitUnknown("no answer in 60 s")
        self._number += 1
        comment = tag(self._run, command.number)
        made = [
            VirtualJob(f"{self._number}_{n}", command.number, command.shape, comment)
            for n in range(command.n)
        ]
        self.jobs.update((job.id, job) for job in made)
        if fault == "unanswered":
            return SubmitUnknown("no answer in 60 s")
        return Submitted([job.id for job in made])

    def _cancel(self, jobs: Sequence[str]) -> Result:
        if self.failing_cancels:
            self.failing_cancels -= 1
            return CancelDone("scancel: error: Unable to contact slurm controller")
        for name in jobs:
            if name in self.jobs and self.jobs[name].alive:
                self._on_cancel(name)
                self.end(self.jobs[name], "cancelled")
        return CancelDone(jobs=jobs)
