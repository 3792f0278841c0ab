"""How all runs below a folder stand, for the index; read from disk, and only while somebody looks."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.runs.reading.summaries import RunSummary, summaries
from adaptive_scheduler.runs.views.page.pace import Pace
from adaptive_scheduler.runs.views.tables import duration

#: Seconds between two readings of a run, and between two searches of the folder.
FRESH, SEARCHED = 2.0, 4.0
#: Runs that are read at once. One that hangs with its file system keeps its place.
MOST_THREADS = 16


class RunLine(msgspec.Struct):
    """A run in the index.

    Attributes
    ----------
    key : str
        Stands for it in addresses.
    name : str
        Its folder, as seen from the folder that was searched.
    state : str
        As `list` has it; "" as long as nothing is known.
    kind : str
    done, total, running, failed : int
    host : str
        Where its manager runs.
    started, changed : str
        How long ago.
    note : str
        Why it cannot be read, or that what is shown is old.
    """

    key: str
    name: str
    state: str = ""
    kind: str = ""
    done: int = 0
    total: int = 0
    running: int = 0
    failed: int = 0
    host: str = ""
    started: str = ""
    changed: str = ""
    note: str = ""


def key_of(folder: RunFolder) -> str:
    """Return what stands for a run in addresses: the same as long as it is at its place."""
    return hashlib.blake2b(os.fsencode(folder.folder), digest_size=8).hexdigest()


class _Entry:
    """A run, and what was last read of it."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.pace = Pace(FRESH, share=0.05)
        self.found: RunSummary | None = None
        self.read_at = time.monotonic()
        self.is_read = False

    def read(self) -> None:
        """Read it; `summaries` says what is wrong with one that cannot be read."""
        begun = time.monotonic()
        (self.found,) = summaries([self.folder])
        self.read_at = time.monotonic()
        self.pace.did(begun, self.read_at)


class RunBoard:
    """All runs of an index. Any number of threads may use it.

    Parameters
    ----------
    find : callable
        Returns the runs there are now.
    base : Path
        Their names are relative to it.
    """

    def __init__(self, find: Callable[[], Sequence[RunFolder]], base: Path) -> None:
        self._find = find
        self._base = base
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(MOST_THREADS)
        self._search = Pace(SEARCHED, share=0.02)

    def folder(self, key: str) -> RunFolder | None:
        """Return the run that a key stands for."""
        entry = self._entries.get(key)
        return None if entry is None else entry.folder

    def runs(self) -> list[RunFolder]:
        """Return all runs; searches for them if that is long ago."""
        with self._lock:
            begun = time.monotonic()
            if self._search.is_due(begun):
                found = {key_of(run): run for run in self._find()}
                self._entries = {
                    key: self._entries.get(key) or _Entry(run) for key, run in found.items()
                }
                self._search.did(begun, time.monotonic())
            return [entry.folder for entry in self._entries.values()]

    def lines(self) -> list[RunLine]:
        """Return what is known of all runs, what changed last first, and let them be read again.

        It waits for none of them.
        """
        self.runs()
        entries = list(self._entries.items())
        for _, entry in entries:
            self._refresh(entry)
        entries.sort(key=lambda pair: -pair[1].found.changed if pair[1].found else 0.0)
        now = time.time()
        return [self._line(key, entry, now) for key, entry in entries]

    def _refresh(self, entry: _Entry) -> None:
        """Read a run in a thread of its own, unless that is not due."""
        with self._lock:
            is_due = not entry.is_read and entry.pace.is_due(time.monotonic())
            if not is_due or not self._places.acquire(blocking=False):
                return
            entry.is_read = True
        threading.Thread(target=self._read, args=(entry,), name="index", daemon=True).start()

    def _read(self, entry: _Entry) -> None:
        try:
            entry.read()
        finally:
            entry.is_read = False
            self._places.release()

    def _line(self, key: str, entry: _Entry, now: float) -> RunLine:
        line = RunLine(key, os.path.relpath(entry.folder.home, self._base))
        if (found := entry.found) is not None:
            line.state, line.kind, line.host = found.state, found.kind, found.host
            line.done, line.total = found.done, found.total
            line.running, line.failed = (found.phases.get(p, 0) for p in ("running", "failed"))
            line.started, line.changed = _ago(now, found.started), _ago(now, found.changed)
            line.note = found.problem
        if entry.is_read and (age := time.monotonic() - entry.read_at) > 10 * FRESH:
            line.note = f"Its files do not answer; this is {duration(age)} old."
        return line


def _ago(now: float, then: float) -> str:
    return f"{duration(now - then)} ago" if then else ""
