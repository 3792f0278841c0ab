"""Signals of the batch system, and what must be checked each second while an item runs."""

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

#: Signals that end the client; at the others it asks how much of its walltime is left.
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
WARNING = (signal.SIGUSR1, signal.SIGUSR2)

#: Seconds between two checks.
_CHECK_INTERVAL = 1.0


class SignalThread:
    """A thread in which signals are handled, and which makes a check each second.

    A signal handler may run in the middle of anything, so it only puts the
    signal into a queue (`queue.SimpleQueue.put` is made for that).

    Parameters
    ----------
    on_signal : callable
        Called in the thread with the number of the signal.
    check : callable
        Called in the thread each second.
    """

    def __init__(self, on_signal: Callable[[int], None], check: Callable[[], None]) -> None:
        self._on_signal = on_signal
        self._check = check
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._watch, name="signals", daemon=True)

    def start(self) -> None:
        """Install the signal handlers; only from the main thread."""
        signals.take((*ENDING, *WARNING), self._handle)
        self._thread.start()

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._signals.put(number)

    def _watch(self) -> None:
        while True:
            try:
                self._on_signal(self._signals.get(timeout=_CHECK_INTERVAL))
            except queue.Empty:
                self._check()


class ParentWatch:
    """Watches the ancestors of this process in its job: the MPI launcher and the job script.

    Where a batch system ends a job without a signal to all of its processes, they would go on
    for ever, and write to an item that another job has by then.

    Parameters
    ----------
    job : str
        Id of the job; its processes have it in their environment.
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
