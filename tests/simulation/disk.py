"""A disk in memory: what was not fsynced survives a power cut only by luck."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from random import Random

from adaptive_scheduler.io.disk.syscalls import Name, Operations

_DIRECTORY, _FILE = stat.S_IFDIR, stat.S_IFREG
_UID, _GID = os.getuid(), os.getgid()


class Node:
    """A file's content. `synced`: so many of its first bytes are safe."""

    __slots__ = ("data", "mode", "number", "synced", "written")

    def __init__(self, number: int, mode: int) -> None:
        self.data = bytearray()
        self.mode = mode
        self.number = number
        self.synced = 0
        self.written = 0


class _Handle:
    __slots__ = ("folder", "node", "offset", "path")

    def __init__(self, path: str, node: Node | None, folder: bool = False) -> None:
        self.path = path
        self.node = node
        self.folder = folder
        self.offset = 0


class Disk(Operations):
    """Everything that `adaptive_scheduler.io.disk.files` asks of an operating system.

    Parameters
    ----------
    before : callable
        Told the name of each call that changes something, before it happens; what it
        raises ends the caller, and the call has not happened.
    tears : callable
        Whether the write that is about to end its caller arrives in part.

    Attributes
    ----------
    full : bool
        No byte more goes onto it.
    broken_sync : bool
        Each fsync fails.
    """

    def __init__(self, before: Callable[[str], None], tears: Callable[[], bool]) -> None:
        self._before = before
        self._tears = tears
        self._names: dict[str, Node] = {}
        self._folders: set[str] = set()
        self._handles: dict[int, _Handle] = {}
        self._next_handle = 1000
        self._serial = 1
        #: Changes of names that no fsync of their folder has made safe: (folder, undo).
        self._unsafe: list[tuple[str, str, Node | None]] = []
        self.full = False
        self.broken_sync = False

    # ------------------------------------------------------------------ open files

    def open(self, path: Name, flags: int, mode: int = 0o666) -> int:
        name = os.fspath(path)
        node = self._names.get(name)
        if node is None and name in self._folders:
            return self._handle(_Handle(name, None, folder=True))
        if node is None:
            if not flags & os.O_CREAT:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
            self._need_parent(name)
            self._before("open")
            self._serial += 1
            node = self._names[name] = Node(self._serial, mode & ~0o022)
            self._unsafe.append((_parent(name), name, None))
        elif flags & os.O_EXCL:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        elif flags & os.O_TRUNC:
            self._before("open")
            node.data.clear()
            node.synced = 0
        return self._handle(_Handle(name, node))

    def _handle(self, handle: _Handle) -> int:
        self._next_handle += 1
        self._handles[self._next_handle] = handle
        return self._next_handle

    def _need_parent(self, name: str) -> None:
        if _parent(name) not in self._folders:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)

    def _node(self, fd: int) -> Node:
        node = self._handles[fd].node
        assert node is not None
        return node

    def read(self, fd: int, size: int) -> bytes:
        handle = self._handles[fd]
        data = bytes(self._node(fd).data[handle.offset : handle.offset + size])
        handle.offset += len(data)
        return data

    def read_at(self, fd: int, size: int, offset: int) -> bytes:
        return bytes(self._node(fd).data[offset : offset + size])

    def seek(self, fd: int, offset: int) -> None:
        self._handles[fd].offset = offset

    def write(self, fd: int, data: bytes | memoryview) -> int:
        node = self._node(fd)
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self._tears():  # dies over it: a part arrives
            node.data += bytes(data[: len(data) // 2])
        self._before("write")
        node.data += data  # the package only appends, or writes from the beginning
        self._serial += 1
        node.written = self._serial
        return len(data)

    def fsync(self, fd: int) -> None:
        self._before("fsync")
        handle = self._handles[fd]
        if self.broken_sync:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if handle.folder:
            self._unsafe = [entry for entry in self._unsafe if entry[0] != handle.path]
        else:
            node = self._node(fd)
            node.synced = len(node.data)

    def truncate(self, fd: int, size: int) -> None:
        self._before("truncate")
        node = self._node(fd)
        del node.data[size:]
        node.synced = min(node.synced, size)

    def fchmod(self, fd: int, mode: int) -> None:
        self._node(fd).mode = mode

    def fstat(self, fd: int) -> os.stat_result:
        return _status(self._handles[fd].node)

    def close(self, fd: int) -> None:
        del self._handles[fd]

    # ------------------------------------------------------------------------ names

    def stat(self, path: Name) -> os.stat_result:
        name = os.fspath(path)
        node = self._names.get(name)
        if node is None and name not in self._folders:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return _status(node)

    def names(self, folder: Name, most: int | None = None) -> list[str]:
        where = os.fspath(folder)
        if where not in self._folders:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), where)
        return [n.rpartition("/")[2] for n in self._names if _parent(n) == where][:most]

    def mkdir(self, path: Name, mode: int = 0o777) -> None:
        name = os.fspath(path)
        if name in self._folders:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        self._folders.add(name)

    def chmod(self, path: Name, mode: int) -> None:
        """Modes are not what is looked at here."""

    def rename(self, source: Name, target: Name) -> None:
        self._before("rename")
        old, new = os.fspath(source), os.fspath(target)
        node = self._names.pop(old, None)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), old)
        self._unsafe.append((_parent(new), new, self._names.get(new)))
        self._names[new] = node

    def link(self, source: Name, target: Name) -> None:
        self._before("link")
        old, new = os.fspath(source), os.fspath(target)
        if new in self._names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)
        self._names[new] = self._names[old]
        self._unsafe.append((_parent(new), new, None))

    def unlink(self, path: Name) -> None:
        self._before("unlink")
        name = os.fspath(path)
        node = self._names.pop(name, None)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        self._unsafe.append((_parent(name), name, node))

    # ------------------------------------------------------------------- its accidents

    def lose_power(self, rng: Random) -> None:
        """Forget what was not brought to disk, but for what chance has written already."""
        kept = rng.randint(0, len(self._unsafe))
        for _, name, node in reversed(self._unsafe[kept:]):
            if node is None:
                self._names.pop(name, None)
            else:
                self._names[name] = node
        self._unsafe.clear()
        for node in self._names.values():
            if len(node.data) > node.synced:
                del node.data[rng.randint(node.synced, len(node.data)) :]
                node.synced = len(node.data)
        self._handles.clear()


def _parent(name: str) -> str:
    return name.rpartition("/")[0] or "/"


def _status(node: Node | None) -> os.stat_result:
    if node is None:
        return _FOLDER_STATUS
    when = node.written
    return os.stat_result(
        (_FILE | node.mode, node.number, 0, 1, _UID, _GID, len(node.data), 0, when, when,
         0.0, float(when), float(when), 0, when, when)
    )  # fmt: skip


_FOLDER_STATUS = os.stat_result((_DIRECTORY | 0o700, 1, 0, 2, _UID, _GID, 0, 0, 0, 0))
