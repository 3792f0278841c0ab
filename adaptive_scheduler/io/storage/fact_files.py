"""Files of facts: the lines of some segments of the journal, and an index of where each begins.

A checkpoint makes a pair of files, ``000007.jsonl`` and ``000007.index``. So that they stay few, it
puts the newest ones together: ``000004-000007.jsonl`` holds the lines of four segments, one behind
the other. Its index is written last, and from then on the files of its segments count no more; they
are deleted afterwards. So whoever finds a file gone looks anew which there are (`spans`).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from adaptive_scheduler.errors import DatabaseError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.storage import fact_line

if TYPE_CHECKING:
    import numpy as np

#: One entry of an index: table, item, where its line begins, its length and its checksum.
_ENTRY = [("table", "u1"), ("item", "<u4"), ("offset", "<u8"), ("length", "<u4"), ("sum", "<u4")]
#: Bytes of the checksum behind the entries.
_SUM = 4
#: Files of more bytes are not put together: that would take a checkpoint too long.
MOST_MERGED = 2**28
_NAME = re.compile(r"([0-9]+)(?:-([0-9]+))?\.(jsonl|index)")


class Span(NamedTuple):
    """The first and the last of the journal's segments whose facts are in one file."""

    first: int
    last: int

    @property
    def name(self) -> str:
        """What its files are called, without their endings."""
        one = self.first == self.last
        return f"{self.first:06d}" if one else f"{self.first:06d}-{self.last:06d}"

    def holds(self, other: Span) -> bool:
        """Whether another file is a part of this one."""
        return self != other and self.first <= other.first and other.last <= self.last


def lines_path(folder: Path, span: Span) -> Path:
    """Where the lines lie."""
    return folder / f"{span.name}.jsonl"


def index_path(folder: Path, span: Span) -> Path:
    """Where it stands where each of them begins."""
    return folder / f"{span.name}.index"


def _names(folder: Path) -> Iterator[tuple[Span, str]]:
    with files.naming(folder, DatabaseError):
        names = files.operations.names(folder)
    for match in filter(None, map(_NAME.fullmatch, names)):
        yield Span(int(match[1]), int(match[2] or match[1])), match[3]


def spans(folder: Path) -> list[Span]:
    """Return the files that count, the oldest first; each segment is in one of them at most."""
    found = {span for span, kind in _names(folder) if kind == "index" or span.first == span.last}
    return sorted(span for span in found if not any(other.holds(span) for other in found))


# ------------------------------------------------------------------------- reading


def read_index(folder: Path, span: Span) -> np.ndarray[Any, Any]:
    """Return the entries of an index; of one that is damaged or gone, those that the lines show.

    Raises
    ------
    FileNotFoundError
        It is a part of another file by now.
    DatabaseError
        It cannot be read.
    """
    try:
        entries = _entries(files.read(index_path(folder, span)))
        return _index_of(folder, span) if entries is None else entries
    except FileNotFoundError:
        if files.status(lines_path(folder, span)) is None:
            raise
        return _index_of(folder, span)
    except OSError as error:
        raise DatabaseError(index_path(folder, span), f"cannot be read: {error}.") from error


def _entries(data: bytes) -> np.ndarray[Any, Any] | None:
    """Return the entries of an index, None if it is damaged."""
    import numpy as np

    entries, checksum = data[:-_SUM], data[-_SUM:]
    if zlib.crc32(entries) != int.from_bytes(checksum, "little"):
        return None
    return np.frombuffer(entries, dtype=_ENTRY)


def _index_of(folder: Path, span: Span) -> np.ndarray[Any, Any]:
    """Find the lines by reading them; those that are damaged are left out."""
    return _make_index(files.read(lines_path(folder, span)).split(b"\n"))


def _make_index(lines: Iterable[bytes]) -> np.ndarray[Any, Any]:
    import numpy as np

    entries, offset = [], 0
    for text in lines:
        with suppress(ValueError):
            table, item, _ = fact_line.parse(text)
            number = fact_line.NUMBERS[table]
            entries.append((number, item, offset, len(text), zlib.crc32(text)))
        offset += len(text) + 1
    return np.array(entries, dtype=_ENTRY)


# ------------------------------------------------------------------------- writing


def copy(folder: Path, segment: int, lines: Iterable[bytes]) -> None:
    """Write the facts of one segment; done twice it does no harm.

    Parameters
    ----------
    folder : Path
    segment : int
    lines : iterable of bytes
        Lines of the journal that begin with `fact_line.PREFIX`.
    """
    span, texts = Span(segment, segment), list(lines)
    if not texts:
        return
    entries = _make_index(texts)
    if len(entries) < len(texts):
        raise DatabaseError(lines_path(folder, span), "would hold a line that is no fact.")
    _write(folder, span, b"\n".join(texts) + b"\n", entries)


def _write(folder: Path, span: Span, lines: bytes, entries: np.ndarray[Any, Any]) -> None:
    index = entries.tobytes()
    index += zlib.crc32(index).to_bytes(_SUM, "little")
    for path, data in ((lines_path(folder, span), lines), (index_path(folder, span), index)):
        files.write_atomically(path, data, mode=0o600, kind=DatabaseError)


def merge(folder: Path) -> None:
    """Put the newest files together as long as the one before them is not larger.

    So there are about as many as the largest has doublings, and each line is written as often.
    What is damaged stays as it is, for a person to restore it.

    Raises
    ------
    DatabaseError
        It cannot be written; nothing is lost.
    """
    if files.status(folder) is None:
        return
    parts = _newest(folder)
    if len(parts) > 1:
        _put_together(folder, parts)
    _remove_parts(folder)


def _newest(folder: Path) -> list[Span]:
    """Return the files that are to become one."""
    found: list[Span] = []
    size = 0
    for span in reversed(spans(folder)):
        status = files.status(lines_path(folder, span))
        if status is None or size + status.st_size > MOST_MERGED:
            break
        if found and status.st_size > size:
            break
        found.insert(0, span)
        size += status.st_size
    return found


def _put_together(folder: Path, parts: list[Span]) -> None:
    import numpy as np

    texts, indexes, offset = [], [], 0
    for span in parts:
        with files.naming(lines_path(folder, span), DatabaseError):
            text = files.read(lines_path(folder, span))
            entries = _entries(files.read(index_path(folder, span)))
        if entries is None or entries["length"].sum() + len(entries) != len(text):
            return  # damaged
        entries = entries.copy()
        entries["offset"] += offset
        texts.append(text)
        indexes.append(entries)
        offset += len(text)
    span = Span(parts[0].first, parts[-1].last)
    _write(folder, span, b"".join(texts), np.concatenate(indexes))


def _remove_parts(folder: Path) -> None:
    """Delete files whose lines are in a larger one; the next checkpoint tries again where that fails."""
    counting = spans(folder)
    for span, kind in _names(folder):
        if any(other.holds(span) for other in counting):
            path = lines_path(folder, span) if kind == "jsonl" else index_path(folder, span)
            with files.naming(path, DatabaseError), suppress(FileNotFoundError):
                files.operations.unlink(path)
