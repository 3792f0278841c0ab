"""Compare what is wanted with what the batch system shows, and say what to do."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Mapping, Sequence

import msgspec

from adaptive_scheduler.core.config import JobLimits, Timing
from adaptive_scheduler.core.jobs.batch_jobs import ALIVE, ENDED, PENDING, RUNNING, JobState

#: Ends that are not the learner's fault.
_INNOCENT = frozenset({"timeout", "cancelled", "node_fail", "preempted", "goodbye"})
#: So many jobs that die before their first claim, and none that lived, hold the run.
EARLY_DEATHS = 10
#: After the last item has ended, clients have this many seconds to leave by themselves.
EXIT_GRACE = 4.0


class JobView(msgspec.Struct, frozen=True, gc=False):
    """What is known of one job that is not buried.

    Attributes
    ----------
    id : str
    shape, submit : int
        Its resources, and the submit that made it.
    holds : bool
        It runs an item.
    spoke, goodbye : bool
        A client of it was heard; and said that it ends.
    silent : float
        Seconds since it was last heard, or since the listing first showed it
        running; 0 for a job that has not started.
    age : float
        Seconds since its submit.
    listed : JobState, optional
        In the last good listing; None: that listing lacks it.
    absences : int
        Good listings in a row that lack it.
    ending : str
        How it ended, by the batch system's accounting; "" if unknown.
    external : bool
        A script that somebody started by hand: no listing shows it.
    cancelled : bool
        The batch system has taken our cancel of it.
    """

    id: str
    shape: int
    submit: int
    holds: bool = False
    spoke: bool = False
    goodbye: bool = False
    silent: float = 0.0
    age: float = 0.0
    listed: JobState | None = None
    absences: int = 0
    ending: str = ""
    external: bool = False
    cancelled: bool = False


class SubmitView(msgspec.Struct, frozen=True):
    """A submit whose result is not known: it timed out, or the manager died over it."""

    number: int
    shape: int
    n: int
    age: float
    absences: int


class Counts(msgspec.Struct, frozen=True):
    """Items by shape; the Book's numbers, never its rows."""

    queued: Mapping[int, int]
    running: Mapping[int, int]
    waiting: int = 0

    @property
    def over(self) -> bool:
        """Whether every item has ended."""
        return not (self.waiting or any(self.queued.values()) or any(self.running.values()))


class Observed(msgspec.Struct, frozen=True):
    """Everything that the decision rests on.

    Attributes
    ----------
    jobs, submits
        What is known of each.
    at_work : int
        Jobs besides these that hold an item and were heard within their lease: nothing is
        decided about them, they only take room.
    held : str
        Why nothing is submitted; "" if it is.
    over_for : float
        Seconds since the last item ended.
    early_deaths, lived : int
        Jobs in a row that died before they asked for work; jobs that were given any.
    leaving : container of str
        Jobs that are being cancelled: they get no more work.
    """

    jobs: Sequence[JobView]
    submits: Sequence[SubmitView] = ()
    at_work: int = 0
    held: str = ""
    over_for: float = 0.0
    early_deaths: int = 0
    lived: int = 0
    leaving: Container[str] = ()


# ------------------------------------------------------------------------ actions


class SubmitJobs(msgspec.Struct, frozen=True):
    """n more jobs of a shape are useful."""

    shape: int
    n: int


class CancelJobs(msgspec.Struct, frozen=True):
    """These are of no use any more, or silent for too long."""

    jobs: list[str]
    reason: str


class BuryJob(msgspec.Struct, frozen=True):
    """It is dead; what it held goes back. `crash`: as far as known by its own fault."""

    job: str
    cause: str
    crash: bool


class FreeItem(msgspec.Struct, frozen=True):
    """It lives on in the queue, but the client that held an item does not."""

    job: str
    reason: str


class ForgetSubmit(msgspec.Struct, frozen=True):
    """It never reached the batch system."""

    number: int


class Hold(msgspec.Struct, frozen=True):
    """Submit nothing more until a person has looked."""

    reason: str


Action = SubmitJobs | CancelJobs | BuryJob | FreeItem | ForgetSubmit | Hold


# ----------------------------------------------------------------------- decisions


def reconcile(
    counts: Counts, observed: Observed, limits: JobLimits, timing: Timing
) -> list[Action]:
    """Decide what to do after a good look at the queue.

    Parameters
    ----------
    counts : Counts
        Of items.
    observed : Observed
        Of jobs.
    limits : JobLimits
    timing : Timing

    Returns
    -------
    list of Action
        Deaths alone, if there are any: carry them out, count anew, ask again.
        No job that holds an item and is heard is ever cancelled.
    """
    deaths = [verdict for job in observed.jobs if (verdict := _judge(job, timing)) is not None]
    lost = [ForgetSubmit(s.number) for s in observed.submits if _never_arrived(s, timing)]
    if deaths or lost:
        return [*deaths, *lost]  # the counts change by these: look at them again first
    silent = [_end_silent(job) for job in observed.jobs if _is_silent_for_too_long(job, timing)]
    if counts.over:
        return [*silent, *_farewell(observed.jobs, observed.over_for)]
    if not observed.held and _all_died(observed):
        n = observed.early_deaths
        return [*silent, Hold(f"all of the first {n} jobs died before they asked for work")]
    return [*silent, *_balance(counts.queued, observed, limits, timing)]


def _judge(job: JobView, timing: Timing) -> BuryJob | FreeItem | None:
    """What one job's silence and the listing say together."""
    lease_out = job.silent > timing.lease
    if job.external:
        dead = job.goodbye or lease_out
        return (
            BuryJob(job.id, "goodbye" if job.goodbye else "unknown", not job.goodbye)
            if dead
            else None
        )
    if _is_gone(job, timing, lease_out):
        cause = job.ending or ("goodbye" if job.goodbye else "unknown")
        return BuryJob(job.id, cause, cause not in _INNOCENT and not job.goodbye)
    if job.listed is PENDING and job.holds and lease_out:
        return FreeItem(job.id, "its job was requeued")  # it waits again: its client is no more
    return None


def _is_silent_for_too_long(job: JobView, timing: Timing) -> bool:
    """Listed as alive, but nobody has heard of it: such a one is no death until it has left."""
    alive = job.listed in (RUNNING, ALIVE)
    return alive and not job.external and job.silent > timing.lease + timing.patience


def _end_silent(job: JobView) -> CancelJobs:
    return CancelJobs([job.id], f"silent for {job.silent:.0f} s")


def _is_gone(job: JobView, timing: Timing, lease_out: bool) -> bool:
    """Dead only when two sources agree."""
    not_listed = job.absences > 0 or job.listed is ENDED
    if not not_listed:
        return False
    if job.goodbye or job.cancelled:
        return True  # it said so, or we did
    if job.spoke:
        return lease_out
    if job.ending or job.listed is ENDED:
        return True
    return job.absences >= 2 and job.age >= timing.grace


def _all_died(observed: Observed) -> bool:
    """The first jobs, at most ten of them, and not one has lived."""
    if observed.lived or not observed.early_deaths:
        return False
    is_any_left = observed.jobs or observed.at_work or observed.submits
    return observed.early_deaths >= EARLY_DEATHS or not is_any_left


def _never_arrived(submit: SubmitView, timing: Timing) -> bool:
    return submit.absences >= 2 and submit.age >= timing.grace


def _farewell(living: Sequence[JobView], over_for: float) -> list[Action]:
    """All is done: what waits goes at once, what runs may leave by itself first."""
    useless = [
        job.id
        for job in living
        if not job.external and not job.holds and (_is_waiting(job) or over_for > EXIT_GRACE)
    ]
    return [CancelJobs(useless, "all work is done")] if useless else []


def _is_waiting(job: JobView) -> bool:
    """It has not started, as far as anybody knows; one just submitted is not listed yet."""
    return not job.spoke and job.listed in (PENDING, None)


def _balance(
    queued: Mapping[int, int], observed: Observed, limits: JobLimits, timing: Timing
) -> list[Action]:
    """Compare the free items of each shape with the jobs that will take them."""
    left = [
        job.id for job in observed.jobs
        if job.id in observed.leaving and job.listed is PENDING and not job.holds
    ]  # fmt: skip
    actions: list[Action] = [CancelJobs(left, "it is to leave, and waits still")] if left else []
    needs: dict[int, int] = {}
    takers: defaultdict[int, list[JobView]] = defaultdict(list)
    for job in observed.jobs:
        mute = job.silent > timing.lease  # e.g. its MPI hangs: nobody should wait for it
        if not (job.holds or job.goodbye or mute or job.id in observed.leaving):
            takers[job.shape].append(job)
    coming: Counter[int] = Counter()
    for submit in observed.submits:
        coming[submit.shape] += submit.n
    for shape in sorted({*queued, *takers}):
        need = queued.get(shape, 0) - len(takers[shape]) - coming[shape]
        if need < 0:
            waiting = [job.id for job in takers[shape] if job.listed is PENDING]
            surplus = waiting[max(0, len(waiting) + need) :]
            actions += [CancelJobs(surplus, "no work is left for it")] if surplus else []
        elif need > 0:
            needs[shape] = need
    in_queue = observed.at_work + sum(not job.external for job in observed.jobs)
    in_queue += sum(submit.n for submit in observed.submits)
    room = limits.max_jobs - in_queue
    if not observed.held and room > 0:
        actions += [SubmitJobs(shape, n) for shape, n in _share(needs, room).items() if n]
    return actions


def _share(needs: Mapping[int, int], room: int) -> dict[int, int]:
    """Give each shape an equal part of the room, and what one does not need to the others."""
    given: dict[int, int] = {}
    for place, (shape, need) in enumerate(sorted(needs.items(), key=lambda pair: pair[1])):
        part = -(-room // (len(needs) - place))
        given[shape] = min(need, part)
        room -= given[shape]
    return given
