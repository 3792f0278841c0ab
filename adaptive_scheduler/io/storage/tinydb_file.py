"""The database's TinyDB file: read and replaced as a whole."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import msgspec
import tinydb

from adaptive_scheduler.core.texts import NOT_DECODED
from adaptive_scheduler.errors import DatabaseError
from adaptive_scheduler.io.disk import files

#: TinyDB's own name for the table that `TinyDB(path).all()` shows.
ITEMS = "_default"
JOBS = "jobs"
SUBMITS = "submits"
COMBOS = "combos"
META = "_meta"

Tables = dict[str, dict[str, Any]]


class AtomicStorage(tinydb.Storage):
    """A TinyDB storage that never leaves a half-written file.

    Parameters
    ----------
    path : path-like
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def read(self, *, undecoded: bool = False) -> Tables | None:
        """Return all tables; None if there is no file. DatabaseError if it is not a TinyDB file.

        Parameters
        ----------
        undecoded : bool
            Leave the rows of items as their text (`msgspec.Raw`): a million of them are read in a
            third of the time and memory.
        """
        try:
            data = files.read(self.path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DatabaseError(self.path, f"cannot be read: {error.strerror}.") from error
        try:
            return _decode(data) if undecoded else msgspec.json.decode(data, type=Tables)
        except NOT_DECODED as error:
            raise DatabaseError(
                self.path,
                f"is not a TinyDB file ({error}). Restore it, or move it away to start anew.",
            ) from error

    def identity(self) -> files.FileIdentity | None:
        """The identity of the file; None if there is none. DatabaseError if it cannot be found out."""
        with files.naming(self.path, DatabaseError):
            return files.identity(self.path)

    def write(self, data: Tables) -> None:
        """Replace the file atomically, readable by its user only."""
        files.write_atomically(self.path, msgspec.json.encode(data), mode=0o600, kind=DatabaseError)


def _decode(data: bytes) -> Tables:
    """Decode all but the rows of items."""
    tables = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    items = tables.pop(ITEMS, None)
    decoded: Tables = {
        name: msgspec.json.decode(text, type=dict[str, Any]) for name, text in tables.items()
    }
    if items is not None:
        decoded[ITEMS] = msgspec.json.decode(items, type=dict[str, msgspec.Raw])
    return decoded


def create(path: Path, tables: Tables) -> None:
    """Write a new database file."""
    with files.naming(path, DatabaseError):
        files.make_folder(path.parent)
    AtomicStorage(path).write({**tables, META: {"1": meta(0)}})


def meta(segment: int) -> dict[str, Any]:
    """The row of the ``_meta`` table; `segment` is the last journal segment that is included."""
    return {"version": 1, "segment": segment, "written": time.strftime("%Y-%m-%dT%H:%M:%S%z")}


def last_segment(tables: Tables) -> int:
    """Number of the last journal segment that the file includes."""
    return int(tables.get(META, {}).get("1", {}).get("segment", 0))
