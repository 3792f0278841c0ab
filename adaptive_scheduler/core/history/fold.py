"""Folds changes of rows and jobs into a `RunHistory`, in the order in which they happened."""

from __future__ import annotations

import re

import msgspec

from adaptive_scheduler.core.history.records import (
    Cores,
    JobSpan,
    OpenStretch,
    RunHistory,
    Stretch,
    Tally,
)
from adaptive_scheduler.core.jobs.records import JobRecord
from adaptive_scheduler.core.rows.row import CANCELLED, DONE, FAILED, LEARNER, RUNNING, Phase
from adaptive_scheduler.core.wire.ends import UNKNOWN, How

#: Different reasons that are kept, and characters of each.
MOST_REASONS, REASON_LENGTH = 500, 200
#: Characters of a job's texts.
TEXT_LENGTH = 80
#: What a client of a version that recorded no `how` says when its job has no time left.
_DEADLINE = re.compile(r"deadline|walltime|end of its job|time limit", re.IGNORECASE)
_RECORDED = frozenset(How)
#: When a job ended of which nothing is known but that it did.
_LONG_AGO = 1.0
#: How a try of a learner ends although what it computed is kept.
KEPT = frozenset({How.DONE, How.GIVEN_BACK, How.WALLTIME, How.CANCELLED})


class RowChange(msgspec.Struct, gc=False):
    """What a history needs of a row; its names are those of `Item` and `TaskItem`."""

    id: int
    phase: Phase
    kind: str = LEARNER
    shape: int = 0
    job: str | None = None
    token: int = 0
    attempts: int = 0
    fails: int = 0
    fails_in_all: int = 0
    crashes: int = 0
    cuts: int = 0
    losses: int = 0
    reason: str = ""
    how: int = UNKNOWN
    worked: float = 0.0
    data_seconds: float = 0.0
    npoints: int = 0
    changed: float = 0.0

    @property
    def failures(self) -> int:
        """Times that it failed."""
        return self.fails_in_all if self.kind == LEARNER else self.fails


class HistoryFold:
    """Takes in changes, one after the other; those that it knows already change nothing.

    Parameters
    ----------
    history : RunHistory
        Is changed.
    """

    def __init__(self, history: RunHistory) -> None:
        self.history = history
        self._cores: Cores = history.cores
        self._jobs = {job.id: place for place, job in enumerate(history.jobs)}
        self._reasons = {_masked(text): place for place, text in enumerate(history.reasons)}
        self._clock = 0.0

    # ------------------------------------------------------------------- jobs

    def take_clock(self, time: float) -> None:
        """The changes of jobs that follow happened then."""
        self._clock = time
        self.history.clock = max(self.history.clock, time)

    def take_job(self, record: JobRecord) -> None:
        """Take in a job's record."""
        job = self.history.jobs[self._place_of(record.id)]
        now = self._clock
        job.name, job.host = record.name[:TEXT_LENGTH], record.host[:TEXT_LENGTH] or job.host
        job.shape = record.shape
        if record.external:  # nobody has asked for its cores
            job.cores = record.cores or job.cores
        else:
            job.cores = self._cores.of_jobs.get(record.shape) or record.cores or job.cores
        job.submitted = record.submitted or job.submitted or now
        job.started = record.started or job.started or (now if record.owner else 0.0)
        if record.has_worked:
            job.first_claim = job.first_claim or now
        if record.goodbye:
            job.left = job.left or now
            job.goodbye = record.goodbye[:TEXT_LENGTH]
        else:
            job.left, job.goodbye = 0.0, ""
        if bool(record.ended) != bool(job.ended):
            self._end_job(job, record.ended, now)

    def _end_job(self, job: JobSpan, cause: str, now: float) -> None:
        """It is dead; or it was believed dead, and lives."""
        sign = 1 if cause else -1
        if cause:
            job.ended, job.cause = (
                now or job.last_end or job.begin or job.submitted or _LONG_AGO,
                cause,
            )
        begin, end = job.begin, job.end(now)
        if begin:
            self.history.bins.add("held", begin, end, sign * job.cores * (end - begin))
        if not cause:
            job.ended, job.cause = 0.0, ""

    def _place_of(self, job: str) -> int:
        place = self._jobs.get(job)
        if place is None:
            place = self._jobs[job] = len(self.history.jobs)
            self.history.jobs.append(JobSpan(job))
        return place

    # ------------------------------------------------------------------- rows

    def take_row(self, row: RowChange) -> None:
        """Take in the row of a learner or a task."""
        history = self.history
        history.clock = max(history.clock, row.changed)
        running = history.running.get(row.id)
        is_same = running is not None and row.phase is RUNNING and row.token == running.token
        if running is not None and not is_same:
            del history.running[row.id]
            self._close(row, running)
        if row.phase is RUNNING and not is_same and row.job is not None:
            history.running[row.id] = self._open(row, row.job)

    def _open(self, row: RowChange, job: str) -> OpenStretch:
        place = self._place_of(job)
        span = self.history.jobs[place]
        span.first_claim = span.first_claim or row.changed
        is_learner = row.kind == LEARNER
        cores = span.cores if is_learner else self._cores.of_tasks.get(row.shape, 1)
        return OpenStretch(
            place, row.token, row.changed, cores, row.worked, row.npoints,
            row.attempts - is_learner,  # a claim counts itself
            row.failures, row.crashes, row.losses, row.cuts, row.data_seconds,
        )  # fmt: skip

    def _close(self, row: RowChange, began: OpenStretch) -> None:
        how = how_it_ended(row, began)
        if how is None:
            return
        seconds, ended = max(0.0, row.worked - began.worked), row.changed
        begin = began.began if row.kind == LEARNER else max(began.began, ended - seconds)
        begin = min(begin, ended)
        seconds = min(seconds, ended - begin)
        seconds -= min(seconds, max(0.0, row.data_seconds - began.data_seconds))
        points = max(0, row.npoints - began.points)
        reason = -1 if how is How.DONE else self._reason(row.reason)
        self.history.stretches.append(
            Stretch(row.id, began.job, begin, ended, round(seconds, 3), points, how, reason)
        )
        self._add(self.history.jobs[began.job], began.cores, self.history.stretches[-1])

    def _add(self, job: JobSpan, cores: int, one: Stretch) -> None:
        """Add a try to the sums of its job and of the run."""
        tally = job.tallies.setdefault(one.how, Tally())
        held = cores * (one.ended - one.began)
        tally.n += 1
        tally.held += held
        tally.computed += cores * one.seconds
        if one.ended >= job.last_end:
            job.last_end, job.last_how = one.ended, one.how
        bins = self.history.bins
        bins.add("used", one.began, one.ended, cores * one.seconds)
        bins.add("points", one.began, one.ended, one.points)
        bins.add("ended", one.ended, one.ended, one.how == How.DONE)

    def _reason(self, text: str) -> int:
        """Place of a reason; -1 of none, and of one that is too many."""
        key = _masked(text[:REASON_LENGTH])
        place = self._reasons.get(key, -1)
        if place < 0 and key and len(self._reasons) < MOST_REASONS:
            place = self._reasons[key] = len(self.history.reasons)
            self.history.reasons.append(text[:REASON_LENGTH])
        return place


def _masked(reason: str) -> str:
    """Reasons that differ in their numbers alone are one."""
    return re.sub(r"\d+", "#", reason)


def how_it_ended(row: RowChange, began: OpenStretch) -> How | None:
    """How a try ended, by what it left in the row; None: it was never begun.

    Parameters
    ----------
    row : RowChange
        After it.
    began : OpenStretch
    """
    if row.phase is DONE:
        return How.DONE
    if row.phase is CANCELLED:
        return How.CANCELLED
    if row.how in _RECORDED:
        return None if row.how == How.NOT_BEGUN else How(row.how)
    return _interpreted(row, began)


def _interpreted(row: RowChange, began: OpenStretch) -> How | None:
    """How a try ended that an older version ran: by what was counted, and by the words of the reason."""
    if row.crashes > began.crashes:
        return How.CRASHED
    if row.failures > began.failures:
        return How.FAILED
    if row.losses > began.losses:
        return How.LOST
    if row.cuts > began.cuts or _DEADLINE.search(row.reason):
        return How.WALLTIME
    if row.kind != LEARNER and row.attempts <= began.attempts:
        return None
    return How.FAILED if row.phase is FAILED else _given_back(row)


def _given_back(row: RowChange) -> How:
    return How.GIVEN_BACK if row.kind == LEARNER else How.WALLTIME
