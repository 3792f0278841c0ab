"""Reads a database without opening it for writing, or puts it aside."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import DatabaseError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.storage import journal, tinydb_file
from adaptive_scheduler.io.storage.tinydb_file import Tables

if TYPE_CHECKING:
    from adaptive_scheduler.io.storage.facts import Facts

#: How often to try while checkpoints change the file; one repetition is nearly always enough.
_TRIES = 20


def read_tables(folder: RunFolder, *, undecoded: bool = False) -> Tables:
    """Read the TinyDB file and the journal; changes nothing, and works while a manager writes.

    Parameters
    ----------
    folder : RunFolder
    undecoded : bool
        Leave the rows of items as their text, for who wants another table or `row_codec`.

    Raises
    ------
    DatabaseError
        There is no database, or it cannot be read.
    """
    file = tinydb_file.AtomicStorage(folder.database)
    for _ in range(_TRIES):
        before = file.identity()
        with suppress(FileNotFoundError):  # a checkpoint deleted a segment meanwhile
            tables = _read_once(file, folder, undecoded=undecoded)
            if file.identity() == before:
                return tables
    raise DatabaseError(folder.database, "changes faster than it can be read. Try again.")


def read_with_facts(folder: RunFolder, *, undecoded: bool = False) -> tuple[Tables, Facts]:
    """Read all rows, and open the facts of tasks, which the caller closes; see `read_tables`."""
    from adaptive_scheduler.io.storage.facts import Facts

    file = tinydb_file.AtomicStorage(folder.database)
    for _ in range(_TRIES):
        before = file.identity()
        facts = Facts(folder.facts)
        with suppress(FileNotFoundError):  # a checkpoint deleted a segment meanwhile
            tables = _read_once(file, folder, facts.found, undecoded=undecoded)
            if file.identity() == before:
                return tables, facts
        facts.close()
    raise DatabaseError(folder.database, "changes faster than it can be read. Try again.")


def _read_once(
    file: tinydb_file.AtomicStorage,
    folder: RunFolder,
    take_fact: Callable[[int, bytes], object] = lambda _number, _line: None,
    *,
    undecoded: bool = False,
) -> Tables:
    tables = file.read(undecoded=undecoded)
    if tables is None:
        raise DatabaseError(folder.database, "does not exist. Restore it, or name another run.")
    if files.status(folder.journals) is not None:
        last = tinydb_file.last_segment(tables)
        journal.replay_all(folder, last, tables, take_fact, undecoded=undecoded)
    return tables


def put_aside(folder: RunFolder) -> Path:
    """Bring the database up to date and rename it to ``NAME.old`` (or ``.old1``, …).

    A damaged one is renamed as it is, with its journal. Returns its new path.
    """
    from adaptive_scheduler.io.storage import history_file
    from adaptive_scheduler.io.storage.database import Database

    try:
        store = Database(folder)
    except DatabaseError:
        pass  # damaged: kept as it is
    else:
        store.checkpoint()
        store.close()
        for number in journal.segments(folder):  # all rows are in the file
            journal.segment_path(folder, number).unlink()
    with files.naming(folder.database):
        kept = files.unused_name(folder.database.with_name(folder.database.name + ".old"))
        folder.database.rename(kept)
        history_file.put_aside(folder)
        if folder.journals.is_dir() and any(folder.journals.iterdir()):
            folder.journals.rename(files.unused_name(folder.journals.with_name("journal.old")))
    return kept
