"""Compare the work that is wanted with the jobs that exist, and decide what to do.

Theory of operation
===================

The manager learns about a job from two sources, and neither can be trusted alone. The *queue
listing* may fail, be late, be cut short or be empty while a controller restarts. The *client* in
the job may be silent because its network, its file system or its node hangs. After each good
listing, `reconcile` puts both together.

**Who is dead.** Declaring a live job dead gives its item to a second job while the first still
computes: work is done twice. Leaving a dead job alive only costs time. So a job is dead only when
both sources agree: a good listing lacks it (or shows it as ended), *and* its lease has run out or
its client has said goodbye. What is left are the jobs whose client never connected. They have no
lease; a report of the end, by accounting or by the listing itself, is enough for them. Without
one, two listings must lack the job, at least `grace` seconds after the manager first knew of it,
because a job just submitted is not in every listing yet. Every other state is alive: a state that
this package does not know, a suspended, completing or held job. A listing that failed is no
observation, and nothing follows from it.

A job that is pending again while it holds an item was requeued by the batch system. Its former
client is gone: when the lease has run out the item is freed, but the job stays.

A job that is listed but silent for `lease + patience` seconds is cancelled, because it takes room
and does nothing. It is not declared dead while it is listed: the cancel may have failed.

**How many jobs.** One job is wanted for each queued item, of the item's shape. Jobs that will
take an item are counted first: pending ones, and those that run without an item and are heard.
Jobs that may exist, because their submit got no answer, count too: it is searched for by its tag
before anything is sent in its place. What is missing is submitted, up to `max_jobs`;
when room is scarce, the shapes share it. Surplus jobs are cancelled only while they are pending:
those without work, and those above a limit that was lowered, the youngest first. (Jobs that run
leave by themselves then, see `RunState.is_one_too_many`.) A job that holds an item and is heard is
never cancelled.

**Deaths first.** Each death changes the counts. So deaths are returned alone; the caller carries
them out, counts again and asks again.

**When to stop.** If the first jobs, two at least, all die before they ask for work, more of them
would too: the run is held until the user has looked. When all items have ended, pending jobs are cancelled at
once, and running ones after `EXIT_GRACE` seconds, in which their clients leave by themselves.

All this is a pure function of what was observed: no clock, no command, no file.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Mapping, Sequence

import msgspec

from adaptive_scheduler.core.config import JobLimits, Timing
from adaptive_scheduler.core.jobs.batch_jobs import ALIVE, ENDED, PENDING, RUNNING
from adaptive_scheduler.core.jobs.commands import (
    Action,
    CancelJobs,
    ForgetSubmit,
    FreeItem,
    Hold,
    MarkDead,
    SubmitJobs,
)
from adaptive_scheduler.core.jobs.job_tracking import PendingSubmit, TrackedJob
from adaptive_scheduler.core.wire.ends import JobEnd

#: Causes of death that are not the fault of the job or its learner.
_NO_CRASH = frozenset({
    JobEnd.TIMEOUT, JobEnd.CANCELLED, JobEnd.NODE_FAIL, JobEnd.PREEMPTED, JobEnd.GOODBYE,
})  # fmt: skip
#: So many jobs that die before their first claim, with none that was given work, hold the run.
EARLY_DEATHS = 10
#: As many are enough where none is left, so that others must be submitted to learn more: one alone
#: may have met a bad node.
FEW_DEATHS = 2
#: After the last item has ended, clients have this many seconds to leave by themselves.
EXIT_GRACE = 4.0


class ItemCounts(msgspec.Struct, frozen=True):
    """Items by shape.

    Attributes
    ----------
    queued, running : mapping of int to int
    waiting : int
        Of any shape.
    room : mapping of int to int
        Jobs that may be submitted of shapes that have a limit of their own.
    """

    queued: Mapping[int, int]
    running: Mapping[int, int]
    waiting: int = 0
    room: Mapping[int, int] = {}

    @property
    def over(self) -> bool:
        """Whether every item has ended."""
        return not (self.waiting or any(self.queued.values()) or any(self.running.values()))


class ObservedJobs(msgspec.Struct, frozen=True):
    """All that a decision rests on, besides the items.

    Attributes
    ----------
    now : float
        Monotonic seconds.
    jobs : sequence of TrackedJob
        Live jobs, without those at work.
    holders : container of str
        Jobs that hold an item.
    submits : sequence of PendingSubmit
    at_work : int
        Jobs that hold an item and were heard within their lease, see `JobTable.to_judge`. Nothing
        is decided about them; they only take room.
    blocked : str
        Why nothing is submitted; "" if something may be.
    over_for : float
        Seconds since the last item ended.
    early_deaths, given_work : int
        As in `JobTable`.
    being_cancelled : container of str
        Jobs that get no more work.
    idle_in_vain : container of str
        Jobs that hold nothing, and will take nothing.
    """

    now: float
    jobs: Sequence[TrackedJob]
    holders: Container[str] = ()
    submits: Sequence[PendingSubmit] = ()
    at_work: int = 0
    blocked: str = ""
    over_for: float = 0.0
    early_deaths: int = 0
    given_work: int = 0
    being_cancelled: Container[str] = ()
    idle_in_vain: Container[str] = ()


def reconcile(
    counts: ItemCounts, observed: ObservedJobs, limits: JobLimits, timing: Timing
) -> list[Action]:
    """Decide what to do after a good listing of the queue.

    Returns
    -------
    list of Action
        Deaths alone, if there are any: carry them out, count again, ask again.
    """
    now = observed.now
    deaths = [
        death for job in observed.jobs
        if (death := _judge(job, job.id in observed.holders, now, timing)) is not None
    ]  # fmt: skip
    lost = [
        ForgetSubmit(s.record.number) for s in observed.submits if _never_arrived(s, now, timing)
    ]
    if deaths or lost:
        return [*deaths, *lost]
    silent = [
        CancelJobs([job.id], f"silent for {job.silence(now):.0f} s", if_silent=True)
        for job in observed.jobs
        if _is_silent_for_too_long(job, now, timing)
    ]
    if counts.over:
        return [*silent, *_cancel_all(observed)]
    if not observed.blocked and _all_died(observed):
        n = observed.early_deaths
        return [*silent, Hold(f"all of the first {n} jobs died before they asked for work")]
    return [*silent, *_balance(counts, observed, limits, timing.lease)]


# ----------------------------------------------------------------------- who is dead


def _judge(job: TrackedJob, holds: bool, now: float, timing: Timing) -> MarkDead | FreeItem | None:
    """Combine what the client and the listing show of one job."""
    lease_out = job.silence(now) > timing.lease
    goodbye = bool(job.record.goodbye)
    if job.record.external:  # no listing shows it
        if goodbye:
            return MarkDead(job.id, JobEnd.GOODBYE, crash=False)
        return MarkDead(job.id, JobEnd.UNKNOWN, crash=True) if lease_out else None
    if _is_gone(job, now, timing, lease_out):
        reported = job.ending.cause if job.ending else ""
        cause = reported or (JobEnd.GOODBYE if goodbye else JobEnd.UNKNOWN)
        return MarkDead(job.id, cause, crash=cause not in _NO_CRASH and not goodbye)
    if holds and lease_out and job.state is PENDING:
        return FreeItem(job.id, "its job was requeued")
    return None


def _is_gone(job: TrackedJob, now: float, timing: Timing, lease_out: bool) -> bool:
    """Whether both sources agree that the job is dead."""
    if not (job.absences > 0 or job.state is ENDED):
        return False
    if job.record.goodbye or job.cancelled:
        return True
    if job.was_heard:
        return lease_out
    if job.state is ENDED or (job.ending and job.ending.cause):
        return True
    return job.absences >= 2 and now - job.known_since >= timing.grace


def _never_arrived(submit: PendingSubmit, now: float, timing: Timing) -> bool:
    return submit.absences >= 2 and now - submit.since >= timing.grace


def _is_silent_for_too_long(job: TrackedJob, now: float, timing: Timing) -> bool:
    is_listed = job.state in (RUNNING, ALIVE) and not job.record.external
    return is_listed and job.silence(now) > timing.lease + timing.patience


def _all_died(observed: ObservedJobs) -> bool:
    """Whether the first jobs, at most `EARLY_DEATHS` of them, all died without work."""
    if observed.given_work:
        return False
    is_any_left = observed.jobs or observed.at_work or observed.submits
    return observed.early_deaths >= (EARLY_DEATHS if is_any_left else FEW_DEATHS)


# ---------------------------------------------------------------------- how many jobs


def _cancel_all(observed: ObservedJobs) -> list[Action]:
    """All items have ended: cancel what is pending, and later what runs."""
    useless = [
        job.id
        for job in observed.jobs
        if not job.record.external
        and job.id not in observed.holders
        and (job.may_be_pending or observed.over_for > EXIT_GRACE)
    ]
    return [CancelJobs(useless, "all work is done")] if useless else []


def _balance(
    counts: ItemCounts, observed: ObservedJobs, limits: JobLimits, lease: float
) -> list[Action]:
    """Compare the queued items of each shape with the jobs that will take them."""
    actions: list[Action] = _cancel_again(observed)
    takers = _takers(observed, lease)
    coming: Counter[int] = Counter()
    for submit in observed.submits:
        coming[submit.record.shape] += submit.missing
    needs: dict[int, int] = {}
    for shape in sorted({*counts.queued, *takers}):
        need = counts.queued.get(shape, 0) - len(takers[shape]) - coming[shape]
        if need < 0:
            pending = [job.id for job in takers[shape] if job.state is PENDING]
            surplus = pending[max(0, len(pending) + need) :]  # the youngest
            actions += [CancelJobs(surplus, "no work is left for it")] if surplus else []
        elif need > 0:
            needs[shape] = max(0, min(need, counts.room.get(shape, need)))
    useless = {job for action in actions if isinstance(action, CancelJobs) for job in action.jobs}
    actions += _cancel_above_limit(observed, takers, useless, coming, limits)
    in_queue = observed.at_work + sum(not job.record.external for job in observed.jobs)
    room = limits.max_jobs - in_queue - coming.total()
    if not observed.blocked and room > 0:
        actions += [SubmitJobs(shape, n) for shape, n in _share(needs, room).items() if n]
    return actions


def _cancel_again(observed: ObservedJobs) -> list[Action]:
    """A job that is being cancelled and still pending: the cancel may have failed."""
    pending = [
        job.id for job in observed.jobs
        if job.id in observed.being_cancelled and job.state is PENDING
        and job.id not in observed.holders
    ]  # fmt: skip
    return [CancelJobs(pending, "it is being cancelled, and still pending")] if pending else []


def _cancel_above_limit(
    observed: ObservedJobs,
    takers: Mapping[int, Sequence[TrackedJob]],
    useless: Container[str],
    coming: Counter[int],
    limits: JobLimits,
) -> list[Action]:
    """Cancel the youngest pending jobs above the limit: else those that run would leave for them, and they may wait for days."""
    if not limits.max_jobs:  # of a manager that submits nothing: what there is stays
        return []
    going = observed.being_cancelled
    staying = [
        job.id for job in observed.jobs
        if not (job.record.external or job.record.goodbye or job.id in going or job.id in useless)
    ]  # fmt: skip
    surplus = observed.at_work + len(staying) + coming.total() - limits.max_jobs
    will_take = {job.id for jobs in takers.values() for job in jobs if job.state is PENDING}
    pending = [job for job in staying if job in will_take]
    found = pending[max(0, len(pending) - surplus) :] if surplus > 0 else []
    return [CancelJobs(found, "the run may have fewer jobs by now")] if found else []


def _takers(observed: ObservedJobs, lease: float) -> defaultdict[int, list[TrackedJob]]:
    """Return, by shape, the jobs that will take an item. A silent one may hang: it does not count."""
    takers: defaultdict[int, list[TrackedJob]] = defaultdict(list)
    for job in observed.jobs:
        is_silent = job.silence(observed.now) > lease
        is_going = bool(job.record.goodbye) or job.id in observed.being_cancelled
        is_going = is_going or job.id in observed.idle_in_vain
        if not (job.id in observed.holders or is_going or is_silent):
            takers[job.record.shape].append(job)
    return takers


def _share(needs: Mapping[int, int], room: int) -> dict[int, int]:
    """Give each shape an equal part of the room, and what one does not need to the others."""
    given: dict[int, int] = {}
    for place, (shape, need) in enumerate(sorted(needs.items(), key=lambda pair: pair[1])):
        part = -(-room // (len(needs) - place))
        given[shape] = min(need, part)
        room -= given[shape]
    return given
