"""Observes the folder of a run: its keys, its lock, the managers that serve it."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import psutil

from adaptive_scheduler.core.doctor.observations import FileSeen, LockSeen
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.io.disk.lock import holder, is_alive


def see_private_files(folder: RunFolder) -> list[FileSeen]:
    """Look at owner and mode of a run's folder, of its keys, and of what is loaded as code."""
    keys = [folder.keys / "server.key", folder.keys / "client.key"]
    if not any(key.exists() for key in keys):
        keys = []  # no manager has begun, or they lie in the user's own folder
    others = (folder.keys, folder.config, folder.callables, folder.learners)
    return [_see(path) for path in (folder.folder, *keys, *(one for one in others if one.exists()))]


def _see(path: Path) -> FileSeen:
    try:
        found = path.stat()
    except FileNotFoundError:
        return FileSeen(str(path), -1, None)
    mode = stat.S_IMODE(found.st_mode)
    return FileSeen(str(path), found.st_uid, mode, stat.S_ISDIR(found.st_mode))


def see_lock(folder: RunFolder, *, over: bool) -> LockSeen:
    """Look who holds the lock of a run; may take half a minute if that is another host.

    Parameters
    ----------
    folder : RunFolder
    over : bool
        Nothing is left to be done.
    """
    found = holder(folder.lock)
    alive = found is not None and is_alive(folder.lock, found)
    who = (found.host, found.pid) if found is not None else None
    return LockSeen(who, alive, socket.gethostname(), managers_here(folder), over)


def managers_here(folder: RunFolder) -> list[int]:
    """Processes of this host that are managers of this run, whoever holds its lock.

    What a manager starts has the manager's command line for a moment, until it has its own; no manager is a child of
    another one.
    """
    name = os.fspath(folder.folder)
    found: dict[int, int] = {}
    for process in psutil.process_iter(["cmdline", "status", "ppid"]):
        words = process.info["cmdline"] or []
        is_dead = process.info["status"] == psutil.STATUS_ZOMBIE
        if not is_dead and "adaptive_scheduler.manager" in words and name in words:
            found[process.pid] = process.info["ppid"]
    return [pid for pid, parent in found.items() if parent not in found]
