"""The system calls behind `files`, in one place so that tests can make each of them fail."""

from __future__ import annotations

import itertools
import os

Name = str | os.PathLike[str]


class Operations:
    """The system calls themselves, one method each; all raise OSError.

    Tests replace it (`files.through`): there any call can fail, be the last of its process, or
    go to a simulated disk.
    """

    # ------------------------------------------------------------- open files

    def open(self, path: Name, flags: int, mode: int = 0o666) -> int:
        """open(2)."""
        return os.open(path, flags | os.O_CLOEXEC, mode)

    def read(self, fd: int, size: int) -> bytes:
        """read(2)."""
        return os.read(fd, size)

    def read_at(self, fd: int, size: int, offset: int) -> bytes:
        """pread(2)."""
        return os.pread(fd, size, offset)

    def seek(self, fd: int, offset: int) -> None:
        """lseek(2), from the beginning."""
        os.lseek(fd, offset, os.SEEK_SET)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """write(2)."""
        return os.write(fd, data)

    def fsync(self, fd: int) -> None:
        """fsync(2)."""
        os.fsync(fd)

    def truncate(self, fd: int, size: int) -> None:
        """ftruncate(2)."""
        os.ftruncate(fd, size)

    def fchmod(self, fd: int, mode: int) -> None:
        """fchmod(2)."""
        os.fchmod(fd, mode)

    def fstat(self, fd: int) -> os.stat_result:
        """fstat(2)."""
        return os.fstat(fd)

    def close(self, fd: int) -> None:
        """close(2)."""
        os.close(fd)

    # ------------------------------------------------------------------ names

    def stat(self, path: Name) -> os.stat_result:
        """stat(2)."""
        return os.stat(path)  # noqa: PTH116  one layer, one style

    def names(self, folder: Name, most: int | None = None) -> list[str]:
        """readdir(3), without ``.`` and ``..``; the first `most`."""
        with os.scandir(folder) as entries:
            return [entry.name for entry in itertools.islice(entries, most)]

    def mkdir(self, path: Name, mode: int = 0o777) -> None:
        """mkdir(2)."""
        os.mkdir(path, mode)  # noqa: PTH102  one layer, one style

    def chmod(self, path: Name, mode: int) -> None:
        """chmod(2)."""
        os.chmod(path, mode)  # noqa: PTH101  one layer, one style

    def rename(self, source: Name, target: Name) -> None:
        """rename(2): replaces the target."""
        os.replace(source, target)  # noqa: PTH105  one layer, one style

    def link(self, source: Name, target: Name) -> None:
        """link(2): fails if the target exists."""
        os.link(source, target)

    def unlink(self, path: Name) -> None:
        """unlink(2)."""
        os.unlink(path)  # noqa: PTH108  one layer, one style
