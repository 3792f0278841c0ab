"""The database: a TinyDB file that people can open, and a journal that makes it durable.

Rows live in the manager's memory. Each change is one JSON line, appended to
the newest segment of the journal and synced before anybody is told. Now and
then a new segment is begun and a process of its own folds the older ones into
the TinyDB file: it writes a new file, syncs it and renames it. A row's line
holds the whole row, so that reading a line twice does no harm; the file's
``_meta`` table names the last segment that it holds.
"""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

import msgspec

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import DatabaseError
from adaptive_scheduler.io.storage import files, journal
from adaptive_scheduler.io.storage import tinydb_file as storage
from adaptive_scheduler.io.storage.append_file import Appender
from adaptive_scheduler.io.storage.tinydb_file import (
    COMBOS,
    ITEMS,
    JOBS,
    META,
    SUBMITS,
    Tables,
    create,
)
from adaptive_scheduler.io.system import processes

__all__ = ["COMBOS", "ITEMS", "JOBS", "META", "SUBMITS", "Database", "Tables", "create"]


class Database:
    """TinyDB file and journal of one run. One process at a time may hold it.

    Parameters
    ----------
    folder : RunFolder
        Its database must exist; its journal is made.

    Attributes
    ----------
    tables : dict
        What was found: table -> key -> row, as plain JSON values.
    remarks : list of str
        What a person should know of what was found, such as a torn last line.
    """

    #: A test has another, that folds in virtual time.
    start_checkpoint = staticmethod(processes.start_checkpoint)

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.remarks: list[str] = []
        files.private_folder(folder.folder)
        files.private_folder(folder.journals)
        self.tables: Tables = {}
        self._segment = self._load() + 1
        self._appender = self._begin_segment(self._segment)
        self._buffer: list[bytes] = []
        self._encoder = msgspec.json.Encoder()
        self._folding: subprocess.Popen[bytes] | None = None
        self._written = _identity(folder.database)
        self._anew = False  # the file is somebody else's: nothing of it counts
        self.lines = 0  # since the last fold

    # ------------------------------------------------------------------- reading

    def _begin_segment(self, number: int) -> Appender:
        path = journal.segment_path(self.folder, number)
        appender = Appender(path, mode=0o600, kind=DatabaseError)
        try:
            with files.naming(path, DatabaseError):
                files.sync_folder(self.folder.journals)  # its name must survive a power cut, too
        except DatabaseError:
            with suppress(DatabaseError):  # the first one is told
                appender.close()
            raise
        return appender

    def _load(self) -> int:
        """Read file and journal; the fold of a manager that just died may end meanwhile.

        Returns the number of the last segment.
        """
        while True:
            before = _identity(self.folder.database)
            tables = storage.AtomicStorage(self.folder.database).read()
            if tables is None:
                raise DatabaseError(
                    self.folder.database, "does not exist. Make it with create_empty_db."
                )
            last = storage.last_segment(tables)
            try:
                tail = journal.replay_all(self.folder, last, tables)
            except FileNotFoundError:
                continue  # folded between our two looks
            if _identity(self.folder.database) == before:
                break
        self.tables = tables
        if tail is not None:
            journal.remove_torn_line(tail)
            self.remarks.append(f"dropped a torn last line of {tail.path} ({tail.size} bytes)")
        numbers = [number for number in journal.segments(self.folder) if number > last]
        for number in numbers:
            # its manager may have been killed before the fsync, also after it had begun another
            # segment: from here on all of them are believed
            with files.naming(self.folder.journals, DatabaseError), suppress(FileNotFoundError):
                files.sync_file(journal.segment_path(self.folder, number))
        return max([last, *numbers])

    # ------------------------------------------------------------------- writing

    def put(self, table: str, key: object, row: object) -> None:
        """Note a change; it is durable after the next `commit`. None removes the row."""
        self._buffer.append(self._encoder.encode((table, str(key), row)))

    def commit(self) -> None:
        """Write all noted changes and sync them once. Answer nobody before.

        Raises
        ------
        DatabaseError
            Nothing is durable; all of it goes with the next commit.
        """
        if not self._buffer:
            return
        size = self._appender.size
        self._appender.append(b"\n".join(self._buffer) + b"\n")
        try:
            self._appender.sync()
        except DatabaseError:
            # after a failed fsync Linux takes what it lost for written: the next fsync would
            # succeed without it (https://wiki.postgresql.org/wiki/Fsync_Errors)
            self._appender.take_back(size)
            raise
        self.lines += len(self._buffer)
        self._buffer.clear()

    def close(self) -> None:
        """Commit, wait for a fold that runs, and close."""
        try:
            self.commit()
        finally:
            if self._folding is not None:
                self._folding.wait()
            self._appender.close()

    # ------------------------------------------------------------------- folding

    def begin_checkpoint(self, anew: bool = False) -> None:
        """Begin a new segment and let another process fold the older ones.

        Parameters
        ----------
        anew : bool
            The journal holds every row, so that the file's own are not needed.
        """
        if self.checkpoint_runs():
            return
        self.commit()
        following = self._begin_segment(self._segment + 1)
        former, self._appender = self._appender, following
        before, self._segment = self._segment, self._segment + 1
        self._anew = self._anew or anew
        try:
            with files.naming(self.folder.database, DatabaseError):
                self._folding = self.start_checkpoint(self.folder, before, self._anew)
            self.lines = 0
        finally:
            former.close()  # all of it is on disk already

    def checkpoint_runs(self) -> bool:
        """Whether a fold is under way; reaps one that has ended. DatabaseError if it failed."""
        if self._folding is None:
            return False
        rc = self._folding.poll()
        if rc is None:
            return True
        written = _identity(self.folder.database)
        self._folding = None
        if rc:
            self.lines += 1  # so that it is tried again
            raise DatabaseError(
                self.folder.database,
                f"could not be brought up to date (exit status {rc}); the journal holds all.",
            )
        self._written = written
        self._anew = False
        return False

    def checkpoint(self, anew: bool = False) -> None:
        """Fold now and wait: the file is exact afterwards."""
        if self._folding is not None:
            self._folding.wait()
        with suppress(DatabaseError):  # of the one that ran: this one does its work too
            self.checkpoint_runs()
        self.begin_checkpoint(anew)
        assert self._folding is not None
        self._folding.wait()
        self.checkpoint_runs()

    def keep_edited_file(self) -> bool:
        """Keep the file if somebody else changed it, and say so.

        Returns
        -------
        bool
            Whether it is not ours any more: then `put` every row again, and fold anew.
        """
        path = self.folder.database
        with suppress(DatabaseError):  # of one that failed: the next does its work too
            if self.checkpoint_runs():
                return False
        if _identity(path) == self._written:
            return False
        remark = f"{path} was removed by somebody else; it is written anew"
        found = _identity(path)
        if found is not None:
            with files.naming(path, DatabaseError):
                kept = files.unused_name(path.with_name(path.name + ".edited"))
                content = files.read(path)
            files.write_atomically(kept, content, mode=0o600, kind=DatabaseError)
            remark = f"{path} was changed by somebody else; that file is kept as {kept}"
        self.remarks.append(remark)
        self._written = found  # kept once, also if the fold that replaces it has to wait
        self._anew = True
        return True


def _identity(path: Path) -> files.FileIdentity | None:
    with files.naming(path, DatabaseError):
        return files.identity(path)
