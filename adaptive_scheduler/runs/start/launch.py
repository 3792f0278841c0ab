"""Starts a manager, and waits until it answers."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.messages import Status
from adaptive_scheduler.errors import ManagerUnreachableError, RunError, SchedulerError
from adaptive_scheduler.io.system.processes import start_manager
from adaptive_scheduler.io.system.read_logs import tail
from adaptive_scheduler.io.transport.addresses import read_address
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.runs.start.plan import CheckedRun

#: Seconds that a manager may take to answer: on a busy file system Python starts slowly.
PATIENCE = 120.0


def start_and_wait(
    folder: RunFolder,
    viewer: ManagerClient,
    patience: float = PATIENCE,
    *,
    has_driver: bool = False,
) -> None:
    """Start a manager in its own process, and wait until it answers or has finished.

    Parameters
    ----------
    folder : RunFolder
    viewer : ManagerClient
    patience : float
        Seconds.
    has_driver : bool
        This process submits tasks: the manager waits for them.

    Raises
    ------
    RunError
        It failed (the error has what it printed), or does not answer.
    """
    process = start_manager(folder, has_driver=has_driver)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if process.poll() is not None:
            _check_exit(process, folder, viewer)
            return
        if _answers(process, folder, viewer):
            return
        time.sleep(0.05)
    raise RunError(
        f"The manager (process {process.pid}) does not answer after {patience:.0f} s. "
        f"See {folder.manager_log}, then try resume()."
    )


def _answers(process: subprocess.Popen[bytes], folder: RunFolder, viewer: ManagerClient) -> bool:
    try:
        if read_address(folder).pid != process.pid:  # of the previous manager
            return False
        viewer.ask(Status("none"))
    except ManagerUnreachableError:
        return False
    return True


def _check_exit(process: subprocess.Popen[bytes], folder: RunFolder, viewer: ManagerClient) -> None:
    """Raise RunError unless it had nothing to do, or another manager was started before it."""
    if process.returncode == 0 or viewer.lives():
        return
    raise RunError(
        f"The manager could not start (exit status {process.returncode}): "
        f"{tail(folder.manager_output) or f'see {folder.manager_log}'}"
    )


def try_cluster(plan: CheckedRun, folder: RunFolder) -> None:
    """Check the cluster with one small job.

    Raises
    ------
    SchedulerError
        Something does not work; the error names each problem and its remedy.
    """
    from adaptive_scheduler.runs.check import ClusterCheck, check  # seldom, and large

    first = plan.fnames[0] if isinstance(plan.fnames[0], str) else plan.fnames[0][0]
    trial = ClusterCheck(
        plan.scheduler, plan.shapes[0], folder.home, Path(first).parent, report=print
    )
    bad = [finding for finding in check(trial) if not finding.ok]
    if bad:
        lines = [f"{finding.what}: {finding.found} {finding.remedy}" for finding in bad]
        raise SchedulerError("The check failed, nothing was started.\n" + "\n".join(lines))
