"""The point journal of a learner: each value that came back is on disk within a second.

Between two saves of the data file, points are kept in journals: one small file for each owner of
the learner, ``.HASH.TOKEN.points`` beside its data file. HASH stands for the data file's name
(which may use all 255 bytes), TOKEN is the owner's right to the item. Two owners never write to one
file, so one that was only thought to be dead does no harm.

A journal holds records: a mark, length, checksum, and the pickle of a list of (x, y), with x as
`adaptive_load.compact` makes it. A record that is torn or damaged costs only its own points.

`PointJournal` writes one, `read_journals` reads all of a learner, `delete_former` deletes one whose
points are in a data file.
"""

from __future__ import annotations

import os
import pickle
import re
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle

from adaptive_scheduler.errors import USER_RAISES, DataFileError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.disk.append_file import Appender

#: Seconds between two fsyncs of a journal, at least: 10,000 jobs share one file system.
SYNC_INTERVAL = 10.0

_MARK = b"\x93ASP"
_HEAD = struct.Struct("<4sII")
_NAME = re.compile(r"\.(?P<hash>[0-9a-f]{16})\.(?P<token>\d+)\.points")

Points = list[tuple[Any, Any]]


def journal_path(fname: str, token: int) -> Path:
    """Where the owner with this token keeps the points of `fname`."""
    return Path(fname).parent / f".{files.short_hash(fname)}.{token:012d}.points"


@dataclass
class ReadJournal:
    """A journal as it was read.

    Attributes
    ----------
    path : Path
        The file.
    token : int
        Its owner's right to the item.
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


#: The journals of one folder: for each data file's hash the tokens and paths, ordered by token.
Listed = Mapping[str, list[tuple[int, Path]]]


def list_journals(folder: Path) -> Listed:
    """All journals in a folder; none if there is no such folder. Raises DataFileError."""
    with files.naming(folder, DataFileError):
        try:
            names = files.operations.names(folder)
        except (FileNotFoundError, NotADirectoryError):
            return {}
    listed: dict[str, list[tuple[int, Path]]] = {}
    for name in names:
        if name.endswith(".points") and (match := _NAME.fullmatch(name)) is not None:
            listed.setdefault(match["hash"], []).append((int(match["token"]), folder / name))
    for found in listed.values():
        found.sort()
    return listed


def read_journals(fname: str, listed: Listed | None = None) -> Iterator[ReadJournal]:
    """All journals beside a data file, by token.

    Parameters
    ----------
    fname : str
        The data file.
    listed : mapping, optional
        What `list_journals` gave for its folder; default: the folder is listed now.

    Raises
    ------
    PermissionsError
        One belongs to another user, or others may write it: journals are pickles.
    DataFileError
        One cannot be read, or its values cannot be unpickled here.
    """
    if listed is None:
        listed = list_journals(Path(fname).parent)
    if not listed:
        return
    for token, path in listed.get(files.short_hash(fname), ()):
        try:
            content = files.read_private(path, DataFileError)
        except DataFileError as error:
            # its owner saved and deleted it; NFS lists it for up to a minute longer
            if isinstance(error.__cause__, FileNotFoundError):
                continue
            raise
        yield read_content(path, token, content)


def read_content(path: Path, token: int, content: bytes) -> ReadJournal:
    """What the bytes of a journal hold. Raises DataFileError."""
    try:
        points, torn, damaged = decode(content)
    except USER_RAISES as error:  # the border to the user's classes
        raise DataFileError(
            path,
            f"its values cannot be unpickled here ({type(error).__name__}: {error}). Their modules "
            "must be importable on this node.",
        ) from error
    return ReadJournal(path, token, points, len(content), torn, damaged)


def encode(points: Points) -> bytes:
    """One record; `decode` is its opposite."""
    try:
        payload = pickle.dumps(points, protocol=pickle.HIGHEST_PROTOCOL)
    except USER_RAISES:  # the border to the user's values: classes of __main__
        payload = cloudpickle.dumps(points, protocol=pickle.HIGHEST_PROTOCOL)
    return _HEAD.pack(_MARK, len(payload), zlib.crc32(payload)) + payload


def decode(content: bytes) -> tuple[Points, int, int]:
    """All points of a journal.

    Returns
    -------
    points : list of (x, y)
    torn : int
        Bytes of an unfinished record at the end.
    damaged : int
        Bytes that are no record, before the end.
    """
    points: Points = []
    position = damaged = 0
    while position < len(content):
        payload = _payload(content, position)
        if payload is not None:
            points.extend(pickle.loads(payload))
            position += _HEAD.size + len(payload)
            continue
        following = _next_record(content, position + 1)
        if following is None:
            return points, len(content) - position, damaged
        damaged += following - position
        position = following
    return points, 0, damaged


def _payload(content: bytes, position: int) -> bytes | None:
    """The payload of the record at `position`, or None if there is no whole one."""
    if len(content) < position + _HEAD.size:
        return None
    mark, length, checksum = _HEAD.unpack_from(content, position)
    start = position + _HEAD.size
    payload = content[start : start + length]
    is_whole = mark == _MARK and len(payload) == length and zlib.crc32(payload) == checksum
    return payload if is_whole else None


def _next_record(content: bytes, position: int) -> int | None:
    while (position := content.find(_MARK, position)) >= 0:
        if _payload(content, position) is not None:
            return position
        position += 1
    return None


# ------------------------------------------------------------------- writing


class PointJournal:
    """Writes the journal of one owner; `add` from the runner's loop, `flush` from any thread.

    `flush` writes, so that a killed process loses nothing. fsync, which protects against a crash
    of the whole node, comes at most each `SYNC_INTERVAL` seconds, and with ``flush(sync=True)``.

    Parameters
    ----------
    fname : str
        The learner's data file (the first one of several).
    token : int
        The owner's right to the item.

    Raises
    ------
    DataFileError
        From `flush`, with the file's name; the points stay in memory and are
        written by the next one.
    """

    def __init__(self, fname: str, token: int) -> None:
        self.path = journal_path(fname, token)
        self.n_written = 0
        self._waiting: Points = []
        self._file: Appender | None = None
        self._is_name_safe = False
        self._flushing = threading.Lock()
        self._synced = time.monotonic()
        self._unsynced: Points = []

    def add(self, x: Any, y: Any) -> None:
        """Keep a point for the next `flush`; costs no I/O."""
        self._waiting.append((x, y))

    def keep(self, points: Points) -> None:
        """Add points and bring all to disk now; DataFileError as from `flush`."""
        for x, y in points:
            self.add(x, y)
        self.flush(sync=True)

    @property
    def n_waiting(self) -> int:
        """Points that are only in memory."""
        return len(self._waiting)

    def flush(self, *, sync: bool = False) -> None:
        """Write what waits, as one record; with `sync` it also survives a crash of the node."""
        with self._flushing:
            batch = self._waiting[:]
            if batch:
                self._write(encode(batch))
                del self._waiting[: len(batch)]
                self.n_written += len(batch)
                self._unsynced += batch
            due = time.monotonic() - self._synced > SYNC_INTERVAL
            if self._unsynced and self._file is not None and (sync or due):
                self._sync(self._file)

    def _sync(self, file: Appender) -> None:
        batch, self._unsynced = self._unsynced, []
        self._synced = time.monotonic()
        try:
            file.sync()
            if not self._is_name_safe:  # a power cut may take a new file's name with it
                with files.naming(self.path, DataFileError):
                    files.sync_folder(self.path.parent)
                self._is_name_safe = True
        except DataFileError:
            # NFS tells of a full disk only here, and what was written may be gone
            self._waiting[:0] = batch
            raise

    def _write(self, record: bytes) -> None:
        if self._file is None:
            self._file = self._open()
        try:
            self._file.append(record)
            if not self._file.is_deleted():
                return
        except DataFileError as error:
            if not files.is_stale_handle(error):
                raise
        # a later owner took our points and deleted the file while we thought we were
        # the owner; it cannot have seen this record
        former, self._file = self._file, None
        with suppress(DataFileError):  # NFS may refuse even this
            former.close()
        self._file = self._open()
        self._file.append(record)

    def _open(self) -> Appender:
        with files.naming(self.path, DataFileError):
            files.make_folder(self.path.parent)
        self._is_name_safe = False
        return Appender(self.path, kind=DataFileError)

    def close(self) -> None:
        """Write what waits and close; what is added later opens it again."""
        self.flush(sync=True)
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def discard(self) -> None:
        """Delete the file: its points are in a verified save."""
        file, self._file = self._file, None
        self._waiting.clear()
        self._unsynced.clear()
        with files.naming(self.path, DataFileError), suppress(FileNotFoundError):
            files.operations.unlink(self.path)
        if file is not None:
            file.close()


# ------------------------------------------------------------------ deleting


def delete_former(journal: ReadJournal, keep: Callable[[Points], None]) -> int:
    """Delete a former owner's journal whose points are saved; keep it aside if it is damaged.

    Parameters
    ----------
    journal : ReadJournal
    keep : callable
        Given the points (perhaps none) that the former owner has added since the journal was
        read. Brings them to disk elsewhere, and what an earlier call could not, or raises. What
        that owner adds later goes into a new file (see `PointJournal`).

    Returns
    -------
    int
        The number of points that were added.

    Raises
    ------
    DataFileError
        It could not be deleted. Nothing of it is lost: delete it again later.
    """
    n_added = 0
    with files.naming(journal.path, DataFileError):
        try:
            fd = files.operations.open(journal.path, os.O_RDONLY)
        except FileNotFoundError:
            return 0
        try:
            n_added += _keep_added(journal, fd, keep)
            if journal.damaged:
                kept = files.name_beside(journal.path, f"damaged-{int(time.time())}")
                files.operations.rename(journal.path, kept)
            else:
                files.operations.unlink(journal.path)
            n_added += _keep_added(
                journal, fd, keep
            )  # added between the first look and the deletion
        finally:
            files.operations.close(fd)
    return n_added


def _keep_added(journal: ReadJournal, fd: int, keep: Callable[[Points], None]) -> int:
    """Keep the points behind those that were read; they count as read from now on."""
    files.operations.seek(fd, journal.size - journal.torn)
    added = read_content(journal.path, journal.token, files.read_rest(fd))
    journal.size += added.size - journal.torn
    journal.torn = added.torn
    journal.damaged += added.damaged
    keep(added.points)
    return len(added.points)
