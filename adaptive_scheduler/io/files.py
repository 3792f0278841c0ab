"""The only place where files are written so that they survive.

Every call to the operating system goes through `operations`, so that a test
can let any one of them fail, or be the last.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from adaptive_scheduler.errors import FileError, PermissionsError

Name = str | os.PathLike[str]

#: Bytes that the last part of a path may have on Linux (NAME_MAX).
MAX_NAME = 255


class Operations:
    """What this module asks of the operating system."""

    def open(self, path: Name, flags: int, mode: int = 0o666) -> int:
        """open(2)."""
        return os.open(path, flags | os.O_CLOEXEC, mode)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """write(2)."""
        return os.write(fd, data)

    def fsync(self, fd: int) -> None:
        """fsync(2)."""
        os.fsync(fd)

    def truncate(self, fd: int, size: int) -> None:
        """ftruncate(2)."""
        os.ftruncate(fd, size)

    def close(self, fd: int) -> None:
        """close(2)."""
        os.close(fd)

    def rename(self, source: Name, target: Name) -> None:
        """rename(2): replaces the target."""
        os.replace(source, target)  # noqa: PTH105  one layer, one style

    def unlink(self, path: Name) -> None:
        """unlink(2)."""
        os.unlink(path)  # noqa: PTH108  one layer, one style


#: Replaced by tests; everything below looks it up at each call.
operations = Operations()

_serial = itertools.count()


@contextmanager
def naming(path: Name, kind: type[FileError] = FileError) -> Iterator[None]:
    """Turn any OSError inside into a `kind` that names the file."""
    try:
        yield
    except OSError as error:
        raise kind(path, f"{error.strerror or error} ({type(error).__name__})") from error


def is_full(error: BaseException) -> bool:
    """Whether the reason is a full disk or quota, which others can mend: waiting makes sense."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)


def is_stale(error: BaseException) -> bool:
    """Whether the reason is that another host deleted an open file on NFS."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno == errno.ESTALE


def short_hash(path: Name) -> str:
    """16 letters that stand for the last part of a path, which may use all 255 bytes."""
    name = Path(path).name
    return hashlib.blake2b(os.fsencode(name), digest_size=8).hexdigest()


def temporary_name(path: Name, tag: str | None = None) -> Path:
    """A short name beside `path`, for writing before the rename."""
    tag = tag or f"{os.getpid()}-{next(_serial)}"
    return Path(path).parent / f".{short_hash(path)}.{tag}.tmp"


def write_atomically(
    path: Name, data: bytes, mode: int | None = None, kind: type[FileError] = FileError
) -> None:
    """Replace a file as a whole: who reads it sees the old one or the new one, also after a crash.

    Parameters
    ----------
    path : path-like
        The file; its folder must exist.
    data : bytes
        What it will hold.
    mode : int, optional
        Its permissions, whatever the umask; None follows the umask.
    kind : type
        The error to raise.

    Raises
    ------
    FileError
        With the name of the file. The file is then the old one or the new one.
    """
    temporary = temporary_name(path)
    with naming(path, kind):
        try:
            write_durably(temporary, data, mode)
            publish(temporary, path)
        except BaseException:
            with suppress(OSError):
                operations.unlink(temporary)
            raise


def write_durably(path: Name, data: bytes, mode: int | None = None) -> None:
    """Write a new file and fsync it. Raises OSError."""
    fd = operations.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode or 0o666)
    try:
        if mode is not None:
            os.fchmod(fd, mode)
        write_all(fd, data)
        operations.fsync(fd)
    finally:
        operations.close(fd)


def write_all(fd: int, data: bytes) -> None:
    """Write all of it; write(2) may take a part. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[operations.write(fd, view) :]


def publish(temporary: Name, path: Name) -> None:
    """Rename a file that is already on disk, and bring the rename to disk. Raises OSError."""
    operations.rename(temporary, path)
    sync_folder(Path(path).parent)


def sync_file(path: Name) -> None:
    """Fsync a file that somebody else wrote. Raises OSError."""
    fd = operations.open(path, os.O_RDONLY)
    try:
        operations.fsync(fd)
    finally:
        operations.close(fd)


def sync_folder(folder: Name) -> None:
    """Bring renames in a folder to disk. Raises OSError."""
    sync_file(folder)


class Appender:
    """A file that only grows.

    Parameters
    ----------
    path : path-like
        The file; made if missing.
    mode : int
        Permissions of a new file, less the umask.
    kind : type
        The error to raise, with the file's name.
    """

    def __init__(self, path: Name, mode: int = 0o600, kind: type[FileError] = FileError) -> None:
        self.path = Path(path)
        self._mode = mode
        self._kind = kind
        self._fd = -1
        self.open()

    def open(self) -> None:
        """Open the file, or make it anew if it was deleted meanwhile."""
        self.close()
        with naming(self.path, self._kind):
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            self._fd = operations.open(self.path, flags, self._mode)
            self.size = os.fstat(self._fd).st_size

    def append(self, data: bytes) -> None:
        """Append all of `data`, or raise and leave the file as it was (as far as the disk lets)."""
        with naming(self.path, self._kind):
            try:
                write_all(self._fd, data)
            except OSError:
                with suppress(OSError):
                    operations.truncate(self._fd, self.size)
                raise
            self.size += len(data)

    def sync(self) -> None:
        """Bring what was appended to disk."""
        with naming(self.path, self._kind):
            operations.fsync(self._fd)

    def is_deleted(self) -> bool:
        """Whether somebody deleted the file: what is appended then is lost at `close`."""
        with naming(self.path, self._kind):
            return os.fstat(self._fd).st_nlink == 0

    def close(self) -> None:
        """Close it; a second time does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with naming(self.path, self._kind):
                operations.close(fd)


def read_private(path: Name, kind: type[FileError] = FileError) -> bytes:
    """Read a file that only this user can have written.

    Raises
    ------
    PermissionsError
        It belongs to another user, or others may write it; with the remedy.
    FileError
        It cannot be read.
    """
    with naming(path, kind), open_private(path, kind) as file:
        return file.read()


def open_private(path: Name, kind: type[FileError] = FileError) -> BinaryIO:
    """Open a file for reading, as `read_private` reads it whole; the same errors."""
    with naming(path, kind):
        file = os.fdopen(operations.open(path, os.O_RDONLY), "rb")
        try:
            _refuse_foreign(path, os.fstat(file.fileno()))
        except BaseException:
            file.close()
            raise
        return file


def _refuse_foreign(path: Name, status: os.stat_result) -> None:
    if status.st_uid != os.getuid():
        raise PermissionsError(
            path,
            f"belongs to user {status.st_uid}, not to you ({os.getuid()}), so it is not loaded. "
            "Ask its owner, or delete it.",
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionsError(
            path,
            "other users may change it, so it is not loaded. If its content is yours: "
            f"chmod go-w '{os.fspath(path)}'",
        )


def private_folder(path: Name) -> Path:
    """Make a folder of mode 0700 whatever the umask, or check one that is there.

    Raises
    ------
    PermissionsError
        It is another user's, or open to others; with the ``chmod`` that mends it.
    """
    folder = Path(path)
    with naming(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            folder.chmod(0o700)
        status = folder.stat()
    if status.st_uid != os.getuid():
        raise PermissionsError(folder, f"belongs to user {status.st_uid}, not to you.")
    if status.st_mode & 0o077:
        raise PermissionsError(
            folder, f"is open to other users. Mend it with: chmod 700 '{folder}'"
        )
    return folder


def name_beside(path: Name, suffix: str) -> Path:
    """``NAME.suffix`` in the same folder, NAME cut where the whole would pass 255 bytes."""
    path = Path(path)
    if len(os.fsencode(path.name)) + len(suffix) + 1 <= MAX_NAME:
        return path.parent / f"{path.name}.{suffix}"
    tail = f"~{short_hash(path)}.{suffix}"
    cut = os.fsencode(path.name)[: MAX_NAME - len(tail)].decode("utf-8", "ignore")
    return path.parent / f"{cut}{tail}"
