"""The output of a command: a file that gets its name when there is something to read.

Most short commands of a sweep print nothing. A file for each of them would be what takes longest
(a file system looks for a free inode each time), and thousands of empty files. So a command writes
into a file without a name (``O_TMPFILE``, open(2)), which is linked under its name when the command
has run for a moment, has printed something, or has failed. Where the file system has no such
files (NFS), it has its name from the beginning.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
#: File systems that have no files without names say one of these.
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)


class SpareLog:
    """An empty file without a name that the next command of a slot can use."""

    def __init__(self) -> None:
        self._fd = -1
        self._folder = ""
        self._is_supported = True

    def take(self, folder: str) -> int | None:
        """Return a file descriptor of one on the same file system as a folder; None: there is none."""
        if self._fd >= 0 and self._folder == folder:
            fd, self._fd = self._fd, -1
            return fd
        self.close()
        if not self._is_supported:
            return None
        try:
            fd = os.open(folder, _FLAGS | os.O_TMPFILE, 0o666)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            self._is_supported = False
            return None
        self._folder = folder
        return fd

    def put_back(self, fd: int) -> None:
        """Keep one that is empty, and that nobody writes to any more."""
        self.close()
        self._fd = fd

    def close(self) -> None:
        """Keep none."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class CommandLog:
    """The log of one command.

    Parameters
    ----------
    path : str
    spare : SpareLog
    is_first : bool
        A later try of a command goes on in the log of the ones before.

    Attributes
    ----------
    fd : int
        What the command writes to; -1: it is not open.
    """

    def __init__(self, path: str, spare: SpareLog, *, is_first: bool) -> None:
        self.fd = -1
        self._path = path
        self._spare = spare
        self._is_first = is_first
        self._is_named = False

    def open(self) -> int:
        """Open it, unless it is; returns its file descriptor."""
        if self.fd < 0:
            fd = self._spare.take(os.path.dirname(self._path)) if self._is_first else None  # noqa: PTH120
            self._is_named = fd is None
            self.fd = os.open(self._path, _FLAGS | os.O_CREAT, 0o666) if fd is None else fd
        return self.fd

    def show(self) -> None:
        """Give it its name."""
        if not self._is_named and self.fd >= 0:
            self._is_named = True
            try:
                try:
                    self._link()
                except FileExistsError:  # of a try of which nobody knows any more
                    os.unlink(self._path)  # noqa: PTH108  as it is called often
                    self._link()
            except FileNotFoundError:
                pass  # its folder was deleted meanwhile: so was its log
            except OSError as error:  # a full disk: no reason to end all tasks of the node
                print(f"adaptive_scheduler: {self._path} is lost: {error}", file=sys.stderr)

    def _link(self) -> None:
        # with a dir_fd, though it means nothing here: else Python calls link(2), which links the link
        os.link(
            f"/proc/self/fd/{self.fd}", self._path, src_dir_fd=self.fd, follow_symlinks=True
        )  # fmt: skip

    def close(self, *, is_kept: bool, is_shown: bool, is_alone: bool) -> None:
        """Its command has ended.

        Parameters
        ----------
        is_kept : bool
        is_shown : bool
            It is there also if it is empty; else not, though it was while the command ran.
        is_alone : bool
            Whether nothing that the command has started can write to it any more.
        """
        if self.fd < 0:
            return
        is_empty = not os.fstat(self.fd).st_size
        if is_kept and (is_shown or not is_empty):
            self.show()
        elif self._is_named:
            with suppress(OSError):
                os.unlink(self._path)  # noqa: PTH108  as it is called often
        if is_empty and is_alone and not self._is_named:
            self._spare.put_back(self.fd)
        else:
            os.close(self.fd)
        self.fd = -1
