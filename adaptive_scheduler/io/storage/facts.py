"""Facts: what is written once and never changes, such as a task's arguments and its result.

A row is small and its last state counts, so rows are folded into one file. A fact may be large and
is read seldom: in memory there is only where it lies. Like a row it begins as a line of the
journal, so that both are durable with one sync. The checkpoint then copies the lines of a segment
of the journal, as they are, to a file of facts with an index (`fact_files`), so that a million
facts are found again without reading them.
"""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.errors import DatabaseError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.storage import fact_files, fact_line
from adaptive_scheduler.io.storage.fact_files import Span
from adaptive_scheduler.io.storage.fact_line import NUMBERS, TABLES

if TYPE_CHECKING:
    import numpy as np

#: Files that are open for reading, at most.
MOST_OPEN = 64
#: How often to look anew while checkpoints put files together; once is nearly always enough.
_TRIES = 20
#: What is kept of each fact: the file, where its line begins, its length and its checksum.
_PLACE = (("file", "<u4"), ("offset", "<u8"), ("length", "<u4"), ("sum", "<u4"))


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
        self._spans: list[Span] = []  # of the files that count, as far as known
        self._files: list[
            Span
        ] = []  # all that there were; `file` of a place is a number of this list
        self._open: dict[int, int] = {}
        self._look()

    def note(self, segment: int, table: str, item: int, data: bytes) -> bytes:
        """Keep a fact that goes into a segment of the journal; returns its line."""
        self._recent.setdefault(segment, {})[NUMBERS[table], item] = data
        return fact_line.line(table, item, data)

    def found(self, segment: int, text: bytes) -> None:
        """Take in a line that a segment of the journal already has."""
        table, item, data = fact_line.parse(text)
        self._recent.setdefault(segment, {})[NUMBERS[table], item] = data

    def copied(self, last: int) -> None:
        """The checkpoint has copied all segments up to `last`: they are read from there now."""
        self._look()
        for segment in [number for number in self._recent if number <= last]:
            del self._recent[segment]

    def get(self, table: str, item: int) -> bytes | None:
        """Return a fact; None if there is none.

        Raises
        ------
        DatabaseError
            It was there, but cannot be read.
        """
        number = NUMBERS[table]
        for segment in reversed(self._recent):
            found = self._recent[segment].get((number, item))
            if found is not None:
                return found
        while True:
            place = self._place(number, item)
            if place is None:
                return None
            path = fact_files.lines_path(self._folder, self._files[place[0]])
            try:
                return self._parse(path, (table, item), place)
            except OSError as error:
                is_gone = isinstance(error, FileNotFoundError) or files.is_stale(error)
                if not (is_gone and self._look()):
                    raise DatabaseError(path, f"cannot be read: {error.strerror}.") from error

    def close(self) -> None:
        """Close the files that were read."""
        while self._open:
            self._close_first()

    def _place(self, number: int, item: int) -> tuple[int, ...] | None:
        """Return file, offset, length and checksum of a fact."""
        where = self._where[number]
        if not where or item >= len(where["length"]) or not where["length"][item]:
            return None
        return tuple(where[name].item(item) for name, _ in _PLACE)

    def _parse(self, path: Path, which: tuple[str, int], place: tuple[int, ...]) -> bytes:
        number, offset, length, checksum = place
        text = files.operations.read_at(self._opened(number, path), length, offset)
        with suppress(ValueError):
            table, item, data = fact_line.parse(text)
            if (table, item) == which and zlib.crc32(text) == checksum:
                return data
        raise DatabaseError(path, f"is damaged at byte {offset}. Nothing was changed.")

    def _opened(self, number: int, path: Path) -> int:
        """Open the lines of a file, and close those that were opened first."""
        fd = self._open.get(number)
        if fd is None:
            if len(self._open) >= MOST_OPEN:
                self._close_first()
            fd = self._open[number] = files.operations.open(path, os.O_RDONLY)
        return fd

    def _close_first(self) -> None:
        with suppress(OSError):  # it was only read: nothing can be lost
            files.operations.close(self._open.pop(next(iter(self._open))))

    # ------------------------------------------------------------------- indexes

    def _look(self) -> bool:
        """Read the indexes of files that are new; returns whether there were any."""
        for _ in range(_TRIES):
            found = fact_files.spans(self._folder)
            if found == self._spans:
                return False
            with suppress(FileNotFoundError):  # it is a part of another file by now
                self._take(found)
                return True
        raise DatabaseError(self._folder, "changes faster than it can be read. Try again.")

    def _take(self, found: list[Span]) -> None:
        kept = [span for span in self._spans if span in found]
        new = [span for span in found if span not in self._spans]
        if kept and new and new[0] < kept[-1]:  # of two facts of a task the newer one is read last
            self._where, self._spans, new = [{} for _ in TABLES], [], found
        for span in new:
            self._read_index(span)
        self.close()  # some of the files are deleted
        self._spans = found

    def _read_index(self, span: Span) -> None:
        entries = fact_files.read_index(self._folder, span)
        self._files.append(span)
        for number in range(len(TABLES)):
            own = entries[entries["table"] == number]
            if len(own):
                where = self._sized(number, int(own["item"].max()) + 1)
                where["file"][own["item"]] = len(self._files) - 1
                for name in ("offset", "length", "sum"):
                    where[name][own["item"]] = own[name]

    def _sized(self, number: int, size: int) -> dict[str, np.ndarray[Any, Any]]:
        import numpy as np

        where = self._where[number]
        if not where or len(where["length"]) < size:
            for name, kind in _PLACE:
                larger = np.zeros(max(size, 1024) * 3 // 2, kind)
                if name in where:
                    larger[: len(where[name])] = where[name]
                where[name] = larger
        return where


def prepare() -> None:
    """Import what the first checkpoint needs: in the manager's loop, every answer would wait for it."""
    import numpy  # noqa: F401, ICN001
