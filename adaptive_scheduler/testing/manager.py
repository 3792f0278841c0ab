"""A manager without sockets, files or clock: the real dispatcher on a store in memory."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.commands import Command, Result
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.item_table import ItemTable
from adaptive_scheduler.core.rows.row import Item
from adaptive_scheduler.core.rows.run_state import RunState
from adaptive_scheduler.core.wire.messages import encode_reply
from adaptive_scheduler.io.storage import row_codec
from adaptive_scheduler.io.storage.database import Tables
from adaptive_scheduler.manager.dispatch import Dispatcher
from adaptive_scheduler.manager.jobs import JobManager
from adaptive_scheduler.testing.clock import Clock

#: The most jobs that one submit makes here.
_MAX_ARRAY = 1000


class MemoryStore:
    """A manager's store (`manager.persistence.RowStore`) without a disk.

    Parameters
    ----------
    tables : dict
        Table -> key -> row, as plain JSON values.

    Attributes
    ----------
    tables : dict
        What is durable.
    """

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.folder = RunFolder("/nowhere")
        self.remarks: list[str] = []
        self.lines = self.size = 0
        self._buffer: list[bytes | tuple[str, int, bytes]] = []
        self._facts: dict[tuple[str, int], bytes] = {}
        self._unwritten: dict[tuple[str, int], bytes] = {}
        self._functions: dict[str, bytes] = {}

    def take_tables(self) -> Tables:
        """Return a copy of what is durable, as a manager reads it that starts."""
        found: Tables = msgspec.json.decode(msgspec.json.encode(self.tables))
        return found

    def put(self, table: str, key: object, row: object) -> None:
        """Add a change to the buffer; it is durable after the next `commit`."""
        self._buffer.append(msgspec.json.encode((table, str(key), row)))

    def put_fact(self, table: str, item: int, data: bytes) -> None:
        """Note a fact; it is durable after the next `commit`."""
        self._buffer.append((table, item, data))
        self._unwritten[table, item] = data

    def fact(self, table: str, item: int) -> bytes | None:
        """Return a fact; None if there is none."""
        return self._unwritten.get((table, item), self._facts.get((table, item)))

    def put_function(self, key: str, data: bytes) -> None:
        """Note the pickle of a function."""
        self._functions[key] = data

    def has_function(self, key: str) -> bool:
        """Whether the pickle of a function is here."""
        return key in self._functions

    def commit(self) -> None:
        """Make the buffer durable."""
        self.crash(len(self._buffer))

    def crash(self, lines: int) -> None:
        """Keep only the first `lines` of the buffer, as a disk that loses power does."""
        for line in self._buffer[:lines]:
            if isinstance(line, tuple):
                self._facts[line[:2]] = line[2]
                continue
            table, key, row = msgspec.json.decode(line)
            self.tables.setdefault(table, {})[key] = row
        self._buffer.clear()
        self._unwritten.clear()

    @property
    def buffered(self) -> int:
        """Lines that are not durable yet."""
        return len(self._buffer)

    def keep_edited_file(self) -> bool:
        """Whether somebody else changed it: never."""
        return False

    def checkpoint(self, discard_file: bool = False) -> None:
        """Do nothing: there is no file to bring up to date."""

    def begin_checkpoint(self, discard_file: bool = False) -> None:
        """Do nothing: there is no file to bring up to date."""

    def checkpoint_runs(self) -> bool:
        """Whether a checkpoint is under way: never."""
        return False

    def close(self) -> None:
        """Commit."""
        self.commit()


class _Clocks:
    """A test's clock, as the dispatcher reads it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def time(self) -> float:
        return self._clock.moment.wall

    def monotonic(self) -> float:
        return self._clock.monotonic


class EventLog:
    """A log in memory.

    Attributes
    ----------
    events : list of (str, dict)
        Events and their facts.
    """

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def info(self, event: str, **facts: object) -> None:
        """Append an event."""
        self.events.append((event, facts))

    warning = exception = info


class _Sent:
    """Where a dispatcher sends: commands go nowhere."""

    def __init__(self, sent: list[tuple[bytes, bytes]]) -> None:
        self._sent = sent

    def send(self, connection: bytes, message: bytes) -> None:
        self._sent.append((connection, message))

    def send_command(self, command: Command) -> None:
        pass


class VirtualManager:
    """The steps of a manager, one at a time.

    Parameters
    ----------
    items : iterable of Item
        Of a new run.
    config : RunConfig
    clock : Clock

    Attributes
    ----------
    store : MemoryStore
    dispatcher : Dispatcher
        The real one; another after each `restart`.
    log : EventLog
    is_stopped : bool
        Whether its process would have ended by now.
    """

    def __init__(self, items: Iterable[Item], config: RunConfig, clock: Clock) -> None:
        self.config = config
        self.store = MemoryStore(row_codec.new_tables(list(items), None))
        self.log = EventLog()
        self._clock = clock
        self.restart()

    def restart(self, lines: int = 0) -> None:
        """Die during a commit of which `lines` were written, and start again."""
        self.store.crash(lines)
        self.is_stopped = False
        self.dispatcher = Dispatcher(
            self.store, self.config, self.log, "virtual:1", self._stop, _Clocks(self._clock)
        )
        self.dispatcher.submit_jobs(self.config, "virtual", _MAX_ARRAY, lambda _: None)

    def _stop(self) -> None:
        self.is_stopped = True

    @property
    def state(self) -> RunState:
        """What it knows of the run."""
        return self.dispatcher.state

    @property
    def items(self) -> ItemTable:
        """The items."""
        return self.state.items

    @property
    def jobs(self) -> JobManager:
        """The batch system's side."""
        return self.dispatcher.jobs

    def answer(self, message: bytes) -> bytes:
        """Answer one request; the reply may be delivered after `commit`."""
        number, reply = self.dispatcher.answer(message, self._clock.moment)
        assert reply is not None, "no request of this version"
        return encode_reply(number, reply)

    def step(self, messages: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Do what the real loop does with what has come; returns (connection, reply)."""
        sent: list[tuple[bytes, bytes]] = []
        self.dispatcher.step(messages, [], _Sent(sent))
        return sent

    def on_result(self, result: Result) -> list[Command]:
        """Take in a result; returns the commands that follow, to be carried out after `commit`."""
        return self.jobs.on_result(result, self._clock.moment)

    def commands_due(self) -> list[Command]:
        """Return the commands that are due, to be carried out after `commit`."""
        return self.dispatcher.decide([], self._clock.moment)

    def note(self) -> None:
        """Put all changes into the store's buffer: the first half of a commit."""
        self.dispatcher.persistence.note_changes()

    def commit(self) -> None:
        """Make everything durable."""
        self.dispatcher.persistence.commit()
