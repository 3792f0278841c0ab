"""Starts the server if none is running."""

from __future__ import annotations

import os
import sys

from adaptive_scheduler.core.clean_environment import clean_environment
from adaptive_scheduler.localbatch.folder import Folder, try_lock, wake_server

_LOG_BYTES = 1_000_000


def ensure_server(folder: Folder) -> None:
    """Wake the server, or start one, which outlives this process.

    The lock is taken here and inherited by the new server, so there are never two, and other
    commands wait for none that does not start.
    """
    lock = try_lock(folder.server_lock)
    if lock is None:
        wake_server(folder)
        return
    try:
        _start(folder, lock)
    finally:
        os.close(lock)


def _start(folder: Folder, lock: int) -> None:
    import subprocess  # takes 7 ms, which most commands need not spend

    log = os.open(folder.server_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        if os.fstat(log).st_size > _LOG_BYTES:
            os.ftruncate(log, 0)
        subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "adaptive_scheduler.localbatch", "serve"),
                *("--lock-fd", str(lock), "--state", folder.path),
            ],
            pass_fds=(lock,),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=clean_environment(os.environ),  # else it would count as part of this job
            start_new_session=True,
        )
    finally:
        os.close(log)
