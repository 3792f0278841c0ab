"""Turns the walltime of the job into a deadline: the moment at which it must begin its last save.

`walltime_left` asks the batch system how long the job may still run, `Deadline` keeps some of that
free for the last save (`margin`), and `RunningItem.check` stops the item at `Deadline.stop_at`.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable

from adaptive_scheduler.client.job_environment import JobEnvironment
from adaptive_scheduler.core.jobs.batch_jobs import JobId
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import FileError, SchedulerError
from adaptive_scheduler.io.pickling.callables_file import read_callable
from adaptive_scheduler.io.system import commands
from adaptive_scheduler.schedulers.base import Scheduler

#: Seconds that the batch system may take to answer.
_TIMEOUT = 10.0

Ask = Callable[[], float | None]


def margin(total: float, saving: float) -> float:
    """Seconds to keep free at the end of `total`: for the last save, its report, and the exit.

    Parameters
    ----------
    total : float
        Seconds of the whole walltime.
    saving : float
        Seconds that the last item took from its deadline to the end of its save.
    """
    return min(max(5.0, total / 20), total / 5) + min(saving, total / 2)


def worthwhile(total: float) -> float:
    """Seconds that must be left before the deadline for another item to be begun."""
    return min(max(5.0, total / 10), total / 5)


class Deadline:
    """When the job must stop computing, so that it has saved before its walltime is over.

    Parameters
    ----------
    walltime_left : callable
        Seconds until the batch system ends the job; None is no limit.
    clock : callable
        Monotonic seconds.
    """

    def __init__(self, walltime_left: Ask, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = walltime_left
        self._clock = clock
        self._total = 0.0
        self._end = math.inf
        self._saving = 0.0
        self.update()

    def update(self) -> None:
        """Ask again how long the job may run."""
        before = self._clock()
        left = self._ask()
        if left is None:
            self._end = math.inf
            return
        self._end = before + left
        self._total = max(self._total, left)

    def note_saving(self, seconds: float) -> None:
        """Note how long an item took from its deadline to the end of its save."""
        self._saving = max(self._saving, seconds)

    @property
    def stop_at(self) -> float | None:
        """The deadline: when to stop computing, on the clock; None for never."""
        if math.isinf(self._end):
            return None
        return self._end - margin(self._total, self._saving)

    @property
    def has_come(self) -> bool:
        """Whether it is time to stop."""
        return self.stop_at is not None and self._clock() >= self.stop_at

    @property
    def spare(self) -> float:
        """Seconds until the batch system ends the job."""
        return max(0.0, self._end - self._clock())

    @property
    def is_near(self) -> bool:
        """Whether so little time is left that no other item is worth beginning."""
        return self.stop_at is not None and self._clock() + worthwhile(self._total) >= self.stop_at


def walltime_left(job: JobEnvironment, folder: RunFolder) -> float | None:
    """Seconds until the batch system ends the job; None is no limit.

    Ask the batch system; if it does not answer, compute from the walltime that the job asked for.
    """
    if not job.is_batch:
        return None
    scheduler = _scheduler(folder)
    argv = scheduler.time_left_command(JobId(job.owner.job)) if scheduler is not None else None
    if scheduler is not None and argv is not None:
        try:
            answer: float | None = scheduler.parse_time_left(
                commands.run(argv, _TIMEOUT, env=os.environ)
            )
        except SchedulerError:  # not installed on the node, busy, or silent: the clock knows too
            return _by_own_clock(job)
        if answer is not None:
            return answer
    return _by_own_clock(job)


def _by_own_clock(job: JobEnvironment) -> float | None:
    if job.walltime is None or job.started is None:
        return None
    return max(0.0, job.started + job.walltime - time.time())


def _scheduler(folder: RunFolder) -> Scheduler | None:
    try:
        scheduler = read_callable(folder.callables, "scheduler")
    except FileError:
        return None
    return scheduler if isinstance(scheduler, Scheduler) else None
