"""The point journal: every finished point is on disk within a second.

One small file per owner of a learner, ``.HASH.TOKEN.points`` beside its data
file, where HASH stands for the data file's name (which may use all 255 bytes)
and TOKEN is the owner's lease. It holds records: a mark, length, checksum, and
the pickle of a list of (x, y), with x as `adaptive_parts.compact` makes it.

Durability: `PointJournal.flush` writes, so that a killed process loses
nothing; fsync, against a crash of the whole node, comes at most each
`SYNC_INTERVAL` seconds and with ``flush(sync=True)``.
"""

from __future__ import annotations

import pickle
import re
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle

from adaptive_scheduler.errors import DataFileError
from adaptive_scheduler.io import files

#: Seconds between two fsyncs of a journal, at least: 10,000 jobs share one file system.
SYNC_INTERVAL = 10.0

_MARK = b"\x93ASP"
_HEAD = struct.Struct("<4sII")
_NAME = re.compile(r"\.(?P<hash>[0-9a-f]{16})\.(?P<token>\d+)\.points")

Points = list[tuple[Any, Any]]


def journal_path(fname: str, token: int) -> Path:
    """Where the owner with this token keeps the points of `fname`."""
    return Path(fname).parent / f".{files.short_hash(fname)}.{token:012d}.points"


class PointJournal:
    """The journal of one owner; `add` from the runner's loop, `flush` from any thread.

    Parameters
    ----------
    fname : str
        The learner's data file (the first one of several).
    token : int
        The owner's lease.

    Raises
    ------
    DataFileError
        From `flush`, with the file's name; the points stay in memory and go
        with the next one.
    """

    def __init__(self, fname: str, token: int) -> None:
        self.path = journal_path(fname, token)
        self.n_written = 0
        self._waiting: Points = []
        self._file: files.Appender | None = None
        self._flushing = threading.Lock()
        self._synced = time.monotonic()
        self._unsynced: Points = []

    def add(self, x: Any, y: Any) -> None:
        """Keep a point for the next `flush`; costs no I/O."""
        self._waiting.append((x, y))

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

    def _sync(self, file: files.Appender) -> None:
        batch, self._unsynced = self._unsynced, []
        self._synced = time.monotonic()
        try:
            file.sync()
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
            if not files.is_stale(error):
                raise
        # a later owner took our points and deleted the file while we thought we were
        # the owner; it cannot have seen this record
        former, self._file = self._file, None
        with suppress(DataFileError):  # NFS may refuse even this
            former.close()
        self._file = self._open()
        self._file.append(record)

    def _open(self) -> files.Appender:
        with files.naming(self.path, DataFileError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        return files.Appender(self.path, kind=DataFileError)

    def close(self) -> None:
        """Write what waits and close."""
        self.flush(sync=True)
        if self._file is not None:
            self._file.close()
            self._file = None

    def discard(self) -> None:
        """Delete the file: its points are in a verified save."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._waiting.clear()
        self._unsynced.clear()
        with files.naming(self.path, DataFileError):
            if self.path.exists():
                files.operations.unlink(self.path)


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


def encode(points: Points) -> bytes:
    """One record; `decode` is its opposite."""
    try:
        payload = pickle.dumps(points, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception:  # noqa: BLE001  the border to the user's values: classes of __main__
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
    except Exception as error:  # the border to the user's classes
        raise DataFileError(
            path,
            f"its values cannot be unpickled here ({type(error).__name__}: {error}). Their modules "
            "must be importable on this node.",
        ) from error
    return ReadJournal(path, token, points, len(content), torn, damaged)


def _journals(fname: str) -> Iterator[tuple[int, Path]]:
    folder, key = Path(fname).parent, files.short_hash(fname)
    if not folder.is_dir():
        return
    for path in folder.glob(f".{key}.*.points"):
        match = _NAME.fullmatch(path.name)
        if match is not None and match["hash"] == key:
            yield int(match["token"]), path


def retire(journal: ReadJournal) -> Points:
    """Delete a former owner's journal whose points are saved; keep it aside if it is damaged.

    Returns
    -------
    list of (x, y)
        Points that its owner, who still thought to be the owner, added since
        it was read. Later ones it writes into a new file (see `PointJournal`).
    """
    with files.naming(journal.path, DataFileError):
        try:
            file = journal.path.open("rb")
        except FileNotFoundError:
            return []
        with file:
            if journal.damaged:
                kept = files.name_beside(journal.path, f"damaged-{int(time.time())}")
                files.operations.rename(journal.path, kept)
            else:
                files.operations.unlink(journal.path)
            file.seek(journal.size - journal.torn)
            return decode(file.read())[0]
