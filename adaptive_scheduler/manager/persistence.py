"""Writes the state of a run to disk."""

from __future__ import annotations

from typing import Any, Protocol

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows import run_row
from adaptive_scheduler.core.rows.run_state import RunState
from adaptive_scheduler.errors import FileError
from adaptive_scheduler.io.storage import row_codec
from adaptive_scheduler.io.storage.database import Tables

#: Seconds between two checkpoints, which bring the journal's lines into the TinyDB file.
CHECKPOINT_INTERVAL = 50.0
#: Between them while very many lines come, so that who reopens the run has not too many to read.
BUSY_INTERVAL, BUSY_LINES = 10.0, 10_000
#: Seconds after which so many bytes are enough: facts that are in no checkpoint yet are in memory.
LARGE_INTERVAL, LARGE_SIZE = 1.0, 2**27
#: A file of more rows takes seconds to write: it waits until there is something worth that.
MANY_ROWS = 100_000


class RowStore(Protocol):
    """What a manager needs of a database; described in `io.storage.database.Database`.

    Attributes
    ----------
    folder : RunFolder
    remarks : list of str
        What a person should know; not logged yet.
    """

    folder: RunFolder
    remarks: list[str]

    @property
    def lines(self) -> int:
        """Lines of the journal that were written since the last checkpoint."""

    @property
    def size(self) -> int:
        """Bytes of these lines."""

    def take_tables(self) -> Tables:
        """Return what was found, once."""

    def put(self, table: str, key: object, row: object) -> None:
        """Add a change to the buffer."""

    def put_fact(self, table: str, item: int, data: bytes) -> None:
        """Add a fact to the buffer."""

    def fact(self, table: str, item: int) -> bytes | None:
        """Return a fact, also one that is in the buffer; None if there is none."""

    def put_function(self, key: str, data: bytes) -> None:
        """Keep the pickle of a function with the next commit."""

    def has_function(self, key: str) -> bool:
        """Whether the pickle of a function is here."""

    def commit(self) -> None:
        """Make the buffer durable; FileError if nothing of it is."""

    def keep_edited_file(self) -> bool:
        """Whether somebody else changed the file, so that every row must be put again."""

    def checkpoint(self, discard_file: bool = False) -> None:
        """Bring the file up to date, and wait for it."""

    def begin_checkpoint(self, discard_file: bool = False) -> None:
        """Begin to bring the file up to date in the background."""

    def checkpoint_runs(self) -> bool:
        """Whether that is under way; FileError if it failed."""

    def close(self) -> None:
        """Commit and close."""


class Persistence:
    """Commits what has changed to the journal, and brings the file that people open up to date.

    Parameters
    ----------
    store : RowStore
    state : RunState
        Made of what the store holds.
    log : structlog.BoundLogger

    Attributes
    ----------
    write_error : str
        Why nothing can be written at present; "" if it can.
    """

    def __init__(
        self,
        store: RowStore,
        state: RunState,
        log: Any,
    ) -> None:
        self.write_error = ""
        self._store = store
        self._state = state
        self._run_row = row_codec.run_row(state)
        self._log = log
        self._next_checkpoint: float | None = None
        self._log_remarks()

    def note_changes(self, now: float | None = None) -> None:
        """Put what has changed into the store's buffer, which `commit` makes durable.

        Parameters
        ----------
        now : float, optional
            Seconds since 1970, for the run's history.
        """
        row = row_codec.run_row(self._state)
        if row != self._run_row:
            self._run_row = row
            self._store.put(run_row.RUN_TABLE, run_row.RUN_ROW, row)
        row_codec.note_changes(self._store, self._state, now)

    def commit(self, now: float | None = None) -> bool:
        """Make everything durable that has changed; False if it could not be written.

        Parameters
        ----------
        now : float, optional
            Seconds since 1970, for the run's history.
        """
        self.note_changes(now)
        try:
            self._store.commit()
        except FileError as error:
            if not self.write_error:
                self._log.exception("journal_not_written", reason=str(error))
            self.write_error = f"{error} Clients wait until it can be written."
            return False
        self.write_error = ""
        return True

    def checkpoint_if_due(self, now: float) -> None:
        """Now and then begin a checkpoint in the background; one that fails is tried again."""
        if self._next_checkpoint is None:
            self._next_checkpoint = now + CHECKPOINT_INTERVAL
        try:
            self._store.checkpoint_runs()
        except FileError as error:
            self._log.exception("checkpoint_failed", reason=str(error))
        if self._is_due(now - self._next_checkpoint + CHECKPOINT_INTERVAL):
            self._next_checkpoint = now + CHECKPOINT_INTERVAL
            self.checkpoint()

    def _is_due(self, seconds: float) -> bool:
        """Whether the file is to be brought up to date, so long after the last time."""
        rows, lines = len(self._state.items), self._store.lines
        if seconds >= LARGE_INTERVAL and self._store.size > LARGE_SIZE:
            return True
        if seconds >= CHECKPOINT_INTERVAL:
            return rows <= MANY_ROWS or lines > rows / 20
        return seconds >= BUSY_INTERVAL and lines > max(BUSY_LINES, rows / 2)

    def checkpoint(self, *, wait: bool = False) -> None:
        """Bring the TinyDB file up to date, in the background unless `wait`.

        An error is logged, no more: the journal has everything.
        """
        try:
            self._checkpoint(wait)
        except FileError as error:
            self._log.exception("checkpoint_failed", reason=str(error))

    def _checkpoint(self, wait: bool) -> None:
        edited = self._store.keep_edited_file()
        if edited:
            row_codec.note_everything(self._store, self._state)
            self._store.put(run_row.RUN_TABLE, run_row.RUN_ROW, self._run_row)
        if wait:
            self._store.checkpoint(edited)
        elif edited or self._store.lines:
            self._store.begin_checkpoint(edited)
        self._log_remarks()

    def close(self) -> None:
        """Close the database."""
        self._store.close()

    def _log_remarks(self) -> None:
        for remark in self._store.remarks:
            self._log.warning("database_remark", remark=remark)
        self._store.remarks.clear()
