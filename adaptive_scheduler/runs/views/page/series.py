"""What a view itself has seen of a run over time: cores and rate, for its charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adaptive_scheduler.core.history.records import RunHistory
from adaptive_scheduler.core.history.series import series
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import TASK
from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.runs.views.page.messages import SeriesData
from adaptive_scheduler.runs.views.page.model import has_started

#: Samples that are kept; when there are more, every second one is dropped.
MOST = 240
#: Seconds between two samples at first.
FIRST_STEP = 2.0
#: One sample: time, cores held by jobs, those of them that compute, rate.
Sample = tuple[float, float | None, float | None, float | None]


class SeenSeries:
    """Samples of a run, at most `MOST`.

    Parameters
    ----------
    past : sequence of Sample
        What is known of the time before it was looked at.
    """

    def __init__(self, past: Sequence[Sample] = ()) -> None:
        self._samples = list(past)
        self._step = FIRST_STEP
        while len(self._samples) > MOST or self._span > MOST * self._step:
            self._thin()

    @property
    def _span(self) -> float:
        return self._samples[-1][0] - self._samples[0][0] if self._samples else 0.0

    def _thin(self) -> None:
        if len(self._samples) > MOST:
            self._samples = self._samples[::2]
        self._step *= 2

    def note(self, sample: Sample) -> bool:
        """Keep a sample, unless the last one is too young; returns whether it was kept."""
        if self._samples and sample[0] < self._samples[-1][0] + self._step:
            return False
        self._samples.append(sample)
        if len(self._samples) > MOST:
            self._thin()
        return True

    def data(self) -> SeriesData:
        """All samples, as columns."""
        columns = [list(column) for column in zip(*self._samples, strict=True)] or [[], [], [], []]
        return SeriesData(*columns)


def sample(snapshot: Snapshot, shapes: Sequence[Resources]) -> Sample:
    """Return what a snapshot adds.

    Of tasks, those cores compute that a task occupies; of learners, those that evaluate a point, as
    their clients told last: not while a learner is loaded, is saved, or thinks which points are next.

    Parameters
    ----------
    snapshot : Snapshot
        Made by a manager, with its active items.
    shapes : sequence of Resources
        Of the run's jobs; those of learners are taken to be as the first.
    """
    if snapshot.kind == TASK:
        held = float(sum(job.cores for job in snapshot.jobs))
        used = float(sum(job.used for job in snapshot.jobs))
        return snapshot.time, held, used, round(snapshot.ended_per_second, 4)
    cores = shapes[0].cores if shapes else 1
    started = [job for job in snapshot.jobs if has_started(job)]
    busy = {view.job: view.busy for view in snapshot.items if view.job}
    computing = cores * sum(busy.get(job.id, 0.0) for job in started)
    return (
        snapshot.time, float(cores * len(started)), round(computing, 2),
        round(snapshot.points_per_second, 4),
    )  # fmt: skip


def past(history: RunHistory, now: float, npoints: Mapping[int, int]) -> list[Sample]:
    """Return what the manager has kept of the time before; of learners the points, of tasks the ends.

    Parameters
    ----------
    history : RunHistory
    now : float
    npoints : mapping of int to int
        Points of learners that run.
    """
    found = series(history, now, MOST, npoints)
    rates = found.ended if history.kind == TASK else found.points
    return list(zip(found.time, found.cores_held, found.cores_used, rates, strict=True))
