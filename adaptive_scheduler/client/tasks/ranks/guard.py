"""Outlives a rank that is killed: ends its task on this node, and says so.

Hydra waits for all that holds the output of a rank, so that the program of a killed `rank_start` would run on,
and the other ranks would wait for it. Slurm ends the step by itself.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Mapping

from adaptive_scheduler.client.tasks.node.orphans import end_marked

#: Seconds for a launcher that has killed the rank: it ends then, and what is left is killed, this too.
PAUSE = 1.0
#: Seconds between two looks at what is being killed.
_TICK = 0.02


def leave_guard(marks: Mapping[str, str], tell: Callable[[], None]) -> None:
    """Start a process that waits for the end of this one, and is to be killed before it in good order.

    By a fork: what it needs is loaded.

    Parameters
    ----------
    marks : mapping of str to str
        Variables by which all processes of the task are known.
    tell : callable
        Called before all processes of the task are killed.
    """
    rank = os.pidfd_open(os.getpid())
    os.set_inheritable(rank, True)
    if os.fork():
        os.close(rank)
        return
    try:
        os.setsid()
        os.closerange(0, rank)
        os.closerange(rank + 1, os.sysconf("SC_OPEN_MAX"))
        select.select([rank], [], [])
        time.sleep(PAUSE)
        try:
            tell()
        finally:
            while end_marked(marks):
                time.sleep(_TICK)
    finally:
        os._exit(0)
