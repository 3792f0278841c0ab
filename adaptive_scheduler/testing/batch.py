"""A batch system of records: jobs wait, start and end when a test says so."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from adaptive_scheduler.core.jobs.batch_jobs import Ending, JobId, JobState, ListedJob, Refusal
from adaptive_scheduler.core.jobs.commands import (
    CancelDone,
    CancelTask,
    ListingFailed,
    ListQueue,
    NotSubmitted,
    QueueListing,
    Result,
    Submit,
    Submitted,
    SubmitUnknown,
    Task,
)
from adaptive_scheduler.core.jobs.records import tag

#: What may go wrong with one look, one submit, one cancel.
LookFault = Literal["fails", "empty", "late", "none"]
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
    """Carries out the tasks of a job manager.

    Parameters
    ----------
    run : str
        The run's id, for the jobs' tags.
    accounting : bool
        Whether it tells how jobs ended.
    on_cancel : callable
        Told the id of each job just before it is cancelled.

    Attributes
    ----------
    jobs : dict of str to VirtualJob
        All jobs ever.
    look_faults, submit_faults : deque
        What goes wrong with the next looks and submits.
    limit : int, optional
        The most jobs that it takes from this user: what would be more is refused as a whole.
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
        self.look_faults: deque[LookFault] = deque()
        self.submit_faults: deque[SubmitFault] = deque()
        self.deaf_to_cancels = 0
        self.doubt = 0.0
        self.limit: int | None = None
        self.submits: list[tuple[int, bool]] = []
        self._run = run
        self._accounting = accounting
        self._on_cancel = on_cancel
        self._number = 1000
        self._before: list[ListedJob] = []

    def living(self) -> list[VirtualJob]:
        """Jobs that wait or run."""
        return [job for job in self.jobs.values() if job.alive]

    def end(self, job: VirtualJob, cause: str) -> None:
        """Let a job end, if it has not."""
        job.cause = job.cause or cause
        job.state = JobState.ENDED

    # -------------------------------------------------------------------- tasks

    def carry_out(self, task: Task) -> Result:
        """Do what a job manager asks."""
        match task:
            case ListQueue():
                return self._look(task)
            case Submit():
                return self._submit(task)
            case CancelTask():
                return self._cancel(task.jobs)

    def _look(self, task: ListQueue) -> Result:
        fault = self.look_faults.popleft() if self.look_faults else None
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
        return QueueListing(self._before, self._endings(set(task.jobs) - listed), self.doubt)

    def _endings(self, missing: set[str]) -> list[Ending]:
        ended = (self.jobs[job] for job in sorted(missing & set(self.jobs)))
        return [Ending(JobId(job.id), job.cause) for job in ended if self._accounting]

    def _submit(self, task: Submit) -> Result:
        submit = task.submit
        full = self.limit is not None and len(self.living()) + submit.n > self.limit
        self.submits.append((submit.n, not full))
        if full:
            return NotSubmitted(submit.number, Refusal.LIMIT, "qsub: would exceed the limit")
        fault = self.submit_faults.popleft() if self.submit_faults else None
        if fault in tuple(Refusal):
            return NotSubmitted(submit.number, Refusal(fault), "sbatch: error: try again later")
        if fault == "lost":
            return SubmitUnknown(submit.number, "no answer in 60 s")
        self._number += 1
        made = [
            VirtualJob(f"{self._number}_{n}", submit.number, submit.shape, tag(self._run, submit.number))
            for n in range(submit.n)
        ]  # fmt: skip
        self.jobs.update((job.id, job) for job in made)
        if fault == "unanswered":
            return SubmitUnknown(submit.number, "no answer in 60 s")
        return Submitted(submit.number, [job.id for job in made])

    def _cancel(self, jobs: Sequence[str]) -> Result:
        if self.deaf_to_cancels:
            self.deaf_to_cancels -= 1
            return CancelDone("scancel: error: Unable to contact slurm controller")
        for name in jobs:
            if name in self.jobs and self.jobs[name].alive:
                self._on_cancel(name)
                self.end(self.jobs[name], "cancelled")
        return CancelDone(jobs=jobs)
