"""Reads data files; refuses one that another user owns or may write, as it is a pickle."""

from __future__ import annotations

import os
import shlex
import stat

from adaptive_scheduler.errors import DataFileError, PermissionsError
from adaptive_scheduler.io.storage import files


def read(path: files.Name) -> bytes:
    """Read a data file that is this user's own.

    Loading a pickle runs whatever its writer put into it. The file's group may be allowed
    to write (a umask of 002 says so), others never.

    Raises
    ------
    PermissionsError
        It is somebody else's, or anybody may change it; with the remedy.
    DataFileError
        It cannot be read.
    """
    with files.naming(path, DataFileError):
        fd = _opened(path)
        try:
            return files.read_on(fd)
        finally:
            files.operations.close(fd)


def _opened(path: files.Name) -> int:
    fd = files.operations.open(path, os.O_RDONLY)
    try:
        _refuse_untrusted(path, files.operations.fstat(fd))
    except BaseException:
        files.operations.close(fd)
        raise
    return fd


def _refuse_untrusted(path: files.Name, found: os.stat_result) -> None:
    name = shlex.quote(os.fspath(path))
    if found.st_uid != os.getuid():
        raise PermissionsError(
            path,
            f"belongs to user {found.st_uid}, not to you ({os.getuid()}), so it is not loaded: "
            f"loading it would run that user's code as you. If you trust it, make it yours: "
            f"cp {name} {name}.mine && mv -f {name}.mine {name}",
        )
    if found.st_mode & stat.S_IWOTH:
        raise PermissionsError(
            path,
            "every user may change it, so it is not loaded: loading it would run their code as "
            f"you. If its content is yours: chmod o-w {name}",
        )
