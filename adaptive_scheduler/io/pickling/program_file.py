"""Large functions in files of the run folder, each named by what is in it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from adaptive_scheduler.errors import FileError
from adaptive_scheduler.io.storage import files


def write_program(folder: Path, key: bytes, blob: bytes) -> str | None:
    """Write a program for the workers to read; its file, or None where that cannot be done.

    Not synced: a worker that finds something else in it asks for the program.
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
    except FileError:  # a full disk, say: it is sent instead
        remove_program(temporary)
        return None
    return str(path)


def remove_program(path: str | Path) -> None:
    """Remove a program that no worker needs any more."""
    with suppress(OSError):
        files.operations.unlink(Path(path))
