"""Tries whether a folder can be used for a run: written to, renamed in, locked."""

from __future__ import annotations

import errno
import os
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from adaptive_scheduler.core.doctor.observations import FolderSeen
from adaptive_scheduler.errors import FileError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.disk.append_file import Appender

#: Bytes of the file that is written: what a disk that is nearly full has no room for.
_SIZE = 64 * 2**10


def try_new_folder(folder: Path) -> FolderSeen:
    """Make a folder, if it is not there, and do the same as `try_folder`."""
    error = _error_of(lambda path: path.mkdir(parents=True, exist_ok=True), folder)
    if error is not None:
        return FolderSeen(
            str(folder), socket.gethostname(), "write", error.errno or 0,
            error.strerror or str(error), *_room(folder.parent),
        )  # fmt: skip
    return try_folder(folder)


def try_folder(folder: Path) -> FolderSeen:
    """Write, replace, append to, lock and delete files in a folder, and measure its room."""
    host = socket.gethostname()
    name = f".adaptive_scheduler-{host}-{secrets.token_hex(4)}"
    free, free_files = _room(folder)
    for step, attempt in (("write", _try_writing), ("lock", _try_locks)):
        error = _error_of(attempt, folder / name)
        if error is not None:
            free, free_files = _room(folder)
            step = "read" if error.errno == errno.EILSEQ else step
            words = error.strerror or str(error)
            return FolderSeen(str(folder), host, step, error.errno or 0, words, free, free_files)
    return FolderSeen(str(folder), host, free=free, free_files=free_files)


def _error_of(attempt: Callable[[Path], None], path: Path) -> OSError | None:
    try:
        attempt(path)
    except FileError as error:
        cause = error.__cause__
        return cause if isinstance(cause, OSError) else OSError(errno.EIO, error.reason)
    except OSError as error:
        return error
    return None


def _room(folder: Path) -> tuple[int | None, int | None]:
    """Bytes and files that this user may still make; None where the file system does not say."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None, None
    return found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None


def _try_writing(test_file: Path) -> None:
    one, two, three = b"1" * _SIZE, b"2" * _SIZE, b"3"
    try:
        files.write_atomically(test_file, one)
        files.write_atomically(test_file, two)
        appender = Appender(test_file)
        try:
            appender.append(three)
            appender.sync()
        finally:
            appender.close()
        with files.naming(test_file):
            found = files.read(test_file)
    finally:
        with suppress(OSError):
            files.operations.unlink(test_file)
    if found != two + three:
        raise OSError(errno.EILSEQ, "what is read is not what was written")


def _try_locks(path: Path) -> None:
    """Test that only one of two processes can take a lock: managers lock their run by such links."""
    lock = path.with_name(path.name + ".lock")
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    try:
        files.operations.close(files.operations.open(path, flags, 0o600))
        with suppress(FileExistsError):
            files.operations.close(files.operations.open(path, flags, 0o600))
            raise OSError(
                errno.ENOLCK, "two processes can make the same file (O_EXCL has no effect)"
            )
        files.operations.link(path, lock)
        with suppress(FileExistsError):
            files.operations.link(path, lock)
            raise OSError(errno.ENOLCK, "two processes can make the same link")
    finally:
        for one in (path, lock):
            with suppress(OSError):
                files.operations.unlink(one)
