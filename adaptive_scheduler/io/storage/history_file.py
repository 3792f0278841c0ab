"""Keeps a run's history beside its database, and reads it with what the journal has since."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from adaptive_scheduler.core.history.bins import FIRST_WIDTH, LONGEST
from adaptive_scheduler.core.history.fold import HistoryFold, RowChange
from adaptive_scheduler.core.history.records import VERSION, RunHistory
from adaptive_scheduler.core.history.thin import thin
from adaptive_scheduler.core.jobs.records import JobRecord
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.tasks.pools import Pool
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.errors import DatabaseError, FileError, RunError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.storage import fact_line, journal, row_codec, tinydb_file
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.io.storage.tinydb_file import Tables

#: How often to look anew while checkpoints change the file; once is nearly always enough.
_TRIES = 20

_decode_line = msgspec.json.Decoder(tuple[str, str, msgspec.Raw]).decode
_decode_row = msgspec.json.Decoder(RowChange).decode
_NULL = msgspec.Raw(b"null")
#: What the row of an item that runs has in it, and hardly another.
_RUNNING = b'"running"'


def read_history(folder: RunFolder) -> RunHistory:
    """Return what has happened in a run so far; changes nothing, and works while a manager writes.

    Of a run that was begun by a version without a history it has what the database tells.

    Parameters
    ----------
    folder : RunFolder

    Raises
    ------
    DatabaseError
        The run's database cannot be read.
    FileError
        Checkpoints replaced its files again and again while they were read.
    """
    history = None
    for _ in range(_TRIES):
        before = files.identity(folder.history)
        with suppress(FileNotFoundError):  # a checkpoint deleted a segment meanwhile
            history = _open(folder, lambda: _tables(folder))
            if files.status(folder.journals) is not None:  # made by the first manager
                _take_segments(folder, history, journal.segments(folder))
            if files.identity(folder.history) == before:
                return history
    if history is None:
        raise FileError(
            folder.journals,
            f"its segments were deleted while they were read, {_TRIES} times in a row. "
            "Ask again in a moment.",
        )
    return history


def open_history(folder: RunFolder, tables: Tables) -> RunHistory:
    """Return the history up to the last checkpoint, or begin one.

    Parameters
    ----------
    folder : RunFolder
    tables : Tables
        As the last checkpoint has left them in the database's file.
    """
    return _open(folder, lambda: tables)


def _open(folder: RunFolder, tables: Callable[[], Tables]) -> RunHistory:
    history = _read_file(folder)
    if history is None:
        return _begin(folder, tables())
    with suppress(DatabaseError):  # no manager has made its folder yet
        if journal.segments(folder)[:1] > [history.segment + 1]:
            _bridge(history, tables())
    return history


def extend(folder: RunFolder, history: RunHistory, numbers: Iterable[int]) -> None:
    """Add segments of the journal, and write the file, before the checkpoint deletes them.

    Raises
    ------
    FileError
        It cannot be written; what is missing in it then stays so.
    """
    _take_segments(folder, history, numbers)
    thin(history)
    files.write_atomically(folder.history, msgspec.msgpack.encode(history), mode=0o600)


def _read_file(folder: RunFolder) -> RunHistory | None:
    """Return what the file has; None if there is none that this version can read."""
    try:
        history = msgspec.msgpack.decode(files.read(folder.history), type=RunHistory)
    except (OSError, msgspec.MsgspecError, ValueError):  # also of text that is not UTF-8
        return None  # it is begun anew, with what the database tells
    if not _is_sound(history):
        return None
    numbers = journal.segments(folder)
    is_of_former = bool(numbers) and history.segment > numbers[-1]  # of a run that was removed
    return history if history.version == VERSION and not is_of_former else None


def _is_sound(history: RunHistory) -> bool:
    """Whether what refers to something finds it: else a byte of the file was changed."""
    jobs, reasons, bins = range(len(history.jobs)), range(-1, len(history.reasons)), history.bins
    sums = (bins.held, bins.used, bins.ended, bins.points)
    return (
        all(one.job in jobs and one.reason in reasons for one in history.stretches)
        and all(one.job in jobs for one in history.running.values())
        and len({len(one) for one in sums}) == 1
        and FIRST_WIDTH <= bins.width <= LONGEST
        and 0.0 <= bins.begin < math.inf
    )


def _tables(folder: RunFolder) -> Tables:
    return tinydb_file.AtomicStorage(folder.database).read(undecoded=True) or {}


def _begin(folder: RunFolder, tables: Tables) -> RunHistory:
    """Begin a history with what the database's file has of what was before."""
    history = RunHistory(segment=tinydb_file.last_segment(tables))
    history.is_complete = history.segment == 0
    with suppress(RunError):
        config = read_config(folder)
        history.kind = config.kind
        history.cores.of_jobs = {n: shape.cores for n, shape in enumerate(config.shapes)}
    _take_tables(HistoryFold(history), tables)
    return history


def _bridge(history: RunHistory, tables: Tables) -> None:
    """Take in what the database tells of segments that were deleted before the history had them.

    A manager of a version without a history has written checkpoints meanwhile, or the history could not
    be written. Without this, a job that ended then would hold its cores for ever.
    """
    history.is_complete = False
    fold, items = HistoryFold(history), tables.get(tinydb_file.ITEMS, {})
    for key in map(str, list(history.running)):  # these have their jobs already, and end them
        if key in items:
            _take(fold, tinydb_file.ITEMS, key, _text(items[key]))
    _take_tables(fold, tables)


def _take_tables(fold: HistoryFold, tables: Tables) -> None:
    for table in (row_codec.POOLS, row_codec.RESOURCES, tinydb_file.JOBS, tinydb_file.ITEMS):
        for key, row in tables.get(table, {}).items():
            text = _text(row)
            if table != tinydb_file.ITEMS or _RUNNING in bytes(text):
                _take(fold, table, key, text)


def _text(row: Any) -> msgspec.Raw:
    return row if type(row) is msgspec.Raw else msgspec.Raw(msgspec.json.encode(row))


def _take_segments(folder: RunFolder, history: RunHistory, numbers: Iterable[int]) -> None:
    fold = HistoryFold(history)
    for number in numbers:
        if number > history.segment:
            _take_segment(files.read(journal.segment_path(folder, number)), fold)
            history.segment = number


def _take_segment(data: bytes, fold: HistoryFold) -> None:
    """Take in the whole lines of a segment; one that is torn was never confirmed."""
    whole, _, _ = data.rpartition(b"\n")
    for line in whole.splitlines():
        if line.startswith(fact_line.PREFIX):
            continue
        with suppress(msgspec.MsgspecError, ValueError):
            _take(fold, *_decode_line(line))


def _take(fold: HistoryFold, table: str, key: str, text: msgspec.Raw) -> None:
    """Take in one row; one that cannot be read is left out: the database's own reader tells of it."""
    take = _TAKERS.get(table)
    if take is not None and text != _NULL:
        with suppress(msgspec.MsgspecError, ValueError):  # or of a key that is no number
            take(fold, key, text)


def _take_item(fold: HistoryFold, _key: str, text: msgspec.Raw) -> None:
    fold.take_row(_decode_row(text))


def _take_job(fold: HistoryFold, _key: str, text: msgspec.Raw) -> None:
    fold.take_job(msgspec.json.decode(text, type=JobRecord))


def _take_clock(fold: HistoryFold, _key: str, text: msgspec.Raw) -> None:
    fold.take_clock(msgspec.json.decode(text, type=row_codec.ClockRow).time)


def _take_pool(fold: HistoryFold, key: str, text: msgspec.Raw) -> None:
    cores = msgspec.json.decode(text, type=Pool).resources.cores
    fold.history.cores.of_jobs[int(key)] = cores


def _take_resources(fold: HistoryFold, key: str, text: msgspec.Raw) -> None:
    cores = _cores(msgspec.json.decode(text, type=TaskResources))
    fold.history.cores.of_tasks[int(key)] = cores


def _cores(task: TaskResources) -> int:
    return task.nodes * task.cores_per_node


#: What is taken in of the journal, by its tables.
_TAKERS: Mapping[str, Callable[[HistoryFold, str, msgspec.Raw], Any]] = {
    tinydb_file.ITEMS: _take_item,
    tinydb_file.JOBS: _take_job,
    row_codec.CLOCK_TABLE: _take_clock,
    row_codec.POOLS: _take_pool,
    row_codec.RESOURCES: _take_resources,
}


def put_aside(folder: RunFolder) -> None:
    """Rename the file with its database: that of another run is not to be mistaken for it."""
    with files.naming(folder.history, FileError), suppress(FileNotFoundError):
        folder.history.rename(files.unused_name(folder.history.with_name("history.old")))
