"""How all runs below a folder stand, for the index; asked for only while somebody looks."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import Phase
from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.runs.views import status
from adaptive_scheduler.runs.views.tables import duration

#: Seconds after which a run is asked again, and after which the folder is searched again.
FRESH, SEARCHED = 2.0, 15.0
#: Seconds that a manager may take to answer at each of its addresses.
PATIENCE = 3.0
#: Runs that are asked at once. One that hangs with its file system keeps its place.
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
        As `RunStatus`; "" as long as nothing is known.
    done, total : int
    kind : str
    failed : int
    jobs : int
    started : str
        How long ago it was begun.
    note : str
        What is wrong with it, or that what is shown is old.
    """

    key: str
    name: str
    state: str = ""
    done: int = 0
    total: int = 0
    kind: str = ""
    failed: int = 0
    jobs: int = 0
    started: str = ""
    note: str = ""


def key_of(folder: RunFolder) -> str:
    """Return what stands for a run in addresses: the same as long as it is at its place."""
    return hashlib.blake2b(os.fsencode(folder.folder), digest_size=8).hexdigest()


class _Entry:
    """A run, and what was last heard of it."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.snapshot: Snapshot | None = None
        self.asked = self.answered = -1e9
        self.is_asked = False
        self.error = ""
        self.was_over_at: object = None


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
        self._searched = -1e9

    def folder(self, key: str) -> RunFolder | None:
        """Return the run that a key stands for."""
        entry = self._entries.get(key)
        return None if entry is None else entry.folder

    def runs(self) -> list[RunFolder]:
        """Return all runs; searches for them if that is long ago."""
        with self._lock:
            if time.monotonic() - self._searched > SEARCHED:
                found = {key_of(run): run for run in self._find()}
                self._entries = {
                    key: self._entries.get(key) or _Entry(run) for key, run in found.items()
                }
                self._searched = time.monotonic()
            return [entry.folder for entry in self._entries.values()]

    def lines(self) -> list[RunLine]:
        """Return what is known of all runs, the newest first, without waiting; and ask those of which that is old."""
        self.runs()
        entries = list(self._entries.items())
        for _, entry in entries:
            self._refresh(entry)
        entries.sort(key=lambda pair: -_begun(pair[1].folder))
        return [self._line(key, entry) for key, entry in entries]

    def _refresh(self, entry: _Entry) -> None:
        if entry.is_asked or time.monotonic() - entry.asked < FRESH:
            return
        if not self._places.acquire(blocking=False):
            return
        entry.is_asked, entry.asked = True, time.monotonic()
        threading.Thread(target=self._ask, args=(entry,), name="index", daemon=True).start()

    def _ask(self, entry: _Entry) -> None:
        try:
            state = _state_on_disk(entry.folder)
            if entry.was_over_at is None or entry.was_over_at != state:
                entry.snapshot = _snapshot(entry.folder)
                is_over = entry.snapshot.over and not entry.snapshot.alive
                entry.was_over_at = state if is_over else None
            entry.answered, entry.error = time.monotonic(), ""
        except (AdaptiveSchedulerError, OSError) as error:
            entry.error = str(error)
        finally:
            entry.is_asked = False
            self._places.release()

    def _line(self, key: str, entry: _Entry) -> RunLine:
        line = RunLine(key, _relative(entry.folder.home, self._base))
        if begun := _begun(entry.folder):
            line.started = f"{duration(time.time() - begun)} ago"
        if (found := entry.snapshot) is not None:
            line.state, line.kind = status.word_of(found), found.kind
            line.done, line.total = found.phases.get(Phase.DONE, 0), found.total
            line.failed, line.jobs = found.phases.get(Phase.FAILED, 0), len(found.jobs)
        age = time.monotonic() - entry.answered
        if entry.error:
            line.note = entry.error
        elif found is not None and age > 5 * FRESH:
            line.note = f"does not answer; this is {duration(age)} old"
        return line


def _snapshot(folder: RunFolder) -> Snapshot:
    with ManagerClient(folder, PATIENCE) as client:
        return client.snapshot("none")


def _state_on_disk(folder: RunFolder) -> object:
    """What changes whenever the database does: a run that is over is not read again and again."""
    return [
        (found.st_mtime_ns, found.st_size)
        for path in (folder.database, folder.journals, folder.lock, folder.config)
        if (found := _stat(path)) is not None
    ]


def _begun(folder: RunFolder) -> float:
    """When it was begun, in seconds since 1970; 0 if it is gone."""
    found = _stat(folder.config)
    return 0.0 if found is None else found.st_mtime


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _relative(path: Path, base: Path) -> str:
    try:
        return str(path.relative_to(base))
    except ValueError:
        return str(path)
