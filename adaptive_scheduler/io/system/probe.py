"""Tests whether a folder can be used for a run: written to, renamed in, locked."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path

from adaptive_scheduler.errors import FileError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.disk.append_file import Appender


def try_folder(folder: Path) -> None:
    """Write, replace, append to, lock and delete files in a folder.

    Raises
    ------
    FileError
        Names what could not be done.
    """
    test_file = folder / f".adaptive_scheduler-{socket.gethostname()}-{secrets.token_hex(4)}"
    lock = test_file.with_name(test_file.name + ".lock")
    with files.naming(folder):
        try:
            files.write_atomically(test_file, b"1")
            files.write_atomically(test_file, b"2")
            appender = Appender(test_file)
            appender.append(b"3")
            appender.sync()
            appender.close()
            if test_file.read_bytes() != b"23":
                raise FileError(
                    folder,
                    "what is read is not what was written. Choose a folder on another file system.",
                )
            _try_lock(lock)
        finally:
            test_file.unlink(missing_ok=True)
            lock.unlink(missing_ok=True)


def _try_lock(path: Path) -> None:
    """Test that only one of two processes can create a file: managers lock their run so."""
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    os.close(os.open(path, flags, 0o600))
    try:
        os.close(os.open(path, flags, 0o600))
    except FileExistsError:
        return
    raise FileError(path.parent, "two processes can take the same lock (O_EXCL has no effect).")
