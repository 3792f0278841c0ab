"""Reads data files; refuses one that another user owns or may write, as it is a pickle."""

from __future__ import annotations

from adaptive_scheduler.errors import DataFileError
from adaptive_scheduler.io.disk import files


def read(path: files.Name) -> bytes:
    """Read a data file that is this user's own: loading a pickle runs its writer's code.

    The file's group may be allowed to write (a umask of 002 does that), others never.

    Raises
    ------
    PermissionsError
        It is somebody else's, or anybody may change it; with the remedy.
    DataFileError
        It cannot be read.
    """
    return files.read_private(path, DataFileError, group_may_write=True)
