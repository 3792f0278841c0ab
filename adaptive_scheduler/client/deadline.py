"""When a job must have saved, by this process's own clock."""

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
    """Seconds to keep free at the end of `total`: for the last save, its news, and the exit."""
    return min(max(5.0, total / 20), total / 5) + min(saving, total / 2)


def worthwhile(total: float) -> float:
    """The least seconds for which another learner is begun."""
    return min(max(5.0, total / 10), total / 5)


class Deadline:
    """The end of the job's walltime.

    Parameters
    ----------
    seconds_left : callable
        Asks the batch system; None is no limit.
    clock : callable
        Monotonic seconds.
    """

    def __init__(self, seconds_left: Ask, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = seconds_left
        self._clock = clock
        self._total = 0.0
        self._end = math.inf
        self.saving = 0.0
        self.look()

    def look(self) -> None:
        """Ask again."""
        before = self._clock()
        left = self._ask()
        if left is None:
            self._end = math.inf
            return
        self._end = before + left
        self._total = max(self._total, left)

    @property
    def stop(self) -> float | None:
        """When to stop evaluating, on the clock; None for never."""
        if math.isinf(self._end):
            return None
        return self._end - margin(self._total, self.saving)

    @property
    def has_come(self) -> bool:
        """Whether it is time to stop."""
        return self.stop is not None and self._clock() >= self.stop

    @property
    def spare(self) -> float:
        """Seconds until the batch system ends the job."""
        return max(0.0, self._end - self._clock())

    @property
    def is_near(self) -> bool:
        """Whether no other learner is worth beginning."""
        return self.stop is not None and self._clock() + worthwhile(self._total) >= self.stop


def seconds_left(job: JobEnvironment, folder: RunFolder) -> float | None:
    """Ask the batch system, else compute from the walltime that was asked for; None is no limit."""
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
            return _by_clock(job)
        if answer is not None:
            return answer
    return _by_clock(job)


def _by_clock(job: JobEnvironment) -> float | None:
    if job.walltime is None or job.started is None:
        return None
    return max(0.0, job.started + job.walltime - time.time())


def _scheduler(folder: RunFolder) -> Scheduler | None:
    try:
        scheduler = read_callable(folder.callables, "scheduler")
    except FileError:
        return None
    return scheduler if isinstance(scheduler, Scheduler) else None
