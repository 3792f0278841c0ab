"""The point journal: every finished point is on disk within a second.

`io.point_journals` says what is in its file.

Durability: `PointJournal.flush` writes, so that a killed process loses
nothing; fsync, against a crash of the whole node, comes at most each
`SYNC_INTERVAL` seconds and with ``flush(sync=True)``.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any

from adaptive_scheduler.errors import DataFileError
from adaptive_scheduler.io.learner_data.point_journals import Points, decode, encode, journal_path
from adaptive_scheduler.io.storage import files
from adaptive_scheduler.io.storage.append_file import Appender

__all__ = ["PointJournal", "Points", "decode", "encode", "journal_path"]

#: Seconds between two fsyncs of a journal, at least: 10,000 jobs share one file system.
SYNC_INTERVAL = 10.0


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
