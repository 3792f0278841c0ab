"""What became of the core-seconds that jobs held."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from adaptive_scheduler.core.history.fold import KEPT
from adaptive_scheduler.core.history.records import CoreUse, JobSpan, RunHistory, Tally
from adaptive_scheduler.core.jobs.records import is_external
from adaptive_scheduler.core.rows.row import LEARNER
from adaptive_scheduler.core.wire.ends import How

#: Parts of what was held, in the order in which they are shown.
PARTS = ("computing", "starting", "saving", "crashes", "walltime", "idle")


def core_use(history: RunHistory, now: float) -> CoreUse:
    """Return the sums over all jobs of a run, of those that live until `now`."""
    total = msgspec.structs.replace(history.past.use)
    open_tries: dict[int, float] = {}
    for one in history.running.values():
        held = one.cores * max(0.0, now - one.began)
        open_tries[one.job] = open_tries.get(one.job, 0.0) + held
    for place, job in enumerate(history.jobs):
        add_use(total, use_of_job(job, now, history.kind, open_tries.get(place, 0.0)))
    return total


def use_of_job(job: JobSpan, now: float, kind: str, under_way: float = 0.0) -> CoreUse:
    """Return the sums of one job.

    Parameters
    ----------
    job : JobSpan
    now : float
        Until when it has run, if it lives.
    kind : str
        Of its items.
    under_way : float
        Core-seconds of tries that go on.
    """
    if not job.begin:
        return CoreUse()
    held = job.cores * (job.end(now) - job.begin)
    parts = _parts(job.tallies, kind)
    parts.computing += under_way
    first = job.first_claim or job.end(now)
    parts.starting = job.cores * max(0.0, first - job.begin)
    if job.last_how == How.WALLTIME and not under_way:
        parts.walltime += job.cores * max(0.0, job.end(now) - job.last_end)
    return _fit(parts, held)


def _parts(tallies: dict[int, Tally], kind: str) -> CoreUse:
    use = CoreUse()
    for how, tally in tallies.items():
        rest = tally.held - tally.computed
        if how == How.DONE or (kind == LEARNER and how in KEPT):
            use.computing += tally.computed
            use.saving += rest
        elif how == How.WALLTIME:
            use.walltime += tally.held
        elif kind == LEARNER:  # its points are in its journal
            use.computing += tally.computed
            use.crashes += rest
        elif how == How.CANCELLED:
            use.computing += tally.held
        else:
            use.crashes += tally.held
    return use


def _fit(use: CoreUse, held: float) -> CoreUse:
    """Make the parts add up to what was held: what is left is idle.

    They may be more by a little where clocks were set, and where a try is told after its job's end.
    """
    busy = use.computing + use.starting + use.saving + use.crashes + use.walltime
    factor = held / busy if busy > held else 1.0
    return CoreUse(
        held=held,
        computing=use.computing * factor,
        starting=use.starting * factor,
        saving=use.saving * factor,
        crashes=use.crashes * factor,
        walltime=use.walltime * factor,
        idle=max(0.0, held - busy),
    )


def add_use(to: CoreUse, use: CoreUse) -> None:
    """Add the sums of one job to others."""
    for name in ("held", *PARTS):
        setattr(to, name, getattr(to, name) + getattr(use, name))


def wait_of(job: JobSpan) -> float | None:
    """Seconds that a job waited in the queue; None if it still does, or was in none, or who knows."""
    if not (job.submitted and job.started) or is_external(job.id):
        return None
    return max(0.0, job.started - job.submitted)


def waits(jobs: Iterable[JobSpan]) -> list[float]:
    """Return how long jobs waited in the queue, those of which that is known, sorted."""
    return sorted(wait for job in jobs if (wait := wait_of(job)) is not None)
