"""Replaces and reads files safely: `write_atomically` leaves the old content or the new, never a part.

A file is replaced by writing a temporary one beside it, fsync, rename, and fsync of the folder.
Everything that must survive a crash is written here or by `append_file`. Each call to the
operating system goes through `operations`, so that a test can make any of them fail or be the last.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import re
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from adaptive_scheduler.errors import FileError, InputError, PermissionsError
from adaptive_scheduler.io.disk.syscalls import Name as Name  # noqa: PLC0414  also known as files.Name
from adaptive_scheduler.io.disk.syscalls import Operations as Operations  # noqa: PLC0414

#: Bytes that the last part of a path may have on Linux (NAME_MAX).
MAX_NAME = 255

#: Looked up at each call, so that `through` can replace it.
operations = Operations()

_serial = itertools.count()
#: Of which `temporary_name` makes one.
_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\..+\.tmp")


@contextmanager
def through(other: Operations) -> Iterator[None]:
    """Within this context all threads of this process read and write files through `other`."""
    global operations
    mine, operations = operations, other
    try:
        yield
    finally:
        operations = mine


@contextmanager
def naming(path: Name, kind: type[FileError] = FileError) -> Iterator[None]:
    """Within this context an OSError is raised as a `kind` that names the file."""
    try:
        yield
    except OSError as error:
        raise kind(path, f"{error.strerror or error} ({type(error).__name__})") from error


def check_output(path: Path, given: str) -> None:
    """Refuse a folder of output that cannot be made or written to; changes nothing.

    Parameters
    ----------
    path : Path
    given : str
        How it was given, for the error.

    Raises
    ------
    InputError
        It is a file, or below one, or nobody may write there.
    """
    there = next(one for one in (path, *path.parents) if os.path.lexists(one))
    if not there.is_dir():
        raise InputError(f"{given}: {there} is no folder. Give another one.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{given}: you may not write to {there}. Give another one.")


def is_disk_error(error: BaseException) -> bool:
    """Whether an error is that of a disk (full, broken, not mounted): trying again makes sense."""
    return isinstance(error, FileError) or isinstance(error.__cause__, OSError)


def is_stale_handle(error: BaseException) -> bool:
    """Whether an error says that another host deleted an open file on NFS (ESTALE)."""
    cause = error.__cause__
    return isinstance(cause, OSError) and is_stale(cause)


def is_stale(error: OSError) -> bool:
    """The same of the error of a system call."""
    return error.errno == errno.ESTALE


def short_hash(path: Name) -> str:
    """A hash of 16 characters of the last part of a path, for names that must be short."""
    name = Path(path).name
    return hashlib.blake2b(os.fsencode(name), digest_size=8).hexdigest()


def temporary_name(path: Name, tag: str | None = None) -> Path:
    """The name of a temporary file beside `path`, to be renamed to it."""
    tag = tag or f"{os.getpid()}-{next(_serial)}"
    return Path(path).parent / f".{short_hash(path)}.{tag}.tmp"


def finished_files(folder: Name) -> list[Path]:
    """The files of a folder, in no order, without those that are being written. Raises OSError."""
    names = operations.names(folder)
    return [Path(folder, name) for name in names if not _TEMPORARY.fullmatch(name)]


def write_atomically(
    path: Name, data: bytes, mode: int | None = None, kind: type[FileError] = FileError
) -> None:
    """Replace a file safely: readers see the old content or the new, also after a crash.

    Parameters
    ----------
    path : path-like
        The file; its folder must exist.
    data : bytes
        Its new content.
    mode : int, optional
        Its permissions, regardless of the umask; None follows the umask.
    kind : type
        The error to raise.

    Raises
    ------
    FileError
        It cannot be written; its content is then the old one or the new one.
    """
    temporary = temporary_name(path)
    with naming(path, kind):
        try:
            write_durably(temporary, data, mode)
            rename_durably(temporary, path)
        except BaseException:
            with suppress(OSError):
                operations.unlink(temporary)
            raise


def write_durably(path: Name, data: bytes, mode: int | None = None) -> None:
    """Write a new file and fsync it. Raises OSError."""
    # 0664 at most: a file that everybody may write is refused when it is read
    fd = operations.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode or 0o664)
    try:
        if mode is not None:
            operations.fchmod(fd, mode)
        write_all(fd, data)
        operations.fsync(fd)
    finally:
        operations.close(fd)


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`: one write(2) may write only a part. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[operations.write(fd, view) :]


def rename_durably(temporary: Name, path: Name) -> None:
    """Rename a file that is already synced, and fsync the folder. Raises OSError."""
    operations.rename(temporary, path)
    sync_folder(Path(path).parent)


def sync_file(path: Name) -> None:
    """Fsync a file that another process wrote. Raises OSError."""
    fd = operations.open(path, os.O_RDONLY)
    try:
        operations.fsync(fd)
    finally:
        operations.close(fd)


def sync_folder(folder: Name) -> None:
    """Fsync a folder, so that new names in it are on disk. Raises OSError.

    Does nothing where the file system or the permissions do not allow it.
    """
    try:
        sync_file(folder)
    except OSError as error:
        # EACCES: a folder of mode 0300 can be written to but not opened; EINVAL: CIFS
        if error.errno not in (errno.EACCES, errno.EINVAL):
            raise


def read(path: Name) -> bytes:
    """Read a whole file. Raises OSError."""
    fd = operations.open(path, os.O_RDONLY)
    try:
        return read_rest(fd)
    finally:
        operations.close(fd)


def read_rest(fd: int) -> bytes:
    """Read an open file from its current position to its end. Raises OSError."""
    pieces = []
    size = operations.fstat(fd).st_size
    while piece := operations.read(fd, size + 1):
        pieces.append(piece)
    return b"".join(pieces)


def status(path: Name) -> os.stat_result | None:
    """The result of stat(2); None if there is no such file. Raises OSError."""
    try:
        return operations.stat(path)
    except FileNotFoundError:
        return None


class FileIdentity(NamedTuple):
    """Distinguishes a file from earlier and later ones of the same name."""

    inode: int
    size: int
    modified_ns: int


def identity_of(found: os.stat_result) -> FileIdentity:
    """The identity of a file whose status is known."""
    return FileIdentity(found.st_ino, found.st_size, found.st_mtime_ns)


def identity(path: Name) -> FileIdentity | None:
    """The identity of a file; None if there is none. Raises OSError."""
    found = status(path)
    return None if found is None else identity_of(found)


def unused_name(path: Name) -> Path:
    """Return `path`, or the first of ``path1``, ``path2``, … that does not exist. Raises OSError."""
    path = Path(path)
    candidates = (path.with_name(f"{path.name}{n or ''}") for n in itertools.count())
    return next(candidate for candidate in candidates if status(candidate) is None)


def is_file(path: Name) -> bool:
    """Whether `path` is a regular file; FileError if that cannot be found out."""
    with naming(path):
        found = status(path)
    return found is not None and stat.S_ISREG(found.st_mode)


def has_content(path: Name) -> bool:
    """Whether `path` is a regular file that is not empty; FileError if that cannot be found out."""
    with naming(path):
        found = status(path)
    return found is not None and stat.S_ISREG(found.st_mode) and found.st_size > 0


def make_folder(path: Name) -> None:
    """Make a folder and its parents, if missing. Raises OSError."""
    if status(path) is None:
        make_folder(Path(path).parent)
        with suppress(FileExistsError):
            operations.mkdir(path)
        sync_folder(Path(path).parent)


def read_private(
    path: Name, kind: type[FileError] = FileError, *, group_may_write: bool = False
) -> bytes:
    """Read a file if only this user can have written it.

    Parameters
    ----------
    path : path-like
    kind : type
        The error to raise if it cannot be read.
    group_may_write : bool
        Accept a file that its group may write, as a umask of 002 makes them.

    Raises
    ------
    PermissionsError
        It belongs to another user, or others may write it; with the remedy.
    FileError
        It cannot be read.
    """
    with naming(path, kind):
        fd = operations.open(path, os.O_RDONLY)
        try:
            _refuse_foreign(path, operations.fstat(fd), group_may_write)
            return read_rest(fd)
        finally:
            operations.close(fd)


def open_private(path: Name, kind: type[FileError] = FileError) -> BinaryIO:
    """Open a file for reading if only this user can have written it; errors as `read_private`."""
    with naming(path, kind):
        file = os.fdopen(operations.open(path, os.O_RDONLY), "rb")
        try:
            _refuse_foreign(path, operations.fstat(file.fileno()))
        except BaseException:
            file.close()
            raise
        return file


def _refuse_foreign(path: Name, found: os.stat_result, group_may_write: bool = False) -> None:
    name = shlex.quote(os.fspath(path))
    if found.st_uid != os.getuid():
        raise PermissionsError(
            path,
            f"belongs to user {found.st_uid}, not to you ({os.getuid()}), so it is not loaded: it "
            "could run that user's code as you. If you trust it, make it yours: "
            f"cp {name} {name}.mine && mv -f {name}.mine {name}",
        )
    writers = stat.S_IWOTH if group_may_write else stat.S_IWGRP | stat.S_IWOTH
    if found.st_mode & writers:
        raise PermissionsError(
            path,
            "other users may change it, so it is not loaded: it could run their code as you. If "
            f"its content is yours: chmod {'o' if group_may_write else 'go'}-w {name}",
        )


def private_folder(path: Name) -> Path:
    """Make a folder of mode 0700, regardless of the umask, or check an existing one.

    Raises
    ------
    PermissionsError
        It belongs to another user or is open to others; the text has the ``chmod`` that mends
        it. Where chmod has no effect, a folder that others can only read is accepted.
    """
    folder = Path(path)
    with naming(folder):
        make_folder(folder.parent)
        with suppress(FileExistsError):
            operations.mkdir(folder, 0o700)
            operations.chmod(folder, 0o700)
            sync_folder(folder.parent)
        found = operations.stat(folder)
    if found.st_uid != os.getuid():
        raise PermissionsError(
            folder, f"belongs to user {found.st_uid}, not to you. Choose another folder."
        )
    if found.st_mode & 0o077 and _keeps_modes(folder):
        raise PermissionsError(
            folder, f"is open to other users. Mend it with: chmod 700 {shlex.quote(str(folder))}"
        )
    if found.st_mode & 0o022:
        raise PermissionsError(
            folder,
            "other users may write here, and chmod has no effect on this file system. Choose a "
            "folder on another one.",
        )
    return folder


def is_open_to_others(path: Name) -> bool:
    """Whether other users have any permission for a file or folder."""
    with naming(path):
        return bool(operations.stat(path).st_mode & 0o077)


def _keeps_modes(folder: Path) -> bool:
    """Whether chmod has an effect in a folder: on CIFS and FAT it has none."""
    probe = temporary_name(folder / "modes")
    with naming(folder):
        fd = operations.open(probe, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            operations.fchmod(fd, 0o600)
            return not operations.fstat(fd).st_mode & 0o077
        finally:
            operations.close(fd)
            operations.unlink(probe)


def name_beside(path: Name, suffix: str) -> Path:
    """``NAME.suffix`` in the same folder; NAME is cut if the whole would exceed 255 bytes."""
    path = Path(path)
    if len(os.fsencode(path.name)) + len(suffix) + 1 <= MAX_NAME:
        return path.parent / f"{path.name}.{suffix}"
    tail = f"~{short_hash(path)}.{suffix}"
    cut = os.fsencode(path.name)[: MAX_NAME - len(tail)].decode("utf-8", "ignore")
    return path.parent / f"{cut}{tail}"
