"""What former owners of a learner left: their point journals, in the end deleted."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from adaptive_scheduler.errors import DataFileError
from adaptive_scheduler.io.learner_data.point_journals import (
    Points,
    ReadJournal,
    read_content,
    read_journals,
)
from adaptive_scheduler.io.storage import files

__all__ = ["ReadJournal", "read_journals", "retire"]


def retire(journal: ReadJournal, keep: Callable[[Points], None]) -> None:
    """Delete a former owner's journal whose points are saved; keep it aside if it is damaged.

    Parameters
    ----------
    journal : ReadJournal
    keep : callable
        Given the points (or none) that its owner, who still thought to be the
        owner, has added since it was read; brings them to disk elsewhere, or
        raises. Later ones that owner writes into a new file (see `PointJournal`).

    Raises
    ------
    DataFileError
        It could not be deleted. Nothing of it is lost: retire it again later.
    """
    with files.naming(journal.path, DataFileError):
        try:
            fd = files.operations.open(journal.path, os.O_RDONLY)
        except FileNotFoundError:
            return
        try:
            keep(_added(journal, fd))
            if journal.damaged:
                kept = files.name_beside(journal.path, f"damaged-{int(time.time())}")
                files.operations.rename(journal.path, kept)
            else:
                files.operations.unlink(journal.path)
            keep(_added(journal, fd))  # what came between our last look and the deletion
        finally:
            files.operations.close(fd)


def _added(journal: ReadJournal, fd: int) -> Points:
    """The points behind those that were read; they count as read from now on."""
    files.operations.seek(fd, journal.size - journal.torn)
    added = read_content(journal.path, journal.token, files.read_rest(fd))
    journal.size += added.size - journal.torn
    journal.torn = added.torn
    journal.damaged += added.damaged
    return added.points
