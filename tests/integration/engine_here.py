"""A run whose manager is a thread of the test's own process, so that a test sees what it answers."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from adaptive_scheduler.core.rows.events import Claimed, Event
from adaptive_scheduler.core.rows.item_table import ItemTable
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.core.wire.messages import Idle
from adaptive_scheduler.io.storage.run_config import read_config, write_config
from adaptive_scheduler.manager.clients import DatabaseManager
from adaptive_scheduler.manager.engine import Engine
from adaptive_scheduler.runs.start.prepare import prepare
from adaptive_scheduler.server_support import RunManager


class EngineHere:
    """The manager of a run that was described, but not started.

    Parameters
    ----------
    run : RunManager
    **timing
        Of `core.config.Timing`, for the manager and the clients.
    """

    def __init__(self, run: RunManager, **timing: float) -> None:
        assert run._plan is not None
        run._row_of = prepare(run._plan, run.folder).row_of
        config = read_config(run.folder)
        config = msgspec.structs.replace(
            config, timing=msgspec.structs.replace(config.timing, **timing)
        )
        write_config(run.folder, config)
        self.run = run
        self.failure: BaseException | None = None
        self.engine = Engine(run.folder, config, run._plan.scheduler)
        self._thread = threading.Thread(target=self._serve, name="engine", daemon=True)

    def _serve(self) -> None:
        try:
            self.engine.run()
        except BaseException as error:
            self.failure = error

    @contextmanager
    def serving(self) -> Iterator[EngineHere]:
        """Serve; at the end cancel what is left, so that no job stays."""
        self._thread.start()
        try:
            yield self
        finally:
            if self._thread.is_alive():
                self.run.cancel()
                self._thread.join(40)
            self.engine.stop()
            self._thread.join(20)
            if self.failure is not None:
                raise self.failure

    def until(self, condition: Callable[[], Any], timeout: float) -> Any:
        """Wait for something to be true while the manager lives; returns it."""
        deadline = time.monotonic() + timeout
        while not (found := condition()):
            assert self.failure is None, self.failure
            assert time.monotonic() < deadline, self.run.status().text
            time.sleep(0.1)
        return found

    def wait(self, timeout: float) -> None:
        """Wait until the manager ends by itself."""
        self._thread.join(timeout)
        assert not self._thread.is_alive(), self.run.status().text


class Watch:
    """Notes who held which item, and who was told that nothing is free while something was."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, good: Callable[[int], bool]) -> None:
        self.claims: dict[int, list[float]] = defaultdict(list)
        self.held: dict[int, float] = defaultdict(float)
        self.idle = 0
        self.starved: list[tuple[str, int]] = []
        apply, handle = ItemTable.apply, DatabaseManager.handle

        def watched_apply(table: ItemTable, row: int, event: Event, now: float) -> Any:
            before = table.rows[row]
            after = apply(table, row, event, now)
            self._note(before, after, event)
            return after

        def watched_handle(clients: DatabaseManager, owner: Any, *more: Any) -> Any:
            reply = handle(clients, owner, *more)
            if isinstance(reply, Idle):
                self.idle += 1
                self.starved += [
                    (owner.job, row.id)
                    for row in clients._state.items.rows
                    if row.phase is Phase.QUEUED and good(row.id)
                ]
            return reply

        monkeypatch.setattr(ItemTable, "apply", watched_apply)
        monkeypatch.setattr(DatabaseManager, "handle", watched_handle)

    def _note(self, before: Item, after: Any, event: Event) -> None:
        if not isinstance(after, Item) or after is before:
            return
        now = time.monotonic()
        if before.phase is Phase.RUNNING:
            self.held[before.id] += now - self.claims[before.id][-1]
        if isinstance(event, Claimed) and after.phase is Phase.RUNNING:
            self.claims[after.id].append(now)
