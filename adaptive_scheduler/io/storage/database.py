"""The database: a TinyDB file that people can open, and a journal that makes it durable.

Rows live in the manager's memory. Each change is one JSON line, appended to the newest segment of
the journal and synced before any client gets its answer. Now and then a *checkpoint* is made: a new
segment begins, and a separate process writes the older ones into the TinyDB file (new file, fsync,
rename) and deletes them. A line holds the whole row, so reading it twice does no harm; the file's
``_meta`` table names the last segment that it includes.
"""

from __future__ import annotations

import subprocess
from contextlib import suppress

import msgspec

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import DatabaseError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.disk.append_file import Appender
from adaptive_scheduler.io.storage import journal, tinydb_file
from adaptive_scheduler.io.storage.facts import Facts
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

_encode = msgspec.json.Encoder().encode


class JournalWriter:
    """The segment that is written at present, and what is not written yet.

    Attributes
    ----------
    segment : int
        Its number.
    buffer : list of bytes
        Lines of the next commit.
    lines, size : int
        Written since the last checkpoint, and their bytes.
    """

    def __init__(self, folder: RunFolder, segment: int) -> None:
        self.segment = segment
        self.buffer: list[bytes] = []
        self.lines = self.size = 0
        self._folder = folder
        self._appender = self._begin(segment)

    def _begin(self, number: int) -> Appender:
        path = journal.segment_path(self._folder, number)
        appender = Appender(path, mode=0o600, kind=DatabaseError)
        try:
            with files.naming(path, DatabaseError):
                files.sync_folder(self._folder.journals)  # its name must survive a power cut, too
        except DatabaseError:
            with suppress(DatabaseError):  # the first error is raised
                appender.close()
            raise
        return appender

    def commit(self) -> None:
        """Write and sync all lines; DatabaseError: nothing of them is durable, and they stay."""
        if not self.buffer:
            return
        before = self._appender.size
        self._appender.append(b"\n".join(self.buffer) + b"\n")
        try:
            self._appender.sync()
        except DatabaseError:
            # after a failed fsync Linux marks the lost pages as clean: the next fsync would succeed
            # without them (https://wiki.postgresql.org/wiki/Fsync_Errors)
            self._appender.take_back(before)
            raise
        self.lines += len(self.buffer)
        self.size += self._appender.size - before
        self.buffer.clear()

    def begin_next(self) -> Appender:
        """Go on in a new segment; returns the former one, of which all is synced, to be closed."""
        following = self._begin(self.segment + 1)
        previous, self._appender = self._appender, following
        self.segment += 1
        return previous

    def close(self) -> None:
        """Close the segment."""
        self._appender.close()


class Database:
    """TinyDB file and journal of one run; only one process at a time may open it.

    Parameters
    ----------
    folder : RunFolder
        Its database must exist; its journal is created.
    undecoded : bool
        Leave the rows of items as their text, which `row_codec` decodes one by one.

    Attributes
    ----------
    tables : dict
        Content at the time of opening: table -> key -> row, as plain JSON values.
    remarks : list of str
        Notes for people, such as a torn last line that was dropped.
    """

    #: Tests replace it by one that runs in virtual time.
    start_checkpoint = staticmethod(processes.start_checkpoint)

    def __init__(self, folder: RunFolder, *, undecoded: bool = False) -> None:
        self.folder = folder
        self.remarks: list[str] = []
        files.private_folder(folder.folder)
        files.private_folder(folder.journals)
        self.tables: Tables = {}
        self._functions: dict[str, bytes] = {}
        self._journal = JournalWriter(folder, self._load(undecoded) + 1)
        self._checkpoint: subprocess.Popen[bytes] | None = None
        self._written = self._identity()  # of the file, by the last checkpoint
        self._discard_file = False  # somebody changed the file: its content is not used

    @property
    def lines(self) -> int:
        """Lines of the journal that were written since the last checkpoint."""
        return self._journal.lines

    @property
    def size(self) -> int:
        """Bytes of these lines."""
        return self._journal.size

    def _identity(self) -> files.FileIdentity | None:
        return tinydb_file.AtomicStorage(self.folder.database).identity()

    # ------------------------------------------------------------------- reading

    def _load(self, undecoded: bool) -> int:
        """Read file and journal; returns the number of the last segment.

        Starts over if a checkpoint of a manager that just died was finished meanwhile.
        """
        while True:
            before = self._identity()
            self._facts = Facts(self.folder.facts)  # a checkpoint may have copied some meanwhile
            file = tinydb_file.AtomicStorage(self.folder.database)
            tables = file.read(undecoded=undecoded)
            if tables is None:
                raise DatabaseError(
                    self.folder.database, "does not exist. Make it with create_empty_db."
                )
            last = tinydb_file.last_segment(tables)
            try:
                tail = journal.replay_all(
                    self.folder, last, tables, self._facts.found, undecoded=undecoded
                )
            except FileNotFoundError:
                continue  # a checkpoint deleted a segment meanwhile
            if self._identity() == before:
                break
        self.tables = tables
        if tail is not None:
            journal.remove_torn_line(tail)
            self.remarks.append(f"dropped a torn last line of {tail.path} ({tail.size} bytes)")
        numbers = [number for number in journal.segments(self.folder) if number > last]
        for number in numbers:
            # the manager that wrote it may have been killed before its fsync, also after it had
            # begun another segment; from here on all of them count
            with files.naming(self.folder.journals, DatabaseError), suppress(FileNotFoundError):
                files.sync_file(journal.segment_path(self.folder, number))
        with files.naming(self.folder.functions, DatabaseError), suppress(FileNotFoundError):
            files.sync_folder(self.folder.functions)  # so may have been the names of functions
        return max([last, *numbers])

    def take_tables(self) -> Tables:
        """Return what was found, once: from then on it lives with the caller alone."""
        found, self.tables = self.tables, {}
        return found

    # ------------------------------------------------------------------- writing

    def put(self, table: str, key: object, row: object) -> None:
        """Add a change to the buffer; durable after the next `commit`. None deletes the row."""
        self._journal.buffer.append(_encode((table, str(key), row)))

    def put_fact(self, table: str, item: int, data: bytes) -> None:
        """Note a fact, which never changes; it is durable after the next `commit`."""
        self._journal.buffer.append(self._facts.note(self._journal.segment, table, item, data))

    def fact(self, table: str, item: int) -> bytes | None:
        """Return a fact, also one that is not durable yet; None if there is none."""
        return self._facts.get(table, item)

    def put_function(self, key: str, data: bytes) -> None:
        """Note the pickle of a function; it is durable after the next `commit`."""
        self._functions[key] = data

    def has_function(self, key: str) -> bool:
        """Whether the pickle of a function is here."""
        return key in self._functions or files.is_file(self.folder.function(key))

    def commit(self) -> None:
        """Append all buffered changes to the journal and fsync once; no request is answered before.

        Raises
        ------
        DatabaseError
            Nothing is durable; all changes stay buffered for the next commit.
        """
        for key, data in self._functions.items():  # before a task that needs it
            path = self.folder.function(key)
            files.private_folder(path.parent)
            files.write_atomically(path, data, mode=0o600, kind=DatabaseError)
        self._functions.clear()
        self._journal.commit()

    def close(self) -> None:
        """Commit, wait for a checkpoint that runs, and close."""
        try:
            self.commit()
        finally:
            if self._checkpoint is not None:
                self._checkpoint.wait()
            self._journal.close()
            self._facts.close()

    # --------------------------------------------------------------- checkpoints

    def begin_checkpoint(self, discard_file: bool = False) -> None:
        """Begin a new segment, and let a process write the older ones into the TinyDB file.

        Parameters
        ----------
        discard_file : bool
            The journal holds every row, so the content of the file is not needed.
        """
        if self.checkpoint_runs():
            return
        self.commit()
        before = self._journal.segment
        previous = self._journal.begin_next()
        self._copied = before
        self._discard_file = self._discard_file or discard_file
        try:
            with files.naming(self.folder.database, DatabaseError):
                self._checkpoint = self.start_checkpoint(self.folder, before, self._discard_file)
            self._journal.lines = self._journal.size = 0
        finally:
            previous.close()  # all of it is synced already

    def checkpoint_runs(self) -> bool:
        """Whether a checkpoint is running; collects one that has ended. DatabaseError if it failed."""
        if self._checkpoint is None:
            return False
        rc = self._checkpoint.poll()
        if rc is None:
            return True
        written = self._identity()
        self._checkpoint = None
        if rc:
            self._journal.lines += 1  # so that it is tried again
            raise DatabaseError(
                self.folder.database,
                f"could not be brought up to date (exit status {rc}); the journal holds all.",
            )

        self._written = written
        self._discard_file = False
        self._facts.copied(self._copied)
        return False

    def checkpoint(self, discard_file: bool = False) -> None:
        """Make a checkpoint and wait for it: the file is up to date afterwards."""
        if self._checkpoint is not None:
            self._checkpoint.wait()
        with suppress(DatabaseError):  # of the previous one: this one includes its work
            self.checkpoint_runs()
        self.begin_checkpoint(discard_file)
        assert self._checkpoint is not None
        self._checkpoint.wait()
        self.checkpoint_runs()

    def keep_edited_file(self) -> bool:
        """Keep a copy of the TinyDB file if somebody else changed it, with a remark.

        Returns
        -------
        bool
            Whether it was changed: then `put` every row again, and checkpoint with `discard_file`.
        """
        path = self.folder.database
        with suppress(DatabaseError):  # of the previous one: the next includes its work
            if self.checkpoint_runs():
                return False
        if self._identity() == self._written:
            return False
        remark = f"{path} was removed by somebody else; it is written again"
        found = self._identity()
        if found is not None:
            with files.naming(path, DatabaseError):
                kept = files.unused_name(path.with_name(path.name + ".edited"))
                content = files.read(path)
            files.write_atomically(kept, content, mode=0o600, kind=DatabaseError)
            remark = f"{path} was changed by somebody else; that file is kept as {kept}"
        self.remarks.append(remark)
        self._written = found  # kept once, even if the checkpoint that replaces it is delayed
        self._discard_file = True
        return True
