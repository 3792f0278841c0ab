"""Finds and kills what tasks have left behind; as orphans they are children of their agent."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

from adaptive_scheduler.client.tasks.node.variables import TASK_VARIABLE, WORKER_VARIABLE
from adaptive_scheduler.io.system import child_process

#: Seconds by which the kernel's time of a process's start is less exact than ours.
_BLUR = 0.05
#: The cores of this machine.
_ALL = frozenset(range(os.cpu_count() or 1))


def end_orphans(own: Collection[int], is_in_use: Callable[[int], bool]) -> bool:
    """Kill the orphans that no task uses any more, and reap; returns whether some take a while to end.

    What these leave behind in turn are orphans when they have ended: then look again.

    Parameters
    ----------
    own : collection of int
        Children that are none.
    is_in_use : callable
        Whether the task of an orphan still runs.
    """
    is_any_left = False
    for pid in child_process.children().difference(own):
        if child_process.reap(pid) or is_in_use(pid):
            continue
        child_process.kill(pid)
        is_any_left |= not child_process.reap(pid)
    return is_any_left


def end_marked(marks: Mapping[str, str]) -> bool:
    """Kill what else was started on this machine with these variables; returns whether there was any.

    Ranks are no descendants of the agent that has them started, wherever a batch system starts them.
    """
    is_any = False
    for name in os.listdir("/proc"):  # noqa: PTH208  called often
        if not name.isdecimal() or int(name) == os.getpid():
            continue
        if child_process.has_variables(int(name), marks):
            child_process.kill(int(name))
            is_any = True
    return is_any


def has_company(leader: int) -> bool:
    """Whether a process that has ended has left others of its group behind."""
    for pid in child_process.children() - {leader}:
        with suppress(ProcessLookupError):
            if os.getpgid(pid) == leader and not child_process.reap(pid):
                return True
    return False


class Origin:
    """Of which task a process is.

    Parameters
    ----------
    pid : int
    """

    def __init__(self, pid: int) -> None:
        task = child_process.variable_of(pid, TASK_VARIABLE) or ""
        self._task = int(task) if task.isdecimal() else 0
        self._worker = child_process.variable_of(pid, WORKER_VARIABLE)
        self._cores: set[int] = set()
        with suppress(ProcessLookupError):
            self._cores = os.sched_getaffinity(pid)
        uptime = time.clock_gettime(time.CLOCK_BOOTTIME)
        self._begin = time.monotonic() - (uptime - child_process.begin_of(pid))

    def may_be(self, token: int, since: float, worker: str | None, cores: Collection[int]) -> bool:
        """Whether it may be of a task that runs.

        One that has hidden its origin, by another environment, may be of each task on the same cores
        that is older than itself.

        Parameters
        ----------
        token : int
        since : float
            When the task began (monotonic seconds).
        worker : str or None
            The name of the worker that evaluates it; None: it is a command.
        cores : collection of int
            Those that the task has; numbers that no core has bind nothing.
        """
        if self._task or self._worker:
            if self._task != token and (worker is None or worker != self._worker):
                return False
        elif self._cores.difference(cores) and not _ALL.isdisjoint(cores):
            return False
        return self._begin >= since - _BLUR
