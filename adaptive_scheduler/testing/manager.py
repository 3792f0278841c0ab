"""A manager without sockets, files or clock: the real books and both real managers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.commands import Result, Task
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.items import Item
from adaptive_scheduler.core.wire.messages import decode_request, encode_reply
from adaptive_scheduler.io.storage import row_codec as state
from adaptive_scheduler.io.storage.database import Tables
from adaptive_scheduler.manager.clients import DatabaseManager
from adaptive_scheduler.manager.jobs import JobManager
from adaptive_scheduler.testing.clock import Clock


class MemoryStore:
    """What `io.database.Database` is to a manager, without a disk.

    Parameters
    ----------
    tables : dict
        Table -> key -> row, as plain JSON values.
    """

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self._buffer: list[bytes] = []

    def put(self, table: str, key: object, row: object) -> None:
        """Note a change; it is durable after the next `commit`."""
        self._buffer.append(msgspec.json.encode((table, str(key), row)))

    def commit(self) -> None:
        """Make all noted changes durable."""
        self.crash(len(self._buffer))

    def crash(self, lines: int) -> None:
        """Keep only the first `lines` of what was noted, as a disk does that loses power."""
        for line in self._buffer[:lines]:
            table, key, row = msgspec.json.decode(line)
            self.tables.setdefault(table, {})[key] = row
        self._buffer.clear()


class VirtualManager:
    """The engine's turn, step by step.

    Parameters
    ----------
    items : iterable of Item
        Of a new run.
    config : RunConfig
    clock : Clock
    """

    def __init__(self, items: Iterable[Item], config: RunConfig, clock: Clock) -> None:
        self.config = config
        self.store = MemoryStore(state.new_tables(list(items), None))
        self._clock = clock
        self.restart()

    def restart(self, lines: int = 0) -> None:
        """Die before the commit, of which `lines` had been written, and begin again."""
        self.store.crash(lines)
        tables: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self.store.tables))
        book, jobs = state.open_books(
            tables, RunFolder("/nowhere"), self.config, self._clock.monotonic
        )
        row = state.read_run(tables)
        self.clients = DatabaseManager(book, jobs, {}, self.config)
        self.jobs = JobManager(self.clients, self.config, row.held)

    @property
    def book(self) -> Any:
        """The rows."""
        return self.clients.book

    def answer(self, message: bytes) -> bytes:
        """Step one request; nobody may see the reply before `commit`."""
        owner, number, request = decode_request(message)
        return encode_reply(number, self.clients.handle(owner, number, request, self._clock.moment))

    def take(self, result: Result) -> list[Task]:
        """Take in what the batch system said; the tasks may be carried out after `commit`."""
        return self.jobs.take(result, self._clock.moment)

    def tasks(self) -> list[Task]:
        """What is due; the tasks may be carried out after `commit`."""
        self.clients.book.wake_delayed(self._clock.monotonic)
        return self.jobs.tasks(self._clock.moment)

    def note(self) -> None:
        """Note all changes, the first half of a commit."""
        row = state.RunRow(self.jobs.notes.held, self.clients.closing, self.clients.jobs.pardoned)
        self.store.put(state.RUN_TABLE, state.RUN_ROW, row)
        state.note_changes(self.store, self.clients.book, self.clients.jobs)

    def commit(self) -> None:
        """Make everything durable."""
        self.note()
        self.store.commit()
        self.jobs.notes.log.clear()
