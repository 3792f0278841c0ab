"""Asks the batch system for its hosts, where the size of a request depends on them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from adaptive_scheduler.core.jobs.batch_jobs import CommandResult, Host
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.errors import SchedulerError
from adaptive_scheduler.schedulers.base import Scheduler

#: Seconds for which an answer is used (clusters change by the day), and seconds until the next
#: attempt after a failed one, during which the previous answer is used.
KEPT, AGAIN = 600.0, 60.0


class Hosts:
    """The hosts of the cluster, asked for at most every `KEPT` seconds.

    Parameters
    ----------
    scheduler : Scheduler
        Knows whether to ask, and the command.
    run : callable
        Runs a command.
    """

    def __init__(self, scheduler: Scheduler, run: Callable[[Sequence[str]], CommandResult]) -> None:
        self._scheduler = scheduler
        self._run = run
        self._known: tuple[Host, ...] = ()
        self._until = float("-inf")

    def of(self, resources: Resources) -> tuple[Host, ...]:
        """Hosts that may run jobs of this shape; empty if they are not needed or not known."""
        argv = self._scheduler.hosts_command(resources)
        if argv is None:
            return ()
        if time.monotonic() > self._until:
            pause = self._ask(argv)  # may take a minute
            self._until = time.monotonic() + pause
        return self._known

    def _ask(self, argv: Sequence[str]) -> float:
        try:
            self._known = tuple(self._scheduler.parse_hosts(self._run(argv)))
        except SchedulerError:  # no such program, or no answer: go on without
            return AGAIN
        return KEPT
