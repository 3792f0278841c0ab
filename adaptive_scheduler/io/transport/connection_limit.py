"""Stops accepting connections while too few file descriptors are left.

Whoever can reach a TCP port can hold connections open, and each is an open file of the
manager: without a door, a stranger with two processes ended it by "Too many open files".
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import socket
import struct
import threading
import time
from contextlib import suppress
from typing import Any, cast

import zmq

#: Clients that may stand in the kernel's queue, where many files are allowed; the default of 100
#: makes 8,000 clients that come at once wait four times longer (measured: 31.9 s, 7.4 s).
_BACKLOG = 8192
#: Files that an unlimited process is taken to have.
_MANY_FILES = 2**20
#: Files that no connection gets: a quarter, or where a site allows few, up to this many.
_KEPT = 2048
#: Seconds within which an honest client has shown its key.
_POLITE = 1.0
#: Seconds between two looks while somebody comes, and while many come between those of the thread,
#: which the manager's own fill.
_LOOK, _OWN_LOOK = 0.005, 0.015
#: So many come and go at one look.
_MANY = 100
#: Clients that may come in until they are noticed: a flood of 17,000 a second (measured) in 0.07 s.
#: Where fewer than 4,096 files are allowed there is less room, as where Python's lock is held longer.
_UNNOTICED = 1200
#: linux/socket.h, linux/filter.h: a classic BPF program for arriving packets, of one
#: instruction, "take 0 bytes": it drops them, so no connection begins. Not in Python's `socket`.
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
_DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)
_EVENT = struct.Struct("=hi")  # zmq_socket_monitor(3): the event and its value
_ACCEPTED, _GREETED = int(zmq.Event.ACCEPTED), int(zmq.Event.HANDSHAKE_SUCCEEDED)
_GONE, _READABLE = int(zmq.Event.DISCONNECTED), int(zmq.POLLIN)


class ConnectionLimiter:
    """A listening socket of our own, handed to zmq, and a watch on what zmq lets in.

    A thread looks when somebody comes: a disk may hold the manager up, and once 0.3 s of that were
    enough for a flood to take all of its 4,096 files. While many come the manager looks too, at
    each turn, so that the thread finds little: 8,000 clients at once took a tenth longer when the
    manager's own thread had to wait for Python's lock at each event.

    Parameters
    ----------
    context : zmq.Context
    host : str
        Address to listen on; ``""`` for all.

    Attributes
    ----------
    is_full : bool
        So many of the files that this process may have are connections (`_KEPT`) that
        nobody else comes in until some have left. Who is in already notices nothing.
    """

    def __init__(self, context: zmq.Context[Any], host: str) -> None:
        self._files = raise_file_limit()
        self._kept = max(self._files // 4, min(self._files // 2, _KEPT))
        self._context = context
        self._host = host
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._events: zmq.Socket[bytes] | None = None
        self._watch = threading.Thread(target=self._keep, name="door", daemon=True)
        self._bell = os.eventfd(0, os.EFD_CLOEXEC)  # wakes it for the end
        self._are_many = False
        self._looking = threading.Lock()
        self._looked = 0.0
        self._accepted = self._greeted = self._gone = 0
        self._silent_before = self._silent = 0  # at the last two counts, a second apart
        self._next_count = 0.0
        self.is_full = False

    def listen(self, port: int) -> int:
        """Listen at a port, 0 for a free one; returns it. Raises OSError."""
        self._listener.bind((self._host, port))
        # who stands there when the door is shut comes in all the same
        room = max(self._kept // 4, self._kept - _UNNOTICED)
        self._listener.listen(min(_BACKLOG, self._files // 5, room))
        return int(self._listener.getsockname()[1])

    def open(self, router: zmq.Socket[bytes]) -> None:
        """Let zmq accept at the port."""
        name = f"inproc://door-{id(self)}"
        router.monitor(name, _ACCEPTED | _GREETED | _GONE)
        self._events = self._context.socket(zmq.PAIR)
        self._events.linger = 0
        self._events.rcvhwm = 0  # else a full queue of events would hold up zmq's own thread
        self._events.connect(name)
        self._watch.start()
        host, port = self._listener.getsockname()
        router.set(zmq.USE_FD, os.dup(self._listener.fileno()))
        router.bind(f"tcp://{host}:{port}")

    @property
    def refused(self) -> int:
        """Connections that have shown no key of this run in the first second, or not at all."""
        return min(self._silent_before, self._silent, self._accepted - self._greeted)

    @property
    def is_watched(self) -> bool:
        """Whether its thread lives."""
        return self._watch.is_alive()

    def _keep(self) -> None:
        assert self._events is not None
        news, bell = select.poll(), self._bell
        news.register(bell, select.POLLIN)
        news.register(cast("int", self._events.get(zmq.FD)), select.POLLIN)
        while True:
            # first: zmq tells of news only who has found that there were none
            self._look(_OWN_LOOK if self._are_many else 0.0)
            if any(file == bell for file, _ in news.poll(1000 * _POLITE)):
                return
            time.sleep(_LOOK)

    def look(self) -> None:
        """Look, if many come: shut the door, or open it."""
        if self._are_many:
            self._look(_LOOK)

    def _look(self, after: float) -> None:
        """Count who came and went, unless that was done less than `after` seconds ago."""
        if time.monotonic() < self._looked + after or not self._looking.acquire(blocking=False):
            return
        try:
            self._are_many = self._count() > _MANY
            self._looked = time.monotonic()
        finally:
            self._looking.release()

    def _count(self) -> int:
        n = 0
        assert self._events is not None
        with suppress(zmq.Again):
            # to find nothing by an error takes longer
            while n or cast("int", self._events.get(zmq.EVENTS)) & _READABLE:
                event, _ = self._events.recv_multipart(zmq.NOBLOCK)
                kind = _EVENT.unpack_from(event)[0]
                self._accepted += kind == _ACCEPTED
                self._greeted += kind == _GREETED
                self._gone += kind == _GONE
                self._judge()
                n += 1
        silent, now = self._accepted - self._greeted, time.monotonic()
        if now >= self._next_count:
            self._silent_before, self._silent = self._silent, silent
            self._next_count = now + _POLITE
        return n

    def _judge(self) -> None:
        inside, full = self._accepted - self._gone, self._files - self._kept
        if not self.is_full and inside > full:
            self._set_shut(True)
        elif self.is_full and inside < full * 5 // 6:
            self._set_shut(False)

    def _set_shut(self, shut: bool) -> None:
        self.is_full = shut
        if not shut:
            self._listener.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
            return
        code = ctypes.create_string_buffer(_DROP_ALL, len(_DROP_ALL))
        program = struct.pack("HP", 1, ctypes.addressof(code))  # struct sock_fprog
        self._listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)

    def close(self) -> None:
        """Close it; the connections stay until the router is closed."""
        bell, self._bell = self._bell, -1  # the number may soon be another file's
        if bell < 0:
            return
        os.eventfd_write(bell, 1)
        if self._watch.ident is not None:
            self._watch.join()
        os.close(bell)
        if self._events is not None:
            self._events.close()
        self._listener.close()


def raise_file_limit() -> int:
    """A connection is a file: raise the soft limit, often 1024, to the hard one; returns it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return _MANY_FILES if hard == resource.RLIM_INFINITY else hard
