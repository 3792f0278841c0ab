"""Make durable what the manager decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adaptive_scheduler.errors import FileError
from adaptive_scheduler.io.storage import row_codec as state
from adaptive_scheduler.io.storage.database import Database
from adaptive_scheduler.manager.clients import DatabaseManager

#: Seconds between two folds of the journal into the TinyDB file.
FOLD_INTERVAL = 50.0


class Persistence:
    """Writes what changed in the books, and folds it into the file that people open.

    Parameters
    ----------
    store : Database
        Just opened; its tables are given up: the rows live in the books from here on.
    clients : DatabaseManager
        Has the books.
    run_row : RunRow
        As the database has it.
    combos : mapping of int to object
        Combinations of parameters by row.
    log : structlog.BoundLogger

    Attributes
    ----------
    stuck : str
        Why nothing can be written just now; "" while it can.
    """

    def __init__(
        self,
        store: Database,
        clients: DatabaseManager,
        run_row: state.RunRow,
        combos: Mapping[int, Any],
        log: Any,
    ) -> None:
        self.stuck = ""
        self._store = store
        self._clients = clients
        self._run_row = run_row
        self._combos = combos
        self._log = log
        self._next_fold: float | None = None
        store.tables = {}
        self._say_remarks()

    def commit(self, held: str) -> bool:
        """Make everything durable that has changed; False while the disk does not take it.

        Parameters
        ----------
        held : str
            Why nothing is submitted: what the next manager must know of this one.
        """
        row = state.RunRow(held, self._clients.closing, self._clients.jobs.pardoned)
        if row != self._run_row:
            self._run_row = row
            self._store.put(state.RUN_TABLE, state.RUN_ROW, row)
        state.note_changes(self._store, self._clients.book, self._clients.jobs)
        try:
            self._store.commit()
        except FileError as error:
            if not self.stuck:
                self._log.exception("journal_not_written", reason=str(error))
            self.stuck = f"{error} Clients wait until it can be written."
            return False
        self.stuck = ""
        return True

    def fold_if_due(self, now: float) -> None:
        """Now and then begin a fold in the background; one that fails is tried again."""
        if self._next_fold is None:
            self._next_fold = now + FOLD_INTERVAL
        try:
            self._store.checkpoint_runs()
        except FileError as error:
            self._log.exception("fold_failed", reason=str(error))
        if now >= self._next_fold:
            self._next_fold = now + FOLD_INTERVAL
            self.fold()

    def fold(self, *, wait: bool = False) -> None:
        """Bring the TinyDB file up to date, in the background unless `wait`.

        Where the disk does not take it, the journal beside the file holds all: no reason to end.
        """
        try:
            self._fold(wait)
        except FileError as error:
            self._log.exception("fold_failed", reason=str(error))

    def _fold(self, wait: bool) -> None:
        edited = self._store.keep_edited_file()
        if edited:
            books = self._clients.book, self._clients.jobs
            state.note_everything(self._store, *books, self._combos)
            self._store.put(state.RUN_TABLE, state.RUN_ROW, self._run_row)
        if wait:
            self._store.checkpoint(edited)
        elif edited or self._store.lines:
            self._store.begin_checkpoint(edited)
        self._say_remarks()

    def close(self) -> None:
        """Close the database."""
        self._store.close()

    def _say_remarks(self) -> None:
        for remark in self._store.remarks:
            self._log.warning("database_remark", remark=remark)
        self._store.remarks.clear()
