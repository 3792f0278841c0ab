"""Lets one process at a time run a search: two would choose different points for one number."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import RunError


@contextmanager
def alone(folder: RunFolder, name: str) -> Iterator[None]:
    """Hold the lock of a search; RunError if another process does.

    Its points are right also where a file system has no such locks: then the numbers of two
    processes are the same, and each task knows its own point by its key.
    """
    path = folder.folder / f"{name}.search"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN):
                raise RunError(
                    f"{path}: another process runs this search. Wait until it has ended, or give "
                    "name= for a second one."
                ) from error
        yield
    finally:
        os.close(fd)
