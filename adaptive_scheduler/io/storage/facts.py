"""Facts: what is written once and never changes, such as a task's arguments and its result.

A row is small and its last state counts, so rows are folded into one file. A fact may be large and
is read seldom: in memory there is only where it lies. Like a row it begins as a line of the
journal, so that both are durable with one sync. The checkpoint then copies the lines of a segment
of the journal, as they are, to ``facts/SEGMENT.jsonl``, and writes beside it where each begins
(``SEGMENT.index``), so that a million facts are found again without reading them.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.errors import DatabaseError
from adaptive_scheduler.io.disk import files

if TYPE_CHECKING:
    import numpy as np

#: Kinds of facts; their places in this list are stored.
TABLES = ("spec", "value", "error", "path", "times")
_NUMBERS = {name: number for number, name in enumerate(TABLES)}
_LINE = re.compile(rb'\["f:([a-z]+)","([0-9]+)","([A-Za-z0-9+/=]*)"\]')
_INDEX = re.compile(r"([0-9]+)\.index")
#: Files that are open for reading, at most: each checkpoint makes one, in a long run thousands.
MOST_OPEN = 64
#: What begins the line of a fact, and of nothing else, in the journal.
PREFIX = b'["f:'
#: One entry of an index: table, item, where its line begins, and its length.
_ENTRY = [("table", "u1"), ("item", "<u4"), ("offset", "<u8"), ("length", "<u4")]


def line(table: str, item: int, data: bytes) -> bytes:
    """Return the journal's line of a fact, without its newline."""
    return b'["f:%s","%d","%s"]' % (table.encode(), item, base64.b64encode(data))


def parse(text: bytes) -> tuple[str, int, bytes]:
    """Return table, item and data of a line; ValueError for any other line."""
    match = _LINE.fullmatch(text)
    if match is None or match[1].decode() not in _NUMBERS:
        raise ValueError("not a fact of this version")
    return match[1].decode(), int(match[2]), base64.b64decode(match[3])


class Facts:
    """The facts of a run.

    Parameters
    ----------
    folder : Path
        Their folder, made if it is missing.

    Raises
    ------
    DatabaseError
        An index cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        files.private_folder(folder)
        self._recent: dict[int, dict[tuple[int, int], bytes]] = {}  # by segment
        self._where: list[dict[str, Any]] = [{} for _ in TABLES]  # by table: arrays by item
        self._open: dict[int, int] = {}
        with files.naming(folder, DatabaseError):
            names = files.operations.names(folder)
        for segment in sorted(int(match[1]) for match in map(_INDEX.fullmatch, names) if match):
            self._read_index(segment)

    def note(self, segment: int, table: str, item: int, data: bytes) -> bytes:
        """Keep a fact that goes into a segment of the journal; returns its line."""
        self._recent.setdefault(segment, {})[_NUMBERS[table], item] = data
        return line(table, item, data)

    def found(self, segment: int, text: bytes) -> None:
        """Take in a line that a segment of the journal already has."""
        table, item, data = parse(text)
        self._recent.setdefault(segment, {})[_NUMBERS[table], item] = data

    def copied(self, last: int) -> None:
        """The checkpoint has copied all segments up to `last`: they are read from there now."""
        for segment in sorted(number for number in self._recent if number <= last):
            self._read_index(segment)
            del self._recent[segment]

    def get(self, table: str, item: int) -> bytes | None:
        """Return a fact; None if there is none.

        Raises
        ------
        DatabaseError
            It was there, but cannot be read.
        """
        number = _NUMBERS[table]
        for segment in reversed(self._recent):
            found = self._recent[segment].get((number, item))
            if found is not None:
                return found
        where = self._where[number]
        if not where or item >= len(where["length"]) or not (length := where["length"].item(item)):
            return None
        return self._read(where["segment"].item(item), where["offset"].item(item), length)

    def close(self) -> None:
        """Close the files that were read."""
        while self._open:
            self._close_first()

    def _read(self, segment: int, offset: int, length: int) -> bytes:
        path = lines_path(self._folder, segment)
        with files.naming(path, DatabaseError):
            text = files.operations.read_at(self._opened(segment, path), length, offset)
        try:
            return parse(text)[2]
        except ValueError as error:
            raise DatabaseError(
                path, f"is damaged at byte {offset}. Nothing was changed."
            ) from error

    def _opened(self, segment: int, path: Path) -> int:
        """Open the lines of a segment, and close those that were opened first."""
        fd = self._open.get(segment)
        if fd is None:
            if len(self._open) >= MOST_OPEN:
                self._close_first()
            fd = self._open[segment] = files.operations.open(path, os.O_RDONLY)
        return fd

    def _close_first(self) -> None:
        with suppress(OSError):  # it was only read: nothing can be lost
            files.operations.close(self._open.pop(next(iter(self._open))))

    def _read_index(self, segment: int) -> None:
        import numpy as np

        path = index_path(self._folder, segment)
        try:
            entries = np.frombuffer(files.read(path), dtype=_ENTRY)
        except FileNotFoundError:
            return  # it had no facts
        except (OSError, ValueError) as error:
            raise DatabaseError(path, f"cannot be read: {error}.") from error
        for number in range(len(TABLES)):
            own = entries[entries["table"] == number]
            if len(own):
                where = self._sized(number, int(own["item"].max()) + 1)
                where["segment"][own["item"]] = segment
                where["offset"][own["item"]] = own["offset"]
                where["length"][own["item"]] = own["length"]

    def _sized(self, number: int, size: int) -> dict[str, np.ndarray[Any, Any]]:
        import numpy as np

        where = self._where[number]
        if not where or len(where["length"]) < size:
            for name, kind in (("segment", "<u4"), ("offset", "<u8"), ("length", "<u4")):
                larger = np.zeros(max(size, 1024) * 3 // 2, kind)
                if name in where:
                    larger[: len(where[name])] = where[name]
                where[name] = larger
        return where


def prepare() -> None:
    """Import what the first checkpoint needs: in the manager's loop, every answer would wait for it."""
    import numpy  # noqa: F401, ICN001


def lines_path(folder: Path, segment: int) -> Path:
    """Where the lines of a segment lie."""
    return folder / f"{segment:06d}.jsonl"


def index_path(folder: Path, segment: int) -> Path:
    """Where it stands where each of them begins."""
    return folder / f"{segment:06d}.index"


def copy(folder: Path, segment: int, lines: Iterable[bytes]) -> None:
    """Write the facts of one segment; done twice it does no harm.

    Parameters
    ----------
    folder : Path
    segment : int
    lines : iterable of bytes
        Lines of the journal that begin with `PREFIX`.
    """
    import numpy as np

    entries, texts, offset = [], [], 0
    for text in lines:
        match = _LINE.fullmatch(text)
        if match is None:
            raise DatabaseError(lines_path(folder, segment), "would hold a line that is no fact.")
        entries.append((_NUMBERS[match[1].decode()], int(match[2]), offset, len(text)))
        texts.append(text)
        offset += len(text) + 1
    if not texts:
        return
    index = np.array(entries, dtype=_ENTRY)
    files.write_atomically(
        lines_path(folder, segment), b"\n".join(texts) + b"\n", mode=0o600, kind=DatabaseError
    )
    files.write_atomically(
        index_path(folder, segment), index.tobytes(), mode=0o600, kind=DatabaseError
    )
