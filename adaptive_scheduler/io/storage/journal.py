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

_decode_line = msgspec.json.Decoder(tuple[str, str, msgspec.Raw]).decode
#: What begins the line of an item; and bytes of a line at most, as far as it is one of them.
_ITEM_LINE, _LONGEST_LINE = b'["%s",' % ITEMS.encode(), 2**20

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
    for number, line in enumerate(lines, 1):
        try:
            if line.startswith(fact_line.PREFIX):
                take_fact(line)
                continue
            table, key, text = _decode_line(line)
            row = text if undecoded and table == ITEMS and text != _NULL else _decode(text)
        except (msgspec.MsgspecError, ValueError) as error:  # before 0.21 no ValueErrors
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


class JournalTail:
    """Reads what a manager has written since the last time; whoever reads changes nothing.

    Parameters
    ----------
    folder : RunFolder
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._number, self._inode, self._offset = 0, 0, 0

    def go_to_end(self) -> None:
        """Leave out all that was written until now: who reads the tables afterwards has it.

        Raises
        ------
        DatabaseError
            The journal's folder cannot be read; there is none before the first manager.
        """
        self.lose()
        numbers = segments(self._folder)
        if numbers:
            with segment_path(self._folder, numbers[-1]).open("rb") as file:
                self._number, self._inode = numbers[-1], os.fstat(file.fileno()).st_ino
                end = file.seek(0, os.SEEK_END)
                begin = file.seek(max(0, end - _LONGEST_LINE))
                self._offset = begin + file.read().rfind(b"\n") + 1

    def new_items(self) -> dict[str, msgspec.Raw] | None:
        """Return the rows of items that were written since, the last of each.

        None: some may be missing, because a checkpoint has deleted what was not read yet, or the run
        was begun anew. Read the tables, then.
        """
        found: dict[str, msgspec.Raw] = {}
        try:
            is_whole = bool(self._number) and all(
                self._read(number, found) for number in self._following()
            )
        # deleted meanwhile; a line that is none
        except (OSError, ValueError, msgspec.MsgspecError, DatabaseError):
            is_whole = False
        if not is_whole:
            self.lose()
        return found if is_whole else None

    def lose(self) -> None:
        """From now on `new_items` knows nothing, until `go_to_end`."""
        self._number = 0

    def _following(self) -> range:
        """The segments from that which was read last; it need not be there any more."""
        return range(self._number, max([self._number, *segments(self._folder)]) + 1)

    def _read(self, number: int, found: dict[str, msgspec.Raw]) -> bool:
        """Read on; False if the segment is not the one that was read before."""
        with segment_path(self._folder, number).open("rb") as file:
            status = os.fstat(file.fileno())
            if number != self._number:
                self._number, self._inode, self._offset = number, status.st_ino, 0
            elif status.st_ino != self._inode or status.st_size < self._offset:
                return False
            file.seek(self._offset)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        for line in whole.splitlines():
            if line.startswith(_ITEM_LINE):
                _, key, found[key] = _decode_line(line)
        return True
