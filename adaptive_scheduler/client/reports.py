"""Reports on an item: what its job uses, how old the last report is, and why it failed."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import msgspec
import psutil

from adaptive_scheduler.core.paths import JOB_VARIABLE
from adaptive_scheduler.core.wire.messages import Fail, Report
from adaptive_scheduler.errors import AdaptiveSchedulerError, UserCodeError

#: Seconds between two measurements, and between two searches for the job's processes:
#: reading 100 processes takes 10 ms.
_INTERVAL = 10.0
_SEARCH = 60.0
#: Seconds after which a report that the item itself has not renewed is made older by `StaleReport`.
OLD = 5.0


@dataclass(frozen=True)
class Usage:
    """Percent of one core, and MiB, of all the job's processes on this node."""

    cpu: float = 0.0
    memory: float = 0.0


class UsageMeter:
    """Measures CPU and memory now and then; cheap to ask at any time.

    Processes with this one's job in their environment count, and its children.
    """

    def __init__(self) -> None:
        self._job = os.environ.get(JOB_VARIABLE)
        self._processes: dict[int, psutil.Process] = {}
        self._searched = self._measured = float("-inf")
        self._usage = Usage()

    def usage(self) -> Usage:
        """As last measured, at most ten seconds ago."""
        now = time.monotonic()
        if now > self._searched + _SEARCH:
            self._searched = now
            self._search()
        if now > self._measured + _INTERVAL:
            self._measured = now
            self._usage = self._measure()
        return self._usage

    def _search(self) -> None:
        found = {process.pid: process for process in [psutil.Process(), *_children()]}
        for process in psutil.process_iter() if self._job else ():
            try:
                if process.environ().get(JOB_VARIABLE) == self._job:
                    found[process.pid] = process
            except (psutil.Error, OSError):  # another user's, or gone
                continue
        # those that are known already know their last CPU time
        self._processes = {pid: self._processes.get(pid, p) for pid, p in found.items()}

    def _measure(self) -> Usage:
        cpu = memory = 0.0
        for pid, process in list(self._processes.items()):
            try:
                with process.oneshot():
                    cpu += process.cpu_percent(None)
                    memory += process.memory_info().rss
            except (psutil.Error, OSError):
                del self._processes[pid]
        return Usage(cpu, memory / 2**20)


def _children() -> list[psutil.Process]:
    try:
        return psutil.Process().children(recursive=True)
    except (psutil.Error, OSError):
        return []


class StaleReport:
    """The last report of an item, which grows older while the item does not report.

    A coroutine of the user's that blocks also stops the event loop that reports. Another thread
    asks here, so that people see for how long nothing has come back.
    """

    def __init__(self) -> None:
        self._last: tuple[Report, float] | None = None

    def note(self, report: Report) -> None:
        """Remember what the item reports."""
        self._last = report, time.monotonic()

    def forget(self) -> None:
        """No item runs."""
        self._last = None

    def aged(self) -> Report | None:
        """The report with the time since then; None while the item reports by itself."""
        if self._last is None:
            return None
        report, noted = self._last
        age = time.monotonic() - noted
        if age < OLD:
            return None
        return msgspec.structs.replace(
            report, idle_since=report.idle_since + age, seconds=report.seconds + age
        )


def failure(
    token: int, error: AdaptiveSchedulerError, report: Report, *, crash: bool = False
) -> Fail:
    """The request that reports an error; with the traceback of the user's code."""
    text = error.traceback_text if isinstance(error, UserCodeError) else ""
    return Fail(token, str(error), text, report, crash)
