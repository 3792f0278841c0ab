"""All jobs and submits of a run, with what is known of each."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

import msgspec

from adaptive_scheduler.core.jobs.batch_jobs import ENDED, ListedJob
from adaptive_scheduler.core.jobs.commands import QueueListing
from adaptive_scheduler.core.jobs.job_tracking import PendingSubmit, TrackedJob
from adaptive_scheduler.core.jobs.records import (
    JobRecord,
    SubmitRecord,
    count_early_deaths,
    submit_number,
)
from adaptive_scheduler.core.wire.messages import Owner, Refused

replace = msgspec.structs.replace


class JobTable:
    """Jobs and submits. Every change of a record goes through `_store` or `_store_submit`.

    Parameters
    ----------
    records, submits : iterable
        From the database.
    now : float
        The manager's monotonic clock: leases begin anew.
    ignored_deaths : int
        Early deaths before the user last resumed the run.

    Attributes
    ----------
    records : dict of str to JobRecord
        All jobs, dead ones too.
    live : dict of str to TrackedJob
        Those not marked dead.
    submits : dict of int to SubmitRecord
    pending_submits : dict of int to PendingSubmit
        Those of which nobody knows whether they reached the batch system.
    changed_jobs, changed_submits : dict
        Records to be written to the database; whoever writes them clears these.
    leaving : set of str
        Live jobs whose client has said goodbye.
    early_deaths : int
        Jobs in a row that died before they asked for work.
    given_work : int
        Jobs that were ever given an item.
    """

    def __init__(
        self,
        records: Iterable[JobRecord],
        submits: Iterable[SubmitRecord],
        now: float,
        ignored_deaths: int = 0,
    ) -> None:
        self.records = {record.id: record for record in records}
        self.submits = {submit.number: submit for submit in submits}
        self.changed_jobs: dict[str, JobRecord] = {}
        self.changed_submits: dict[int, SubmitRecord] = {}
        self.live = {r.id: TrackedJob.start(r, now) for r in self.records.values() if not r.ended}
        self.pending_submits = {
            n: PendingSubmit(submit, now)
            for n, submit in self.submits.items()
            if submit.jobs is None
        }
        for record in self.records.values():
            if record.submit in self.pending_submits:
                self.pending_submits[record.submit].jobs.append(record.id)
        self.leaving = {job.id for job in self.live.values() if job.record.goodbye}
        self.given_work = sum(record.has_worked for record in self.records.values())
        self.ignored_deaths = ignored_deaths
        n = count_early_deaths(self.records.values())
        self.early_deaths = 0 if self.given_work else max(0, n - ignored_deaths)

    def reset_early_deaths(self) -> None:
        """Count early deaths from now on: the user has mended their cause."""
        self.ignored_deaths, self.early_deaths = count_early_deaths(self.records.values()), 0

    # ------------------------------------------------------------------- records

    def _store(self, record: JobRecord) -> JobRecord:
        before = self.records.get(record.id)
        self.given_work += record.has_worked - (before is not None and before.has_worked)
        self.records[record.id] = self.changed_jobs[record.id] = record
        job = self.live.get(record.id)
        if job is not None:
            job.record = record
        if job is not None and record.goodbye:
            self.leaving.add(record.id)
        else:
            self.leaving.discard(record.id)
        return record

    def _store_submit(self, submit: SubmitRecord) -> None:
        self.submits[submit.number] = self.changed_submits[submit.number] = submit

    def _track(self, record: JobRecord, now: float) -> TrackedJob:
        """Take a job among the live ones."""
        job = self.live[record.id] = TrackedJob.start(record, now)
        self._store(record)
        return job

    # ------------------------------------------------------------------- submits

    def begin_submit(self, shape: int, n: int, name: str, wall: float, now: float) -> SubmitRecord:
        """Record a submit before it is sent: the next manager has to know of it."""
        number = max(self.submits, default=0) + 1
        submit = SubmitRecord(number, shape, n, name, wall)
        self._store_submit(submit)
        self.pending_submits[number] = PendingSubmit(submit, now)
        return submit

    def end_submit(self, number: int, jobs: Sequence[str], now: float) -> None:
        """Record which jobs a submit made; none if it was refused."""
        self._settle(number, jobs)
        for job in jobs:
            if job not in self.records:
                self._add(job, number, now)

    def doubt_submit(self, number: int, now: float) -> None:
        """Look for the jobs of a submit from now on: it got no answer, and may still arrive."""
        pending = self.pending_submits.get(number)
        if pending is not None:
            pending.since, pending.absences = now, 0

    def forget_submit(self, number: int) -> None:
        """Give up the jobs of a submit that have not shown up."""
        pending = self.pending_submits.get(number)
        self._settle(number, pending.jobs if pending else [])

    def _settle(self, number: int, jobs: Sequence[str]) -> None:
        self.pending_submits.pop(number, None)
        self._store_submit(replace(self.submits[number], jobs=list(jobs)))

    def _add(self, job: str, number: int, now: float) -> TrackedJob:
        """Add a job: its submit was answered, a listing shows it, or its client connects first."""
        submit = self.submits.get(number)
        if submit is None:
            return self._track(JobRecord(job, number), now)
        pending = self.pending_submits.get(number)
        if pending is not None:
            pending.jobs.append(job)
            if pending.missing <= 0:
                self._settle(number, pending.jobs)
        record = JobRecord(job, number, submit.shape, submit.name, submitted=submit.sent)
        return self._track(record, now)

    @property
    def in_queue(self) -> int:
        """How many jobs the run has, or has asked for; without those that were started by hand."""
        coming = sum(submit.missing for submit in self.pending_submits.values())
        return coming + sum(not job.record.external for job in self.live.values())

    def names_in_use(self) -> set[str]:
        """Names of live jobs, and of those that may exist because their submit is pending."""
        pending = {submit.record.name for submit in self.pending_submits.values()}
        return pending | {job.record.name for job in self.live.values()}

    # ------------------------------------------------------------------- clients

    def on_heartbeat(self, owner: Owner, submit: int, now: float) -> JobRecord | Refused:
        """Renew a job's lease at each request of its client; refuse other clients of the job.

        Parameters
        ----------
        owner : Owner
        submit : int
            Number of the submit that made the job, as its script says.
        now : float
            Monotonic seconds.
        """
        job = self.live.get(owner.job)
        if job is None:
            dead = self.records.get(owner.job)
            job = TrackedJob.start(dead, now) if dead else self._add(owner.job, submit, now)
        record = job.record
        if record.owner != owner and (refusal := job.refuse_other(owner)) is not None:
            return refusal
        self.live[owner.job] = job  # a job believed dead: only a client that is accepted revives it
        job.on_heartbeat(now)
        if record.owner != owner or record.ended:
            self.early_deaths = max(0, self.early_deaths - record.died_early)
            record = self._store(replace(record, owner=owner, ended="", goodbye="", broken=False))
        return record

    def on_hello(self, job: str, host: str, started: float = 0.0, cores: int = 0) -> None:
        """Record where a client runs, when its job began (in seconds since 1970), and its cores."""
        before = self.records[job]
        after = replace(before, host=host, started=before.started or started, cores=cores)
        if after != before:
            self._store(after)

    def on_claim(self, job: str, now: float) -> None:
        """Record that the job was given an item."""
        tracked = self.live[job]
        tracked.claimed_at = now
        self.early_deaths = 0
        if not tracked.record.has_worked:  # once: each change is a line of the journal
            self._store(replace(tracked.record, has_worked=True))

    def on_goodbye(self, job: str, reason: str, broken: bool) -> None:
        """Record that the job's client ended in good order."""
        if job in self.live:
            self.live[job].left_at = self.live[job].last_heard
        self._store(replace(self.records[job], goodbye=reason or "goodbye", broken=broken))

    def watch(self, owner: Owner, shape: int, now: float) -> None:
        """Track the job that an item names as its owner, whatever the job's own record says."""
        if owner.job not in self.live:
            record = self.records.get(owner.job, JobRecord(owner.job, shape=shape))
            self._track(replace(record, owner=owner, has_worked=True, ended=""), now)

    # ------------------------------------------------------------------- the queue

    def on_listing(self, listing: QueueListing, now: float, run: str, grace: float = 0.0) -> None:
        """Take in a good listing, with what accounting reports of the jobs it lacks.

        Parameters
        ----------
        listing : QueueListing
            Of all the user's jobs. Its `doubt` does not count for a job that was cancelled or whose
            end accounting reports, and hardly for one that has said goodbye.
        now : float
            Monotonic seconds.
        run : str
            This run's id: jobs tagged with it are ours, known or not.
        grace : float
            Seconds after a submit without an answer in which its jobs may still arrive.
        """
        listed = self._take_rows(listing.jobs, now, run)
        if len(listed) < len(self.live):
            ended = {ending.id for ending in listing.endings}
            for name, job in self.live.items():
                if name not in listed:
                    job.on_missing(now, 0.0 if name in ended else job.doubt(listing.doubt))
        for ending in listing.endings:
            if ending.id in self.live:
                self.live[ending.id].on_ending(ending)
        for pending in self.pending_submits.values():
            # before that its jobs may not have arrived yet: their absence says nothing
            pending.absences += now - pending.since >= grace

    def _take_rows(self, rows: Sequence[ListedJob], now: float, run: str) -> set[str]:
        """Take in the rows of a listing; returns which of our jobs it shows."""
        shown: set[str] = set()
        for row in rows:
            job = self.live.get(row.id) or self._find(row, now, run)
            if job is not None:
                job.on_listed(row, now)
                shown.add(row.id)
        return shown

    def _find(self, row: ListedJob, now: float, run: str) -> TrackedJob | None:
        """Track a listed job that is not among the live ones, if it is ours and has not ended."""
        if row.state is ENDED:
            return None
        if row.id in self.records:  # a listing was wrong, or late
            # what it held was given to others, but it still takes room in the queue
            return self._track(replace(self.records[row.id], ended=""), now)
        number = submit_number(row.comment, run)  # of a submit without an answer
        return self._add(row.id, number, now) if number is not None else None

    def on_cancelled(self, jobs: Iterable[str]) -> None:
        """Record that the batch system has accepted our cancel of these jobs."""
        for job in jobs:
            if job in self.live:
                self.live[job].cancelled = True

    def mark_dead(self, job: str, cause: str) -> None:
        """Record that the job is dead."""
        self.live.pop(job, None)
        record = self._store(replace(self.records[job], ended=cause))
        self.early_deaths += record.died_early

    # ------------------------------------------------------------------- overviews

    def last_reached(self, wall: float, now: float) -> float:
        """When a client last reached a manager, as far as is known; seconds since 1970, or 0 for never.

        Parameters
        ----------
        wall, now : float
            This instant: seconds since 1970, and the manager's monotonic clock.
        """
        met = (record.started for record in self.records.values() if record.owner is not None)
        heard = (
            wall - (now - job.last_heard) for job in self.live.values()
            if job.was_heard and job.last_heard > job.known_since
        )  # fmt: skip
        return max(max(met, default=0.0), max(heard, default=0.0))

    def unexplained(self) -> list[str]:
        """Live jobs whose end, should the queue lack them, accounting is to be asked for."""
        return [
            name for name, job in self.live.items()
            if job.ending is None and not (job.record.external or job.record.goodbye)
        ]  # fmt: skip

    def started(self) -> frozenset[str]:
        """Live jobs that are known to have started."""
        return frozenset(name for name, job in self.live.items() if job.has_started)

    def to_judge(
        self, holders: Container[str], now: float, lease: float
    ) -> tuple[list[TrackedJob], set[str]]:
        """Separate the jobs about which something may have to be decided from those at work.

        A job at work holds an item and was heard within its lease: nearly all are, in a large run,
        so they are passed over as fast as can be.

        Parameters
        ----------
        holders : container of str
            Jobs that hold an item.
        now, lease : float
            Monotonic seconds; the seconds for which a client may be silent.

        Returns
        -------
        jobs : list of TrackedJob
            Those not at work.
        nodes : set of str
            Where jobs run that have been given work.
        """
        jobs, nodes = [], set()
        for name, job in self.live.items():
            record = job.record
            if record.has_worked:
                nodes.add(job.node or record.host)  # `job.node_name`, ten thousand times
            if not (
                name in holders and job.was_heard and now - job.last_heard <= lease
                and not (record.goodbye or record.external)
            ):  # fmt: skip
                jobs.append(job)
        nodes.discard("")
        return jobs, nodes
