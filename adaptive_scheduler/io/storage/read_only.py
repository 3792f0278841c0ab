"""Reads a database that no manager holds, without changing it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import DatabaseError
from adaptive_scheduler.io.storage import files, journal
from adaptive_scheduler.io.storage import tinydb_file as storage
from adaptive_scheduler.io.storage.database import Database
from adaptive_scheduler.io.storage.tinydb_file import Tables

#: A fold that goes on while we read is met again only by a very busy manager.
_TRIES = 20


def read_tables(folder: RunFolder) -> Tables:
    """Read the TinyDB file with its journal; changes nothing, also while a manager writes.

    Raises
    ------
    DatabaseError
        There is no database, or it cannot be read.
    """
    for _ in range(_TRIES):
        before = _identity(folder.database)
        with suppress(FileNotFoundError):  # a segment that was folded between our two looks
            tables = _read_once(folder)
            if _identity(folder.database) == before:
                return tables
    raise DatabaseError(folder.database, "changes faster than it can be read. Try again.")


def _read_once(folder: RunFolder) -> Tables:
    tables = storage.AtomicStorage(folder.database).read()
    if tables is None:
        raise DatabaseError(folder.database, "does not exist. Name the database of a run.")
    if files.status(folder.journals) is not None:
        journal.replay_all(folder, storage.last_segment(tables), tables)
    return tables


def _identity(path: Path) -> files.FileIdentity | None:
    with files.naming(path, DatabaseError):
        return files.identity(path)


def put_aside(folder: RunFolder) -> Path:
    """Rename the database to ``NAME.old`` (or ``.old1``, …), brought up to date before.

    One that cannot be read is renamed as it is, with its journal.
    """
    try:
        store = Database(folder)
    except DatabaseError:
        pass  # what is damaged is kept, not mended
    else:
        store.checkpoint()
        store.close()
        for number in journal.segments(folder):  # empty ones: all is in the file
            journal.segment_path(folder, number).unlink()
    with files.naming(folder.database):
        kept = files.unused_name(folder.database.with_name(folder.database.name + ".old"))
        folder.database.rename(kept)
        if folder.journals.is_dir() and any(folder.journals.iterdir()):
            folder.journals.rename(files.unused_name(folder.journals.with_name("journal.old")))
    return kept
