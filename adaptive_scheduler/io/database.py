"""The database: a TinyDB file that people can open, and a journal that makes it durable.

Rows live in the manager's memory. Each change is one JSON line, appended to
the newest segment of the journal and synced before anybody is told. Now and
then a new segment is begun and a process of its own folds the older ones into
the TinyDB file: it writes a new file, syncs it and renames it. A row's line
holds the whole row, so that reading a line twice does no harm; the file's
``_meta`` table names the last segment that it holds.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import tinydb

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import DatabaseError
from adaptive_scheduler.io import files

#: TinyDB's own name for the table that `TinyDB(path).all()` shows.
ITEMS = "_default"
JOBS = "jobs"
SUBMITS = "submits"
COMBOS = "combos"
META = "_meta"

Tables = dict[str, dict[str, Any]]

_SEGMENT = re.compile(r"(\d{8})\.jsonl")


class AtomicStorage(tinydb.Storage):
    """A TinyDB storage that never leaves a half-written file.

    Parameters
    ----------
    path : path-like
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def read(self) -> Tables | None:
        """Return all tables; None if there is no file. DatabaseError if it is not TinyDB's."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DatabaseError(self.path, f"cannot be read: {error.strerror}.") from error
        try:
            return msgspec.json.decode(data, type=Tables)
        except msgspec.MsgspecError as error:
            raise DatabaseError(
                self.path,
                f"is not a TinyDB file ({error}). Restore it, or move it away to start anew.",
            ) from error

    def write(self, data: Tables) -> None:
        """Replace the file in one step, private to its user."""
        files.write_atomically(self.path, msgspec.json.encode(data), mode=0o600)


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

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.remarks: list[str] = []
        files.private_folder(folder.folder)
        files.private_folder(folder.journals)
        self.tables: Tables = {}
        self._segment = self._load()
        self._appender = self._begin_segment()
        self._buffer: list[bytes] = []
        self._encoder = msgspec.json.Encoder()
        self._folding: subprocess.Popen[bytes] | None = None
        self._stamp = _stamp(folder.database)
        self.lines = 0  # since the last fold

    # ------------------------------------------------------------------- reading

    def _path(self, segment: int) -> Path:
        return self.folder.journals / f"{segment:08d}.jsonl"

    def _begin_segment(self) -> files.Appender:
        appender = files.Appender(self._path(self._segment), mode=0o600, kind=DatabaseError)
        with files.naming(appender.path, DatabaseError):
            files.sync_folder(self.folder.journals)  # its name must survive a power cut, too
        return appender

    def _load(self) -> int:
        """Read file and journal; the fold of a manager that just died may end meanwhile."""
        while True:
            before = _stamp(self.folder.database)
            tables = AtomicStorage(self.folder.database).read()
            if tables is None:
                raise DatabaseError(
                    self.folder.database, "does not exist. Make it with create_empty_db."
                )
            self.tables = tables
            try:
                segment = self._replay()
            except FileNotFoundError:
                continue  # folded between our two looks
            if _stamp(self.folder.database) == before:
                return segment

    def _replay(self) -> int:
        """Apply the segments that the file lacks; returns the number of a new one."""
        last = int(self.tables.get(META, {}).get("1", {}).get("segment", 0))
        found = segments(self.folder)
        for number in found:
            if number > last:
                torn = replay(self._path(number), self.tables)
                if torn and number != found[-1]:
                    raise DatabaseError(
                        self._path(number),
                        "is damaged in the middle of the journal. Nothing was changed.",
                    )
                if torn:
                    _drop_tail(self._path(number), torn)
                    self.remarks.append(
                        f"dropped a torn last line of {self._path(number)} ({torn} bytes)"
                    )
        return max([last, *found]) + 1

    # ------------------------------------------------------------------- writing

    def put(self, table: str, key: object, row: object) -> None:
        """Note a change; it is durable after the next `commit`. None removes the row."""
        self._buffer.append(self._encoder.encode((table, str(key), row)))

    def commit(self) -> None:
        """Write all noted changes and sync them once. Answer nobody before."""
        if not self._buffer:
            return
        self._appender.append(b"\n".join(self._buffer) + b"\n")
        self._appender.sync()
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

    def begin_fold(self, anew: bool = False) -> None:
        """Begin a new segment and let another process fold the older ones.

        Parameters
        ----------
        anew : bool
            The journal holds every row, so that the file's own are not needed.
        """
        if self.fold_runs():
            return
        self.commit()
        before, self._segment = self._segment, self._segment + 1
        self._appender.close()
        self._appender = self._begin_segment()
        self.lines = 0
        argv = [str(self.folder.database), str(before), str(os.getpid()), "anew" * anew]
        self._folding = subprocess.Popen(
            [sys.executable, "-P", "-m", "adaptive_scheduler.io.folding", *argv],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def fold_runs(self) -> bool:
        """Whether a fold is under way; reaps one that has ended. DatabaseError if it failed."""
        if self._folding is None:
            return False
        rc = self._folding.poll()
        if rc is None:
            return True
        self._folding = None
        if rc:
            self.lines += 1  # so that it is tried again
            raise DatabaseError(
                self.folder.database,
                f"could not be brought up to date (exit status {rc}); the journal holds all.",
            )
        self._stamp = _stamp(self.folder.database)
        return False

    def fold(self, anew: bool = False) -> None:
        """Fold now and wait: the file is exact afterwards."""
        if self._folding is not None:
            self._folding.wait()
        with suppress(DatabaseError):  # of the one that ran: this one does its work too
            self.fold_runs()
        self.begin_fold(anew)
        assert self._folding is not None
        self._folding.wait()
        self.fold_runs()

    def keep_edited(self) -> bool:
        """Keep the file if somebody else changed it, and say so.

        Returns
        -------
        bool
            Whether it is not ours any more: then `put` every row again, and fold anew.
        """
        path = self.folder.database
        if self.fold_runs() or _stamp(path) == self._stamp:
            return False
        remark = f"{path} was removed by somebody else; it is written anew"
        if path.exists():
            kept = _unused(path.with_name(path.name + ".edited"))
            with files.naming(kept, DatabaseError):
                shutil.copy2(path, kept)
            remark = f"{path} was changed by somebody else; that file is kept as {kept}"
        self.remarks.append(remark)
        return True


def segments(folder: RunFolder) -> list[int]:
    """Numbers of the journal's segments, oldest first."""
    names = (_SEGMENT.fullmatch(path.name) for path in folder.journals.iterdir())
    return sorted(int(match[1]) for match in names if match)


def replay(path: Path, tables: Tables) -> int:
    """Apply one segment to `tables`; returns the bytes of a torn last line."""
    data = path.read_bytes()
    whole, _, torn = data.rpartition(b"\n")
    decode = msgspec.json.Decoder(tuple[str, str, Any]).decode
    for number, line in enumerate(whole.splitlines() if whole else (), 1):
        try:
            table, key, row = decode(line)
        except msgspec.MsgspecError as error:
            raise DatabaseError(path, f"line {number} cannot be read: {error}.") from error
        rows = tables.setdefault(table, {})
        if row is None:
            rows.pop(key, None)
        else:
            rows[key] = row
    return len(torn)


def _drop_tail(path: Path, torn: int) -> None:
    """Remove a torn last line: the next manager must not take it for damage in the middle."""
    files.write_atomically(path, path.read_bytes()[:-torn], mode=0o600)


def create(path: Path, tables: Tables) -> None:
    """Write a new database file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    AtomicStorage(path).write({**tables, META: {"1": meta(0)}})


def meta(segment: int) -> dict[str, Any]:
    """What the file says of itself: `segment` is the last one that it holds."""
    return {"version": 1, "segment": segment, "written": time.strftime("%Y-%m-%dT%H:%M:%S%z")}


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _unused(path: Path) -> Path:
    candidates = (path.with_name(f"{path.name}{n or ''}") for n in range(1000))
    return next(candidate for candidate in candidates if not candidate.exists())
