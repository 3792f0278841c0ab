"""CPU and memory of the job's own processes on this node."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import psutil

from adaptive_scheduler.core.paths import JOB_VARIABLE

#: Seconds between two measurements, and between two searches for the job's processes:
#: reading 100 processes takes 10 ms.
_INTERVAL = 10.0
_SEARCH = 60.0


@dataclass(frozen=True)
class Usage:
    """Percent of one core, and MiB, of all the job's processes on this node."""

    cpu: float = 0.0
    memory: float = 0.0


class Meter:
    """Measures now and then; cheap to ask at any time.

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
