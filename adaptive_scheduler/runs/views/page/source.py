"""Where a view has a run from: its manager, or its files. Several sessions may share one."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from operator import attrgetter
from typing import Any, Protocol

import msgspec

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.history.records import RunHistory
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import TASK, Item, Phase
from adaptive_scheduler.core.texts import NOT_DECODED
from adaptive_scheduler.core.wire.snapshot import ItemView, Snapshot
from adaptive_scheduler.errors import DatabaseError, InputError
from adaptive_scheduler.io.disk.lock import holder
from adaptive_scheduler.io.storage import row_codec
from adaptive_scheduler.io.storage.history_file import read_history
from adaptive_scheduler.io.storage.journal import JournalTail
from adaptive_scheduler.io.storage.read_only import read_tables
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.runs.manager_client import ManagerClient, snapshot_on_disk
from adaptive_scheduler.runs.views import render
from adaptive_scheduler.runs.views.drawing.background import Background
from adaptive_scheduler.runs.views.drawing.drawings import Drawings
from adaptive_scheduler.runs.views.page.messages import Detail, DoAction
from adaptive_scheduler.runs.views.page.pace import Pace
from adaptive_scheduler.runs.views.page.series import Sample, past
from adaptive_scheduler.runs.views.page.table import RowTable, table_of, with_changes

#: Seconds that the manager may take to answer.
TIMEOUT = 5.0
#: Seconds between two questions to the manager, and between two readings of the table.
INTERVAL = 2.0
#: Seconds that a view waits for what is read of an item; it shows the rest meanwhile.
PATIENCE = 0.5


class Source(Protocol):
    """What a `ViewSession` asks. A call may take a while."""

    def config(self) -> RunConfig:
        """Return the settings of the run."""

    def snapshot(self) -> Snapshot:
        """Return how the run stands, with its active and failed items; the same object if it is not new."""

    def past(self) -> list[Sample]:
        """Return what is known of cores and rate before anybody looked."""

    def table(self) -> RowTable:
        """Return all learners or tasks; the same object if nothing has changed."""

    def detail(self, item: int, with_plot: bool) -> Detail:
        """Return all about one item; its plot takes longest."""

    def carry_out(self, asked: DoAction) -> str:
        """Do what a button asks for, and return what it did."""


def written(folder: RunFolder) -> tuple[Any, ...]:
    """Tells whether anything was written: what a manager writes last."""
    found = []
    for path in (folder.database, folder.config):
        status = os.stat(path)  # noqa: PTH116  of many calls
        found.append((status.st_mtime_ns, status.st_size))
    return (*found, _last_journal(folder), holder(folder.lock) is not None)


def _last_journal(folder: RunFolder) -> tuple[str, int]:
    """Name and size of the journal's last segment; there is none before the first manager."""
    try:
        with os.scandir(folder.journals) as entries:
            return max(((one.name, one.stat().st_size) for one in entries), default=("", 0))
    except FileNotFoundError:
        return ("", 0)


class TableReader:
    """Reads all rows of a run, and then what is written of them: a row that changes is shown at once.

    Parameters
    ----------
    folder : RunFolder
    interval : float
        Seconds between two readings, at least.

    Attributes
    ----------
    items : list of Item
        As the disk had them when they were read last.
    """

    def __init__(self, folder: RunFolder, interval: float) -> None:
        self.items: list[Item] = []
        self._folder = folder
        self._pace = Pace(interval, share=0.02, longest=30.0)
        self._whole = Pace(interval, share=0.02, longest=30.0)
        self._tail = JournalTail(folder)
        self._table: RowTable | None = None
        self._shared = ""
        self._files: tuple[Any, ...] = ()
        self._active: Snapshot | None = None

    def hurry(self) -> None:
        """Read at once when it is asked next."""
        self._pace.hurry()
        self._whole.hurry()

    def table(self, snapshot: Snapshot) -> RowTable:
        """Return all learners or tasks; the same object if nothing has changed.

        Parameters
        ----------
        snapshot : Snapshot
            With the learners that run.
        """
        begun, table = time.monotonic(), self._table
        if table is None:
            table = self._table = self._read_all(snapshot)
        elif self._pace.is_due(begun):
            used = table.seconds  # to filter and sort it
            table = self._table = self._read_on(table, snapshot)
            self._pace.did(begun, time.monotonic() + used)
        return table

    def _read_all(self, snapshot: Snapshot) -> RowTable:
        begun, files, tail = time.monotonic(), written(self._folder), JournalTail(self._folder)
        with suppress(DatabaseError, OSError):  # no manager has made its folder yet
            tail.go_to_end()  # before, so that nothing is missed
        tables = read_tables(self._folder, undecoded=True)
        self.items = row_codec.read_items(tables, self._folder)
        self._files, self._tail = files, tail  # now: what could not be read is not known
        self._shared, self._active = render.common_folder(self.items), snapshot
        active = _known_better(snapshot, self.items)
        table = table_of(self.items, active, snapshot.kind, self._shared)
        self._whole.did(begun, time.monotonic())
        return table

    def _read_on(self, table: RowTable, snapshot: Snapshot) -> RowTable:
        """Take in what was written since the last time; all of it only where that is not known."""
        files, changed = written(self._folder), []
        if files != self._files:
            new = self._changed_items()
            if new is None:
                return self._read_all(snapshot) if self._whole.is_due(time.monotonic()) else table
            self._files, changed = files, new
        if not changed and (snapshot.kind == TASK or self._active is snapshot):
            return table
        shown_before = self._active.items if self._active is not None else ()
        self._active, active = snapshot, _known_better(snapshot, self.items)
        again = {view.id for view in shown_before} - active.keys()  # as the journal has them, now
        again |= {item.id for item in changed}
        rows = [self.items[n] for n in sorted(again) if n < len(self.items)]
        return with_changes(table, rows, active, self._shared)

    def _changed_items(self) -> list[Item] | None:
        """Take in the items that were written since the last time; None if some may be missing."""
        texts = self._tail.new_items()
        if texts is None:
            return None
        try:
            found = sorted(row_codec.decode_items(texts.values()), key=attrgetter("id"))
        except NOT_DECODED:
            self._tail.lose()
            return None
        n = len(self.items)
        new = [item.id for item in found if item.id >= n]
        if new != list(range(n, n + len(new))):
            self._tail.lose()
            return None
        for item in found:
            self.items[item.id : item.id + 1] = [item]
        return found


def _leave(most: int, kept: dict[int, Any]) -> None:
    """Forget the oldest but so many, while other threads keep and forget some, too."""
    for one in list(kept)[: max(0, len(kept) - most)]:
        kept.pop(one, None)


class KeptDetails:
    """What was read of tasks that are open: to read one of 100,000 takes a second, each time.

    Any thread may ask.

    Parameters
    ----------
    folder : RunFolder
    interval : float
        Seconds between two readings of one, at least.
    """

    #: Tasks that are kept: as many may be open in several windows.
    MOST = 8

    def __init__(self, folder: RunFolder, interval: float) -> None:
        self._folder = folder
        self._interval = interval
        self._kept: dict[int, tuple[Any, Pace, Detail]] = {}

    def forget(self) -> None:
        """Read them anew: they were changed."""
        self._kept.clear()

    def detail(self, item: int, phase: Phase, read: Callable[[], Detail]) -> Detail:
        """Return what is known; read only if anything was written, or it runs, and not too often."""
        begun, files = time.monotonic(), (written(self._folder), phase)
        kept = self._kept.get(item)
        if kept is None:
            _leave(self.MOST - 1, self._kept)
            pace = Pace(self._interval, share=0.02, longest=60.0)
        else:
            before, pace, found = kept
            is_still = before == files and phase is not Phase.RUNNING
            if is_still or not (before[1] != phase or pace.is_due(begun)):
                return found
        found = read()
        pace.did(begun, time.monotonic())
        self._kept[item] = files, pace, found
        return found


class OpenItems:
    """The items that are open in views: nobody waits long for what is read of them, or drawn.

    Parameters
    ----------
    folder : RunFolder
    interval : float
        Seconds between two readings of one, at least.
    """

    def __init__(self, folder: RunFolder, interval: float) -> None:
        self._folder = folder
        self._tasks = KeptDetails(folder, interval)
        self._readings: Background[Detail] = Background(PATIENCE)
        self._known: dict[int, Detail] = {}
        self._drawings = Drawings(folder)

    def forget(self) -> None:
        """Read them anew: they were changed."""
        self._tasks.forget()

    def close(self) -> None:
        """End what draws."""
        self._drawings.close()

    def detail(
        self,
        row: Item,
        view: Item | ItemView,
        snapshot: Snapshot,
        history: Callable[[], RunHistory],
        *,
        anew: bool,
    ) -> Detail:
        """Return all about one item; as it was, or the little that is known, while it is being read.

        Parameters
        ----------
        row : Item
            As the disk has it.
        view : Item or ItemView
            As the manager has it, if that knows more.
        snapshot : Snapshot
        history : callable
            Returns that of the run; called in another thread.
        anew : bool
            Draw its data again.
        """
        read = partial(self._read, row, view, snapshot, history)
        found = self._readings.read(row.id, read) or self._known.get(row.id)
        if found is None:
            facts = [("state", row.phase.value), ("", "Its files are being read …")]
            return Detail(row.id, f"{snapshot.kind} {row.id}", row.phase.value, facts)
        self._known[row.id] = found
        _leave(KeptDetails.MOST, self._known)
        if snapshot.kind == TASK:
            return found
        return msgspec.structs.replace(found, plot=self._drawings.plot(view, anew=anew))

    def _read(
        self,
        row: Item,
        view: Item | ItemView,
        snapshot: Snapshot,
        history: Callable[[], RunHistory],
    ) -> Detail:
        from adaptive_scheduler.runs.views.page import details  # with what it reads

        if snapshot.kind == TASK:
            read = partial(details.of_task, self._folder, row.id)
            return self._tasks.detail(row.id, row.phase, read)
        return details.of_learner(self._folder, view, snapshot, history())


class RunSource:
    """A run in a folder that is seen here. Any thread may ask; the manager is asked rarely.

    Parameters
    ----------
    folder : RunFolder
    interval : float
        Seconds between two questions to the manager.
    """

    def __init__(self, folder: RunFolder, interval: float = INTERVAL) -> None:
        self._folder = folder
        self._client = ManagerClient(folder, timeout=TIMEOUT)
        self._lock = threading.RLock()
        self._snapshots = Pace(interval, share=0.02, longest=15.0)
        self._histories = Pace(interval, share=0.02, longest=30.0)
        self._snapshot: Snapshot | None = None
        self._rows = TableReader(folder, interval)
        self._open = OpenItems(folder, interval)
        self._seen: dict[str, Any] = {}  # what snapshot and history were made of

    def close(self) -> None:
        """Close the connection to the manager, and end what draws."""
        self._client.close()
        self._open.close()

    def config(self) -> RunConfig:
        """Return the settings of the run."""
        return read_config(self._folder)

    # ------------------------------------------------------------------- snapshot

    def snapshot(self) -> Snapshot:
        """Return how the run stands, with its active and failed items."""
        with self._lock:
            begun = time.monotonic()
            if self._snapshot is None or self._snapshots.is_due(begun):
                self._snapshot = self._look(self._snapshot)
                self._snapshots.did(begun, time.monotonic())
            return self._snapshot

    def _look(self, last: Snapshot | None) -> Snapshot:
        """Ask the manager; if there is none read the files, but only if they have changed."""
        if self._client.lives():
            self._seen.pop("files", None)
            return self._client.snapshot("active")
        files = written(self._folder)
        if last is None or self._seen.get("files") != files:
            self._client.close()  # of a manager that has ended; the next one listens elsewhere
            last = snapshot_on_disk(self._folder, "active")
            self._seen["files"] = files
        return last

    # -------------------------------------------------------------------- history

    def past(self) -> list[Sample]:
        """Return what is known of cores and rate before anybody looked."""
        with self._lock:
            npoints = {view.id: view.npoints for view in self.snapshot().items}
            return past(self._read_history(), time.time(), npoints)

    def _read_history(self) -> RunHistory:
        """Return what has happened; read anew now and then, and only if something was written."""
        begun, files = time.monotonic(), written(self._folder)
        if "history" not in self._seen or (
            self._seen["told"] != files and self._histories.is_due(begun)
        ):
            self._seen["history"], self._seen["told"] = read_history(self._folder), files
            self._histories.did(begun, time.monotonic())
        found: RunHistory = self._seen["history"]
        return found

    # ---------------------------------------------------------------------- table

    def table(self) -> RowTable:
        """Return all learners or tasks, as the disk has them, and the manager those that run."""
        with self._lock:
            return self._rows.table(self.snapshot())

    # --------------------------------------------------------------------- detail

    def detail(self, item: int, with_plot: bool) -> Detail:
        """Return all about one item."""
        with self._lock:
            snapshot = self.snapshot()
            if not self._rows.items:
                self.table()
            if not 0 <= item < len(self._rows.items):
                raise InputError(f"There is no {snapshot.kind} {item} in this run.")
            view = self._view(item, next((one for one in snapshot.items if one.id == item), None))
            row = self._rows.items[item]
        # not under the lock: nobody else waits for what its log, its data or its code need
        return self._open.detail(row, view, snapshot, self._locked_history, anew=with_plot)

    def _locked_history(self) -> RunHistory:
        with self._lock:
            return self._read_history()

    def _view(self, item: int, view: ItemView | None) -> Item | ItemView:
        return view if view is not None else self._rows.items[item]

    def carry_out(self, asked: DoAction) -> str:
        """Do what a button asks for; what comes of it is read at once."""
        from adaptive_scheduler.runs.views.page.changes import carry_out

        text = carry_out(self._folder, asked)
        with self._lock:
            self._snapshots.hurry()
            self._rows.hurry()
            self._open.forget()
        return text


def _known_better(snapshot: Snapshot, items: Sequence[Item]) -> dict[int, ItemView]:
    """Learners of which the manager has told more than the journal: none that has changed since."""
    if snapshot.kind == TASK:
        return {}
    return {
        view.id: view
        for view in snapshot.items
        if view.id < len(items) and items[view.id].changed <= snapshot.time
    }
