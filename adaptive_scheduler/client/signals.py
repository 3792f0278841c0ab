"""Signals of the batch system, and whatever else must be noticed while a learner runs."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable
from types import FrameType

import psutil

from adaptive_scheduler.core.paths import JOB_VARIABLE
from adaptive_scheduler.executors import signals
from adaptive_scheduler.executors.worker_process import RankParent

#: Say: end. The others say: look at the clock.
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
WARNING = (signal.SIGUSR1, signal.SIGUSR2)

#: Seconds between two looks around.
_LOOK = 1.0


class SignalThread:
    """A thread that hands on signals and looks around each second.

    A signal handler may run in the middle of anything, so it only puts the
    signal into a queue (`queue.SimpleQueue.put` is made for that).

    Parameters
    ----------
    on_signal : callable
        Called in the thread with the number of the signal.
    look : callable
        Called in the thread each second.
    """

    def __init__(self, on_signal: Callable[[int], None], look: Callable[[], None]) -> None:
        self._on_signal = on_signal
        self._look = look
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._watch, name="lookout", daemon=True)

    def start(self) -> None:
        """Take the signals over; only from the main thread."""
        signals.take((*ENDING, *WARNING), self._handle)
        self._thread.start()

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._signals.put(number)

    def _watch(self) -> None:
        while True:
            try:
                self._on_signal(self._signals.get(timeout=_LOOK))
            except queue.Empty:
                self._look()


class ParentWatch:
    """The processes that this one's life hangs on: up to the job script.

    Where a batch system ends a job without telling its processes, they go on
    for ever and write to a learner that another job has by then.

    Parameters
    ----------
    job : str
        Of the job; processes of the same job have it in their environment.
    """

    def __init__(self, job: str) -> None:
        self._launcher = RankParent()
        self._script = _script(job)

    def are_gone(self) -> bool:
        """Whether the launcher or the job script has ended."""
        if self._launcher.is_gone():
            return True
        return self._script is not None and not self._script.is_running()


def _script(job: str) -> psutil.Process | None:
    """The uppermost ancestor of the same job; None if none can be seen."""
    found = None
    for process in psutil.Process().parents():
        try:
            if process.environ().get(JOB_VARIABLE) != job:
                break
        except psutil.Error:
            break
        found = process
    return found
