"""What former owners of a learner left: their point journals, read and in the end deleted."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from adaptive_scheduler.client.points import Points, decode
from adaptive_scheduler.errors import DataFileError
from adaptive_scheduler.io import files

_NAME = re.compile(r"\.(?P<hash>[0-9a-f]{16})\.(?P<token>\d+)\.points")


@dataclass
class ReadJournal:
    """A journal as it was read.

    Attributes
    ----------
    path : Path
        The file.
    token : int
        Its owner's lease.
    points : list of (x, y)
        The points of all whole records, in the order they were written.
    size : int
        Bytes read.
    torn : int
        Bytes of an unfinished record at the end: its writer was killed.
    damaged : int
        Bytes that are no record, before the end.
    """

    path: Path
    token: int
    points: Points = field(default_factory=list)
    size: int = 0
    torn: int = 0
    damaged: int = 0


def read_journals(fname: str) -> Iterator[ReadJournal]:
    """All journals beside a data file, by token.

    Raises
    ------
    PermissionsError
        One belongs to another user, or others may write it: journals are pickles.
    DataFileError
        One cannot be read, or its values cannot be unpickled here.
    """
    for token, path in sorted(_journals(fname)):
        try:
            content = files.read_private(path, DataFileError)
        except DataFileError as error:
            # its owner saved and deleted it; NFS lists it for up to a minute longer
            if isinstance(error.__cause__, FileNotFoundError):
                continue
            raise
        yield _read(path, token, content)


def _read(path: Path, token: int, content: bytes) -> ReadJournal:
    try:
        points, torn, damaged = decode(content)
    except BaseException as error:  # the border to the user's classes
        raise DataFileError(
            path,
            f"its values cannot be unpickled here ({type(error).__name__}: {error}). Their modules "
            "must be importable on this node.",
        ) from error
    return ReadJournal(path, token, points, len(content), torn, damaged)


def _journals(fname: str) -> Iterator[tuple[int, Path]]:
    folder, key = Path(fname).parent, files.short_hash(fname)
    with files.naming(folder, DataFileError):
        try:
            names = files.operations.names(folder)
        except (FileNotFoundError, NotADirectoryError):
            return
    for match in map(_NAME.fullmatch, names):
        if match is not None and match["hash"] == key:
            yield int(match["token"]), folder / match[0]


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
    added = _read(journal.path, journal.token, files.read_on(fd))
    journal.size += added.size - journal.torn
    journal.torn = added.torn
    journal.damaged += added.damaged
    return added.points
