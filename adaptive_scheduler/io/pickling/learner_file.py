"""Stores all learners of a run in one file, from which each can be read alone.

The file holds one pickle after the other, then a table of their places::

    magic | record … record | table: (offset, length) of each | n learners, n shared, offset of table, magic

Functions that are pickled by value, and large objects that functions refer to, are shared records:
stored once, however many learners use them.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from adaptive_scheduler.errors import USER_RAISES, FileError, InputError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.disk.append_file import Appender
from adaptive_scheduler.io.pickling import by_value
from adaptive_scheduler.io.pickling.diagnose import explain_unpicklable
from adaptive_scheduler.io.pickling.old_names import Unpickler
from adaptive_scheduler.io.pickling.shared import Shared

_MAGIC = b"adaptive_scheduler learners 1\n"
_END = b"end of learners\n"
_PLACE = struct.Struct("<QQ")
_FOOTER = struct.Struct(f"<QQQ{len(_END)}s")
_BUFFER = 2**20
#: Bytes of shared records that a reader keeps in memory.
_MAX_CACHED = 2**26


def write_learners(
    path: files.Name, learners: Sequence[Any], fnames: Sequence[Any] | None = None
) -> None:
    """Write all learners; replaces the file atomically, readable by this user only.

    Parameters
    ----------
    path : path-like
        The file; its folder must exist.
    learners : sequence
    fnames : sequence, optional
        To name a learner in an error.

    Raises
    ------
    InputError
        A learner cannot be pickled; the text names it and the attribute.
    FileError
        The file cannot be written.
    """
    temporary = files.temporary_name(path)
    with suppress(FileNotFoundError):
        files.operations.unlink(temporary)
    out = _Output(Appender(temporary, mode=0o600))
    try:
        _write_all(out, learners, fnames)
        out.finish()
        with files.naming(path):
            files.rename_durably(temporary, path)
    except BaseException:
        with suppress(OSError):
            files.operations.unlink(temporary)
        raise
    finally:
        out.close()


def _write_all(out: _Output, learners: Sequence[Any], fnames: Sequence[Any] | None) -> None:
    shared = Shared(out, learners)
    places: list[tuple[int, int]] = []
    out.write(_MAGIC)
    with by_value.user_modules_by_value():
        for index, learner in enumerate(learners):
            try:
                places.append(out.write(shared.dumps(learner)))
            except USER_RAISES as error:  # the border to the user's code: anybody's __reduce__
                name = f"learners[{index}]"
                known = f" (fname {fnames[index]!r})" if fnames is not None else ""
                raise InputError(explain_unpicklable(learner, name, known, error)) from error
    table = b"".join(_PLACE.pack(*place) for place in [*places, *shared.places])
    offset, _ = out.write(table)
    out.write(_FOOTER.pack(len(places), len(shared.places), offset, _END))


class _Output:
    """A file that is written sequentially, in large pieces."""

    def __init__(self, appender: Appender) -> None:
        self._appender = appender
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._offset = 0

    def write(self, data: bytes) -> tuple[int, int]:
        """Append; returns offset and length."""
        place = (self._offset, len(data))
        self._pieces.append(data)
        self._waiting += len(data)
        self._offset += len(data)
        if self._waiting > _BUFFER:
            self._flush()
        return place

    def _flush(self) -> None:
        self._appender.append(b"".join(self._pieces))
        self._pieces, self._waiting = [], 0

    def finish(self) -> None:
        self._flush()
        self._appender.sync()

    def close(self) -> None:
        self._appender.close()


# --------------------------------------------------------------------------- reading


class LearnerFile:
    """The learners that `write_learners` wrote, read one at a time.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    PermissionsError
        Another user could have written it; loading it would run that user's code.
    FileError
        It is missing, or not such a file.
    """

    def __init__(self, path: files.Name) -> None:
        self._path = Path(path)
        self._file = files.open_private(path)
        self._loaded: dict[int, Any] = {}
        self._cached = 0
        with files.naming(path):
            size = os.fstat(self._file.fileno()).st_size
            footer = self._bytes(size - _FOOTER.size, _FOOTER.size)
        if len(footer) != _FOOTER.size or not footer.endswith(_END):
            raise FileError(path, "is not a whole file of learners. Start the run again.")
        self._n: int
        self._n, n_shared, table, _ = _FOOTER.unpack(footer)
        packed = self._bytes(table, _PLACE.size * (self._n + n_shared))
        self._places = list(_PLACE.iter_unpack(packed))

    def __len__(self) -> int:
        return self._n

    def __enter__(self) -> LearnerFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, index: int) -> Any:
        """Unpickle one learner, a new object at each call. Raises what the user's classes raise.

        Shared records are kept for the next learner, up to `_MAX_CACHED` bytes: functions of one
        learner alone are shared records too, and a client may run thousands of learners.
        """
        if not 0 <= index < self._n:
            raise InputError(f"{self._path} holds {self._n} learners, none has the index {index}.")
        if self._cached > _MAX_CACHED:
            self._loaded.clear()
            self._cached = 0
        return self._load(index)

    def _load(self, record: int) -> Any:
        unpickler = Unpickler(io.BytesIO(self._bytes(*self._places[record])))
        unpickler.persistent_load = self._shared  # type: ignore[method-assign]
        return unpickler.load()

    def _shared(self, number: Any) -> Any:
        if number not in self._loaded:
            self._loaded[number] = self._load(self._n + number)
            self._cached += self._places[self._n + number][1]
        return self._loaded[number]

    def _bytes(self, offset: int, length: int) -> bytes:
        with files.naming(self._path):
            return os.pread(self._file.fileno(), length, max(offset, 0))
