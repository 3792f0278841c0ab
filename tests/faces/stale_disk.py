"""A file system whose answers are out of date: ``python3 stale_disk.py FOLDER MOUNT_POINT``.

It shows FOLDER, but what is read of a file is what was written there first, as from a cache that has not
heard of the change. It is a real file system (FUSE), run by Debian's Python with its package python3-fusepy.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import fusepy

_STAT = ("st_mode", "st_nlink", "st_size", "st_uid", "st_gid", "st_atime", "st_mtime", "st_ctime")
_ROOM = ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_favail", "f_ffree", "f_files", "f_frsize")


class Stale(fusepy.Operations):  # type: ignore[misc]
    """Shows a folder, with the contents of yesterday."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def _at(self, path: str) -> str:
        return self._folder + path

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        found = os.lstat(self._at(path))
        return {name: getattr(found, name) for name in _STAT}

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._at(path))
        return {name: getattr(found, name) for name in _ROOM}

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *(one.name for one in Path(self._at(path)).iterdir())]

    def create(self, path: str, mode: int, fi: object = None) -> int:
        return os.open(self._at(path), os.O_RDWR | os.O_CREAT, mode)

    def open(self, path: str, flags: int) -> int:
        return os.open(self._at(path), flags & ~os.O_APPEND)

    # doctor writes ones, then others: what it reads must be these
    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        new = os.pread(fh, size, offset)
        return b"1" * len(new)  # of the first version

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        return os.pwrite(fh, data, offset)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        os.fsync(fh)
        return 0

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        os.truncate(self._at(path), length)

    def rename(self, old: str, new: str) -> None:
        Path(self._at(old)).rename(self._at(new))

    def link(self, target: str, source: str) -> None:
        os.link(self._at(source), self._at(target))

    def unlink(self, path: str) -> None:
        Path(self._at(path)).unlink()

    def chmod(self, path: str, mode: int) -> int:
        Path(self._at(path)).chmod(mode)
        return 0


if __name__ == "__main__":
    fusepy.FUSE(Stale(sys.argv[1]), sys.argv[2], foreground=False, nothreads=True)
