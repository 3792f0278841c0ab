"""A file that is only appended to, and that never keeps half a record."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from adaptive_scheduler.errors import FileError
from adaptive_scheduler.io.disk import files


class Appender:
    """A file that is only appended to.

    Parameters
    ----------
    path : path-like
        The file; created if missing.
    mode : int
        Permissions of a new file, minus the umask.
    kind : type
        The error to raise; it names the file.

    Attributes
    ----------
    size : int
        Valid bytes of the file; anything behind them is removed before the next append.
    """

    def __init__(
        self, path: files.Name, mode: int = 0o600, kind: type[FileError] = FileError
    ) -> None:
        self.path = Path(path)
        self._kind = kind
        self._is_torn = False
        with files.naming(self.path, kind):
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            self._fd = files.operations.open(self.path, flags, mode)
            try:
                self.size = files.operations.fstat(self._fd).st_size
            except OSError:
                files.operations.close(self._fd)
                raise

    def append(self, data: bytes) -> None:
        """Append all of `data`, or raise; what was written of it is removed before the next append."""
        with files.naming(self.path, self._kind):
            self._remove_tail()
            try:
                files.write_all(self._fd, data)
            except OSError:
                self._is_torn = True
                with suppress(OSError):  # tried again before the next append
                    self._remove_tail()
                raise
            self.size += len(data)

    def take_back(self, size: int) -> None:
        """Take back everything behind the first `size` bytes: removed before the next append."""
        self.size = size
        self._is_torn = True

    def _remove_tail(self) -> None:
        if self._is_torn:
            files.operations.truncate(self._fd, self.size)
            self._is_torn = False

    def sync(self) -> None:
        """Fsync the file."""
        with files.naming(self.path, self._kind):
            files.operations.fsync(self._fd)

    def is_deleted(self) -> bool:
        """Whether the file was deleted: what is appended then is lost at `close`."""
        with files.naming(self.path, self._kind):
            return files.operations.fstat(self._fd).st_nlink == 0

    def close(self) -> None:
        """Close it; a second time does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with files.naming(self.path, self._kind):
                files.operations.close(fd)
