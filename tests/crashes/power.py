"""A disk that knows what a power cut would leave of it.

As POSIX has it: a file's bytes are safe after an fsync of the file, its name
after an fsync of its folder. What is not safe may be there or not.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from adaptive_scheduler.io.disk.syscalls import Name, Operations


class Node:
    """A file's bytes, and those of them that are safe."""

    def __init__(self, data: bytes, mode: int) -> None:
        self.data = bytearray(data)
        self.safe = data
        self.mode = mode


#: A name in a folder: a file, or None for a folder.
Names = dict[Path, Node | None]


class PoweredDisk(Operations):
    """Carries everything out below `home`, and calls `before` before each change.

    Parameters
    ----------
    home : Path
        All that is there is safe.
    before : callable
    """

    def __init__(self, home: Path, before: Callable[[], None]) -> None:
        self._home = home
        self._before = before
        self._names: Names = {
            path: None if path.is_dir() else Node(path.read_bytes(), path.stat().st_mode)
            for path in home.rglob("*")
        }
        self._safe_names = dict(self._names)
        self._open: dict[int, tuple[Path, Node | None]] = {}

    # -------------------------------------------------------------- what is asked

    def open(self, path: Name, flags: int, mode: int = 0o666) -> int:
        path = Path(path)
        self._before()
        fd = super().open(path, flags, mode)
        if path.is_dir():
            self._open[fd] = path, None
            return fd
        node = self._names.get(path)
        if node is None:
            node = self._names[path] = Node(b"", os.fstat(fd).st_mode)
        if flags & os.O_TRUNC:
            node.data.clear()
        self._open[fd] = path, node
        return fd

    def write(self, fd: int, data: bytes | memoryview) -> int:
        self._before()
        node = self._node(fd)
        half = len(data) // 2
        node.data += data[:half]
        self._before()  # half way
        node.data += data[half:]
        return super().write(fd, data)

    def _node(self, fd: int) -> Node:
        node = self._open[fd][1]
        assert node is not None
        return node

    def fsync(self, fd: int) -> None:
        self._before()
        path, node = self._open[fd]
        if node is not None:
            node.safe = bytes(node.data)
            return
        for name in self._names.keys() | self._safe_names.keys():
            if name.parent == path:
                self._set(self._safe_names, name, name in self._names, self._names.get(name))

    @staticmethod
    def _set(names: Names, name: Path, is_there: bool, node: Node | None) -> None:
        if is_there:
            names[name] = node
        else:
            names.pop(name, None)

    def truncate(self, fd: int, size: int) -> None:
        self._before()
        super().truncate(fd, size)
        del self._node(fd).data[size:]

    def fchmod(self, fd: int, mode: int) -> None:
        self._before()
        super().fchmod(fd, mode)
        self._node(fd).mode = mode

    def mkdir(self, path: Name, mode: int = 0o777) -> None:
        self._before()
        super().mkdir(path, mode)
        self._names[Path(path)] = None

    def rename(self, source: Name, target: Name) -> None:
        self._before()
        super().rename(source, target)
        self._names[Path(target)] = self._names.pop(Path(source))

    def unlink(self, path: Name) -> None:
        self._before()
        super().unlink(path)
        del self._names[Path(path)]

    # -------------------------------------------------------------- the power cut

    def leave(self, folder: Path, luck: random.Random | None) -> None:
        """Make in `folder` what a cut would leave now: with `luck`, more than what is safe."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        names = dict(self._safe_names)
        for name in sorted(self._names.keys() | names.keys()) if luck else ():
            if luck.random() < 0.5:
                self._set(names, name, name in self._names, self._names.get(name))
        for name, node in sorted(names.items(), key=lambda item: item[0]):
            place = folder / name.relative_to(self._home)
            with suppress(FileNotFoundError):  # in a folder that is not there any more
                self._make(place, node, luck)

    def _make(self, place: Path, node: Node | None, luck: random.Random | None) -> None:
        if node is None:
            place.mkdir(mode=0o700)
            return
        data = node.safe
        if luck and luck.random() < 0.5:
            now = bytes(node.data)
            grown = luck.randint(len(data), max(len(data), len(now)))
            data = now[:grown] if now.startswith(data) else now
        place.write_bytes(data)
        place.chmod(node.mode & 0o7777)
