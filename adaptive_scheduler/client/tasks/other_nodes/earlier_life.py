"""Waits until what an earlier life of this head, or of this node's proxy, has left on the node is gone."""

from __future__ import annotations

import os
import time
from contextlib import suppress

import psutil

from adaptive_scheduler.client.tasks.node.variables import TASK_VARIABLE, WORKER_VARIABLE
from adaptive_scheduler.core import paths
from adaptive_scheduler.io.system.child_process import variable_of

#: Seconds that its agent may take to end its tasks.
PATIENCE = 15.0
#: The modules that run on each node, and the one by which other nodes are ruled.
_NODE = {f"adaptive_scheduler.client.tasks.node.{name}" for name in ("supervisor", "agent")}
_PROXY = {"adaptive_scheduler.client.tasks.other_nodes.proxy"}


def wait_for_earlier(job: str, node: str, patience: float = PATIENCE) -> None:
    """Wait until what an earlier life has left of this job on this node is gone: it has the same cores.

    Its agent ends its tasks when the one that rules it has ended. If it was killed as well, and the
    supervisor too, nobody does: then they are killed here.

    Parameters
    ----------
    job : str
    node : str
        Its name: several nodes of a job can be on one machine, in tests.
    patience : float
        Seconds.
    """
    for process in _left(job, node):
        if _modules(process) & _PROXY:
            _kill(process)
    end = time.monotonic() + patience
    while time.monotonic() < end and any(_modules(one) & _NODE for one in _left(job, node)):
        time.sleep(0.1)
    while left := [one for one in _left(job, node) if _is_agents(one)]:
        for process in left:
            _kill(process)
        psutil.wait_procs(left, 1)
        if time.monotonic() > end + patience:
            return  # one that nobody can kill, as while its disk is away


def _left(job: str, node: str) -> list[psutil.Process]:
    """Other processes of a job of this run on a node that this user may see, and that have not ended."""
    found = []
    run = os.environ.get(paths.RUN_VARIABLE)
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            # other clusters, as those of tests, may have a job of the same number
            is_its = (
                process.pid != os.getpid()
                and variable_of(process.pid, paths.JOB_VARIABLE) == job
                and variable_of(process.pid, paths.RUN_VARIABLE) == run
            )
            if not is_its or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if (variable_of(process.pid, paths.NODE_VARIABLE) or node) == node:
                found.append(process)
    return found


def _is_agents(process: psutil.Process) -> bool:
    """Whether it is a task's, or what starts tasks."""
    with suppress(psutil.Error):
        is_task = variable_of(process.pid, TASK_VARIABLE) or variable_of(
            process.pid, WORKER_VARIABLE
        )
        return bool(is_task) or not _modules(process).isdisjoint(_NODE)
    return False


def _modules(process: psutil.Process) -> set[str]:
    with suppress(psutil.Error):
        return set(process.cmdline())
    return set()


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.Error):
        process.kill()
