"""The journal of the database: segments of lines, each line a whole row."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import DatabaseError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.storage import fact_line
from adaptive_scheduler.io.storage.tinydb_file import ITEMS, Tables

#: The text of a row that is to be deleted.
_NULL = msgspec.Raw(b"null")
_decode = msgspec.json.Decoder(Any).decode

_SEGMENT = re.compile(r"(\d{8})\.jsonl")


def segment_path(folder: RunFolder, number: int) -> Path:
    """The file of one segment."""
    return folder.journals / f"{number:08d}.jsonl"


def segments(folder: RunFolder) -> list[int]:
    """Numbers of the journal's segments, oldest first."""
    with files.naming(folder.journals, DatabaseError):
        names = files.operations.names(folder.journals)
    return sorted(int(match[1]) for match in map(_SEGMENT.fullmatch, names) if match)


def replay(
    path: Path,
    tables: Tables,
    take_fact: Callable[[bytes], object] = lambda _: None,
    *,
    undecoded: bool = False,
) -> tuple[int, int]:
    """Apply one segment to `tables`; lines that are facts are given to `take_fact`.

    Parameters
    ----------
    path : Path
    tables : Tables
    take_fact : callable
    undecoded : bool
        Leave the rows of items as their text, as `tables` has them.

    Returns
    -------
    lines, torn : int
        Number of complete lines, and bytes of an incomplete one at the end.

    Raises
    ------
    FileNotFoundError
        A checkpoint has deleted it meanwhile.
    DatabaseError
        It cannot be read, or a complete line is damaged.
    """
    try:
        data = files.read(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DatabaseError(path, f"cannot be read: {error.strerror}.") from error
    whole, _, torn = data.rpartition(b"\n")
    lines = whole.splitlines() if whole else []
    decode = msgspec.json.Decoder(tuple[str, str, msgspec.Raw]).decode
    for number, line in enumerate(lines, 1):
        try:
            if line.startswith(fact_line.PREFIX):
                take_fact(line)
                continue
            table, key, text = decode(line)
            row = text if undecoded and table == ITEMS and text != _NULL else _decode(text)
        except ValueError as error:  # msgspec's are ValueErrors too
            raise DatabaseError(path, f"line {number} cannot be read: {error}.") from error
        rows = tables.setdefault(table, {})
        if row is None:
            rows.pop(key, None)
        else:
            rows[key] = row
    return len(lines), len(torn)


class TornLine(NamedTuple):
    """An incomplete last line of a manager that died; nothing in it was ever confirmed."""

    path: Path
    size: int


def replay_all(
    folder: RunFolder,
    after: int,
    tables: Tables,
    take_fact: Callable[[int, bytes], object] = lambda _number, _line: None,
    *,
    undecoded: bool = False,
) -> TornLine | None:
    """Apply all segments after number `after`, as `replay` does; changes no file.

    Returns
    -------
    TornLine or None
        The incomplete last line of the journal, which was left out.

    Raises
    ------
    FileNotFoundError
        A checkpoint has deleted a segment meanwhile: read the TinyDB file again.
    DatabaseError
        One cannot be read, is missing, or is damaged before the journal's end.
    """
    tail: TornLine | None = None
    numbers = [number for number in segments(folder) if number > after]
    for number in numbers:
        path = segment_path(folder, number)
        lines, torn = replay(path, tables, partial(take_fact, number), undecoded=undecoded)
        if tail is not None and (lines or torn):
            raise DatabaseError(
                tail.path, "is damaged in the middle of the journal. Nothing was changed."
            )
        tail = TornLine(path, torn) if torn else tail
    for number, following in pairwise(numbers):
        if following != number + 1:
            raise DatabaseError(
                segment_path(folder, number + 1),
                "is missing from the journal. Restore it; nothing was changed.",
            )
    return tail


def remove_torn_line(tail: TornLine) -> None:
    """Remove an incomplete last line; with lines behind it, it would count as damage."""
    with files.naming(tail.path, DatabaseError):
        fd = files.operations.open(tail.path, os.O_WRONLY)
        try:
            files.operations.truncate(fd, files.operations.fstat(fd).st_size - tail.size)
            files.operations.fsync(fd)
        finally:
            files.operations.close(fd)
