"""Files of the run folder with large functions for the workers, named by their content."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from adaptive_scheduler.errors import FileError
from adaptive_scheduler.io.disk import files


def write_program(folder: Path, key: bytes, blob: bytes) -> str | None:
    """Write a program for the workers; returns its file, or None if it cannot be written.

    Without fsync: a worker that does not find the right content asks for the program.
    """
    path = folder / key.hex()
    temporary = folder / f".{key.hex()}.{os.getpid()}"
    try:
        with files.naming(path):
            folder.mkdir(mode=0o700, exist_ok=True)
            fd = os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
            try:
                files.write_all(fd, blob)
            finally:
                os.close(fd)
            files.operations.rename(temporary, path)
    except FileError:  # such as a full disk: it is sent instead
        remove_program(temporary)
        return None
    return str(path)


def remove_program(path: str | Path) -> None:
    """Delete the file of a program that no worker needs any more."""
    with suppress(OSError):
        files.operations.unlink(Path(path))
