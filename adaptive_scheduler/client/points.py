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
import struct
import threading
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import cloudpickle

from adaptive_scheduler.errors import DataFileError
from adaptive_scheduler.io import files
from adaptive_scheduler.io.appender import Appender

#: Seconds between two fsyncs of a journal, at least: 10,000 jobs share one file system.
SYNC_INTERVAL = 10.0

_MARK = b"\x93ASP"
_HEAD = struct.Struct("<4sII")

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
            if not files.is_stale(error):
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


def encode(points: Points) -> bytes:
    """One record; `decode` is its opposite."""
    try:
        payload = pickle.dumps(points, protocol=pickle.HIGHEST_PROTOCOL)
    except BaseException:  # noqa: BLE001  the border to the user's values: classes of __main__
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
