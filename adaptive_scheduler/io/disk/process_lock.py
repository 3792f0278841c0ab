"""A lock that ends with its process: for what one process does at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from adaptive_scheduler.errors import RunError
from adaptive_scheduler.io.disk import files

#: What file systems without locks say: there, a second process is not noticed.
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)

#: Seconds after which a lock is one of a process that works, and not of one that looks.
_LOOK = 1.0


@contextmanager
def locked(path: Path, what: str, remedy: str) -> Iterator[None]:
    """Hold a lock, which ends with this process.

    Parameters
    ----------
    path : Path
        Its file; folders that are missing are made.
    what, remedy : str
        For the error: what is done already, and what to do about that.

    Raises
    ------
    RunError
        Another process has it.
    """
    with files.naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o664)
    try:
        if not _is_taken_soon(fd):
            raise RunError(f"{path.parent}: {what} already ({_who(fd)}). {remedy}")
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Wait until no other process of this host, nor another thread, is within it for the same folder.

    Where the file system has no locks it does not wait. Raises FileError where there is no such folder.
    """
    with files.naming(folder):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def holder(path: Path) -> str:
    """Return which process has a lock; "" if none has, or there is no such lock."""
    try:
        with files.naming(path):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        return "" if _is_taken(fd, fcntl.LOCK_SH) else _who(fd)
    finally:
        os.close(fd)


def _is_taken(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


def _is_taken_soon(fd: int) -> bool:
    """Who only looks whether somebody has the lock (`holder`) has it for a moment."""
    end = time.monotonic() + _LOOK
    while not (taken := _is_taken(fd, fcntl.LOCK_EX)) and time.monotonic() < end:
        time.sleep(0.02)
    return taken


def _who(fd: int) -> str:
    return os.pread(fd, 200, 0).decode(errors="replace").strip() or "another process"
