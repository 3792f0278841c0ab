"""All jobs of a run: what each said, what the queue shows of it, how it ended."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

import msgspec

from adaptive_scheduler.core.jobs.batch_jobs import ENDED, Ending, ListedJob
from adaptive_scheduler.core.jobs.job_tracking import (
    Liveness,
    PendingSubmit,
    TrackedJob,
    conflicting_client,
    node_of,
    survey,
)
from adaptive_scheduler.core.jobs.reconcile import SubmitView
from adaptive_scheduler.core.jobs.records import (
    JobRecord,
    SubmitRecord,
    count_early_deaths,
    died_early,
    submit_number,
)
from adaptive_scheduler.core.wire.messages import Owner, Refused

replace = msgspec.structs.replace


class JobTable:
    """Jobs and submits, with what is known of each.

    Parameters
    ----------
    records, submits : iterable
        From the database.
    now : float
        The manager's monotonic clock: leases begin anew.
    pardoned : int
        Early deaths that a person has seen already.
    """

    def __init__(
        self,
        records: Iterable[JobRecord],
        submits: Iterable[SubmitRecord],
        now: float,
        pardoned: int = 0,
    ) -> None:
        self.records = {record.id: record for record in records}
        self.submits = {submit.number: submit for submit in submits}
        self.changed_jobs: dict[str, JobRecord] = {}
        self.changed_submits: dict[int, SubmitRecord | None] = {}
        self._signs = {
            r.id: TrackedJob(heard=now, known=now, spoke=r.owner is not None)
            for r in self.records.values()
            if not r.ended
        }
        self._unknown = {
            n: PendingSubmit(now, []) for n, s in self.submits.items() if s.jobs is None
        }
        for record in self.records.values():
            if record.submit in self._unknown:
                self._unknown[record.submit].jobs.append(record.id)
        self._leaving = {r.id for r in self.records.values() if r.goodbye and not r.ended}
        self.lived = sum(record.has_worked for record in self.records.values())
        self.pardoned = pardoned
        #: Jobs in a row that died before they asked for work.
        n = count_early_deaths(self.records.values())
        self.early_deaths = 0 if self.lived else max(0, n - pardoned)

    def pardon(self) -> None:
        """A person has mended what the first jobs died of: they hold the run no longer."""
        self.pardoned, self.early_deaths = count_early_deaths(self.records.values()), 0

    # ------------------------------------------------------------------- writing

    def _keep(self, record: JobRecord) -> JobRecord:
        before = self.records.get(record.id)
        self.lived += record.has_worked - (before is not None and before.has_worked)
        self.records[record.id] = record
        self.changed_jobs[record.id] = record
        if record.goodbye and not record.ended:
            self._leaving.add(record.id)
        else:
            self._leaving.discard(record.id)
        return record

    def _keep_submit(self, submit: SubmitRecord) -> None:
        self.submits[submit.number] = submit
        self.changed_submits[submit.number] = submit

    def begin_submit(self, shape: int, n: int, name: str, wall: float, now: float) -> SubmitRecord:
        """Note the intention, so that a manager that dies over it can be followed by one that knows."""
        number = max(self.submits, default=0) + 1
        submit = SubmitRecord(number, shape, n, name, wall)
        self._keep_submit(submit)
        self._unknown[number] = PendingSubmit(now, [])
        return submit

    def end_submit(self, number: int, jobs: Sequence[str], now: float) -> None:
        """The batch system said which jobs a submit made (none: it refused)."""
        self._settle(number, jobs)
        for job in jobs:
            self._meet(job, number, now)

    def doubt_submit(self, number: int, now: float) -> None:
        """It was given up without an answer: what was sent may still arrive, so look from now on."""
        unknown = self._unknown.get(number)
        if unknown is not None:
            unknown.sent, unknown.absences = now, 0

    def _meet(self, job: str, number: int, now: float) -> JobRecord:
        """Know a job: by its submit's answer, by the listing, or because it speaks first."""
        if job in self.records:
            return self.records[job]
        submit = self.submits.get(number)
        self._signs[job] = TrackedJob(heard=now, known=now)
        if submit is None:
            return self._keep(JobRecord(job, number))
        unknown = self._unknown.get(number)
        if unknown is not None:
            unknown.jobs.append(job)
            if len(unknown.jobs) >= submit.n:
                self._settle(number, unknown.jobs)
        return self._keep(JobRecord(job, number, submit.shape, submit.name, submitted=submit.sent))

    def _settle(self, number: int, jobs: Sequence[str]) -> None:
        """It is known now which jobs a submit made."""
        self._unknown.pop(number, None)
        self._keep_submit(replace(self.submits[number], jobs=list(jobs)))

    def hear(self, owner: Owner, submit: int, now: float) -> JobRecord | Refused:
        """A client spoke: renew its lease, unless another life or another process of its job did.

        Parameters
        ----------
        owner : Owner
        submit : int
            Number of the submit that made its job, as the job script says.
        now : float
            Monotonic seconds.
        """
        record = self.records.get(owner.job) or self._meet(owner.job, submit, now)
        signs = self._signs.get(owner.job) or TrackedJob(heard=now, known=now)
        known = record.owner
        if known is not None and known != owner:
            refusal = conflicting_client(record, known, owner, signs)
            if refusal is not None:
                return refusal
        self._signs[owner.job] = signs  # of one believed dead: only who is heard revives it
        signs.heard, signs.spoke = now, True
        if not record.has_worked and died_early(record):
            self.early_deaths = max(0, self.early_deaths - 1)
        if known != owner or record.ended:
            record = self._keep(replace(record, owner=owner, ended="", goodbye="", broken=False))
        return record

    def note_host(self, job: str, host: str) -> None:
        """Remember where a client runs."""
        if self.records[job].host != host:
            self._keep(replace(self.records[job], host=host))

    def note_claim(self, job: str, now: float) -> None:
        """The job was given an item."""
        self._signs[job].claimed = now
        self.early_deaths = 0
        record = self.records[job]
        if not record.has_worked:  # once: each change of a record is a line of the journal
            self._keep(replace(record, has_worked=True))

    def note_goodbye(self, job: str, reason: str, broken: bool) -> None:
        """The job's client ended in good order."""
        if job in self._signs:
            self._signs[job].left = self._signs[job].heard
        self._keep(replace(self.records[job], goodbye=reason or "goodbye", broken=broken))

    def note_cancelled(self, jobs: Iterable[str]) -> None:
        """The batch system has taken our cancel of these."""
        for job in jobs:
            if job in self._signs:
                self._signs[job].cancelled = True

    def bury(self, job: str, cause: str) -> JobRecord:
        """The job is dead."""
        self._signs.pop(job, None)
        record = self._keep(replace(self.records[job], ended=cause))
        self.early_deaths += died_early(record)
        return record

    def forget_submit(self, number: int) -> None:
        """It never reached the batch system, or only a part of it did."""
        unknown = self._unknown.get(number)
        self._settle(number, unknown.jobs if unknown else [])

    # ----------------------------------------------------------------- observing

    def observe(
        self, listing: Sequence[ListedJob], endings: Sequence[Ending], now: float, run: str,
        doubt: float = 0.0, grace: float = 0.0,
    ) -> None:  # fmt: skip
        """Take in a good listing of the queue and what accounting tells of the jobs it lacks.

        Parameters
        ----------
        listing : sequence of ListedJob
            Of all the user's jobs.
        endings : sequence of Ending
        now : float
            Monotonic seconds.
        run : str
            This run's id: jobs tagged with it are ours, known or not.
        doubt : float
            Seconds that a job must be missing before it is believed, unless it was cancelled,
            has said goodbye, or accounting tells its end.
        grace : float
            Seconds after a submit whose answer never came in which its jobs may still arrive.
        """
        seen, told = self._see(listing, now, run), {ending.id for ending in endings}
        if len(seen) < len(self._signs):
            for job, signs in self._signs.items():
                if job not in seen:
                    sure = job in told or self._is_over(self.records[job], signs)
                    signs.miss(now, 0.0 if sure else doubt)
        for ending in endings:
            if ending.id in self._signs:
                signs = self._signs[ending.id]
                signs.ending, signs.node = ending, (*ending.nodes, signs.node)[0]
        for unknown in self._unknown.values():
            # before, it may not have arrived yet: listings of then say nothing
            unknown.absences += now - unknown.sent >= grace

    @staticmethod
    def _is_over(record: JobRecord, signs: TrackedJob) -> bool:
        """Whether nothing else was to be expected: we ended it, or it said goodbye and did not requeue."""
        has_left = bool(record.goodbye) and signs.left is not None and signs.waited <= signs.left
        return signs.cancelled or has_left

    def _see(self, listing: Sequence[ListedJob], now: float, run: str) -> set[str]:
        """Take in the rows of a listing; returns which of our jobs it shows."""
        seen: set[str] = set()
        for listed in listing:
            signs = self._signs.get(listed.id) or self._find(listed, now, run)
            if signs is not None:
                signs.see(listed, now)
                seen.add(listed.id)
        return seen

    def _find(self, listed: ListedJob, now: float, run: str) -> TrackedJob | None:
        """A listed job of which no sign is kept: known from now on, if it is ours and lives."""
        if listed.state is ENDED:
            return None
        if listed.id in self.records:
            self._revive(listed.id, now)  # a listing had lied, or came late
        elif (number := submit_number(listed.comment, run)) is not None:
            self._meet(listed.id, number, now)  # of a submit whose answer never came
        return self._signs.get(listed.id)

    def _revive(self, job: str, now: float) -> None:
        """It was believed dead: what it held is given away, but it still fills the queue."""
        record = self._keep(replace(self.records[job], ended=""))
        self._signs[job] = TrackedJob(heard=now, known=now, spoke=record.owner is not None)

    def hold(self, owner: Owner, shape: int, now: float) -> None:
        """A row says that this job runs it, so the job must be watched, whatever its own row says."""
        if owner.job in self._signs:
            return
        record = self.records.get(owner.job, JobRecord(owner.job, shape=shape))
        self._keep(replace(record, owner=owner, has_worked=True, ended=""))
        self._signs[owner.job] = TrackedJob(heard=now, known=now, spoke=True)

    # ------------------------------------------------------------------- showing

    def living(self) -> Iterable[tuple[JobRecord, ListedJob | None, float]]:
        """Jobs not buried, with their row of the queue and when they were last heard."""
        for job, signs in self._signs.items():
            yield self.records[job], signs.listed, signs.heard

    def node_of(self, job: str) -> str:
        """Where a living job runs, see `signs.node_of`."""
        return node_of(self.records[job], self._signs[job])

    def worked_for(self, job: str) -> float | None:
        """Seconds from a job's last claim to its last word; None if it has not claimed."""
        signs = self._signs[job]
        return None if signs.claimed is None else signs.heard - signs.claimed

    def unknown_names(self) -> set[str]:
        """Names of jobs that may exist: of submits whose result is unknown."""
        return {self.submits[number].name for number in self._unknown}

    def unexplained(self) -> list[str]:
        """Jobs not buried whose end nobody has told: if the queue lacks one, accounting is asked."""
        return [
            job for job, signs in self._signs.items()
            if signs.ending is None and not (self.records[job].external or self.records[job].goodbye)
        ]  # fmt: skip

    def begun(self) -> frozenset[str]:
        """Jobs not buried that are known to have started, however long ago."""
        return frozenset(job for job, signs in self._signs.items() if signs.spoke or signs.node)

    @property
    def is_any_leaving(self) -> bool:
        """Whether a job that lives has said goodbye."""
        return bool(self._leaving)

    def survey(self, holders: Container[str], now: float, lease: float) -> Liveness:
        """What `reconcile` has to know of the jobs that are not buried, see `signs.survey`."""
        return survey(self.records, self._signs, holders, now, lease)

    def submit_views(self, now: float) -> list[SubmitView]:
        """What `reconcile` sees of each submit whose result is unknown."""
        return [
            SubmitView(
                number, self.submits[number].shape,
                self.submits[number].n - len(unknown.jobs), now - unknown.sent, unknown.absences,
            )
            for number, unknown in self._unknown.items()
        ]  # fmt: skip
