"""What a view itself has seen of a run over time: cores and rate, for its charts."""

from __future__ import annotations

from collections.abc import Sequence

from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import TASK, Phase
from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.runs.views.page.messages import SeriesData

#: Samples that are kept; when there are more, every second one is dropped.
MOST = 240
#: Seconds between two samples at first.
FIRST_STEP = 2.0
#: One sample: time, cores held, cores in use, rate.
Sample = tuple[float, float | None, float | None, float | None]


class SeenSeries:
    """Samples of a run, at most `MOST`, over all the time that it was looked at."""

    def __init__(self) -> None:
        self._samples: list[Sample] = []
        self._step = FIRST_STEP

    def note(self, sample: Sample) -> bool:
        """Keep a sample, unless the last one is too young; returns whether it was kept."""
        if self._samples and sample[0] < self._samples[-1][0] + self._step:
            return False
        self._samples.append(sample)
        if len(self._samples) > MOST:
            self._samples = self._samples[::2]
            self._step *= 2
        return True

    def data(self) -> SeriesData:
        """All samples, as columns."""
        columns = [list(column) for column in zip(*self._samples, strict=True)] or [[], [], [], []]
        return SeriesData(*columns)


def sample(snapshot: Snapshot, shapes: Sequence[Resources]) -> Sample:
    """Return what a snapshot adds.

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
    started = sum(not job.waiting for job in snapshot.jobs)
    held = float(started * (shapes[0].cores if shapes else 1))
    used = sum(item.cpu for item in snapshot.items if item.phase is Phase.RUNNING) / 100
    return snapshot.time, held, round(used, 2), round(snapshot.points_per_second, 4)
