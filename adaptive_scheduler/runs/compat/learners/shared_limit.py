"""Keeps several runs within one limit of jobs, from a thread of this process."""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass
from typing import Any

from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.runs.compat.learners.shares import Share, next_limits
from adaptive_scheduler.runs.manager_client import ManagerClient

#: Seconds between two rounds.
PAUSE = 1.0


@dataclass
class SharingRun:
    """A run that shares a limit.

    Attributes
    ----------
    run : RunManager
    own : int
        Its own ``max_jobs``.
    after : RunManager, optional
        The run whose end it waits for.
    granted : int
        Its limit by now; 0: it was not started.
    has : int
        Jobs that it had when its manager answered last.
    is_closed : bool
        Whether it has ended, and its manager too; or could not be started.
    """

    run: Any
    own: int
    after: Any = None
    granted: int = 0
    has: int = 0
    is_closed: bool = False

    def observe(self) -> Share:
        """Ask it how it stands."""
        if self.is_closed:
            return Share(0)
        if not self.granted and self.run.awaits_start:
            may_start = self.after is None or _has_ended(self.after)
            return Share(min(self.own, len(self.run)) if may_start else 0)
        try:
            return self._ask()
        except (AdaptiveSchedulerError, OSError):  # it does not answer now, or its disk is away
            return Share(max(1, self.granted), self.granted, self.has)

    def _ask(self) -> Share:
        if self.granted and not self.run.folder.config.exists():  # it has ended, and was removed
            self.is_closed = True
            return Share(0)
        with ManagerClient(self.run.folder) as client:
            self.granted = self.granted or read_config(self.run.folder).limits.max_jobs
            lives = client.lives()
            now = client.snapshot("none")
            if now.over and not lives:
                self.is_closed = True
                return Share(0)
            if lives:
                self.has = client.limit_jobs(self.granted)
        wanted = now.phases.get("queued", 0) + now.phases.get("running", 0)
        wants = 0 if now.over else max(1, min(self.own, self.has if now.is_held else wanted))
        return Share(wants, self.granted, self.has)

    def grant(self, n: int) -> None:
        """Set its limit, or start it with that."""
        if not self.granted:
            self.run.start_with(n)
            self.granted = n  # it has begun, whether or not its manager answers now
        with ManagerClient(self.run.folder) as client:
            client.limit_jobs(n)
        self.granted = n


def _has_ended(run: Any) -> bool:
    return run.task is not None and bool(run.task.done())


class SharedLimit:
    """Several runs with one limit of jobs together.

    Parameters
    ----------
    limit : int
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._runs: list[SharingRun] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, run: Any, after: Any = None) -> None:
        """Let a run take part, and start it when there is room; one whose manager has died is started again."""
        with self._lock:
            known = [one for one in self._runs if one.run is run and not one.is_closed]
            if not known:
                self._runs.append(SharingRun(run, run.max_jobs, after))
            elif run.awaits_start:
                known[0].granted = known[0].has = 0

    def begin(self) -> None:
        """Do the first round now, so that its errors are raised here; the others in a thread."""
        self.step()
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._go_on, daemon=True)
                self._thread.start()

    def forget(self, run: Any) -> None:
        """Do not start a run any more; one that was started counts until its jobs have gone."""
        with self._lock:
            for one in self._runs:
                one.is_closed = one.is_closed or (one.run is run and not one.granted)

    def step(self) -> None:
        """Ask all runs, and set their limits; a run that cannot be started is left out, and raises at the end."""
        with self._lock:
            now = [one.observe() for one in self._runs]
            limits = next_limits(self.limit, now)
            faults = [self._grant(*pair) for pair in zip(self._runs, limits, strict=True)]
        for fault in faults:
            if fault is not None:
                raise fault

    def _grant(self, one: SharingRun, n: int) -> AdaptiveSchedulerError | OSError | None:
        if n == one.granted or one.is_closed:
            return None
        try:
            one.grant(n)
        except (AdaptiveSchedulerError, OSError) as error:
            one.is_closed = not one.granted
            return error if one.is_closed else None  # a limit is set again in the next round
        return None

    def _go_on(self) -> None:
        stopped = threading.Event()
        while True:
            stopped.wait(PAUSE)
            try:
                self.step()
            except (AdaptiveSchedulerError, OSError) as error:
                warnings.warn(f"MultiRunManager: a run was not started: {error}", stacklevel=1)
            with self._lock:
                if all(one.is_closed for one in self._runs):
                    self._runs.clear()
                    self._thread = None
                    return
