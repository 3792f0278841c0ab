"""Tries whether a folder can be used: written, locked, renamed in."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path

from adaptive_scheduler.errors import FileError
from adaptive_scheduler.io.storage import files
from adaptive_scheduler.io.storage.append_file import Appender


def try_folder(folder: Path) -> None:
    """Write, replace, append to, lock and delete files in a folder.

    Raises
    ------
    FileError
        Names what could not be done.
    """
    trial = folder / f".adaptive_scheduler-{socket.gethostname()}-{secrets.token_hex(4)}"
    lock = trial.with_name(trial.name + ".lock")
    with files.naming(folder):
        try:
            files.write_atomically(trial, b"1")
            files.write_atomically(trial, b"2")
            appender = Appender(trial)
            appender.append(b"3")
            appender.sync()
            appender.close()
            if trial.read_bytes() != b"23":
                raise FileError(folder, "what was written is not what is read.")
            _try_lock(lock)
        finally:
            trial.unlink(missing_ok=True)
            lock.unlink(missing_ok=True)


def _try_lock(path: Path) -> None:
    """Only one of two may make a file: that is how one manager a run is told."""
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    os.close(os.open(path, flags, 0o600))
    try:
        os.close(os.open(path, flags, 0o600))
    except FileExistsError:
        return
    raise FileError(path.parent, "two processes can take the same lock (O_EXCL has no effect).")
