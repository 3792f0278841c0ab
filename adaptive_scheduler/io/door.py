"""The manager's door: who came through it, and when it shuts because the house is full.

Whoever can reach a TCP port can hold connections open, and each is an open file of the
manager: without a door, a stranger with two processes ended it by "Too many open files".
"""

from __future__ import annotations

import ctypes
import os
import resource
import socket
import struct
import time
from typing import Any

import zmq

#: Clients that may stand in the kernel's queue; the default of 100 makes 8,000
#: clients that come at once wait four times longer (measured: 31.9 s, 7.4 s).
_BACKLOG = 8192
#: Files that an unlimited process is taken to have.
_MANY_FILES = 2**20
#: Files that no connection gets: a quarter, or where a site allows few, up to this many.
_KEPT = 2048
#: The part of them that connections may have taken by the time that we look: zmq accepts
#: them in its own thread, 17,000 a second (measured), however long a disk holds up ours.
_UNSEEN = 1 / 4
#: Seconds within which an honest client has shown its key.
_POLITE = 1.0
#: linux/socket.h, linux/filter.h: a classic BPF program for arriving packets, of one
#: instruction, "take 0 bytes": it drops them, so no connection begins. Not in Python's `socket`.
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
_DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)
_EVENT = struct.Struct("=hi")  # zmq_socket_monitor(3): the event and its value


class Door:
    """A listening socket of our own, handed to zmq, and a watch on what zmq lets in.

    Parameters
    ----------
    context : zmq.Context
    host : str
        Address to listen on; ``""`` for all.

    Attributes
    ----------
    is_shut : bool
        So many of the files that this process may have are connections (`_KEPT`) that
        nobody else comes in until some have left. Who is in already notices nothing.
    """

    def __init__(self, context: zmq.Context[Any], host: str) -> None:
        self._files = raise_file_limit()
        kept = max(self._files // 4, min(self._files // 2, _KEPT))
        self._full = self._files - kept
        self._most = self._full + int(_UNSEEN * kept)
        self._context = context
        self._host = host
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._watch: zmq.Socket[bytes] | None = None
        self._accepted = self._greeted = self._gone = 0
        self._silent_before = self._silent = 0  # at the last two counts, a second apart
        self._next_count = 0.0
        self.is_shut = False

    def listen(self, port: int) -> int:
        """Listen at a port, 0 for a free one; returns it. Raises OSError."""
        self._listener.bind((self._host, port))
        self._listener.listen(min(_BACKLOG, self._files // 5))
        return int(self._listener.getsockname()[1])

    def open(self, router: zmq.Socket[bytes]) -> None:
        """Let zmq accept at the port."""
        wanted = zmq.Event.ACCEPTED | zmq.Event.HANDSHAKE_SUCCEEDED | zmq.Event.DISCONNECTED
        name = f"inproc://door-{id(self)}"
        router.monitor(name, int(wanted))
        self._watch = self._context.socket(zmq.PAIR)
        self._watch.linger = 0
        self._watch.rcvhwm = 0  # else a full queue of events would hold up zmq's own thread
        self._watch.connect(name)
        host, port = self._listener.getsockname()
        _allow_files(self._most)
        router.set(zmq.USE_FD, os.dup(self._listener.fileno()))
        router.bind(f"tcp://{host}:{port}")

    @property
    def refused(self) -> int:
        """Connections that have shown no key of this run in the first second, or not at all."""
        return min(self._silent_before, self._silent, self._accepted - self._greeted)

    def look(self) -> int:
        """Count who came and went since the last look; shut the door, or open it.

        Returns
        -------
        int
            How many came.
        """
        before = self._accepted
        while self._watch is not None:
            try:
                event, _ = self._watch.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            kind = _EVENT.unpack_from(event)[0]
            self._accepted += kind == zmq.Event.ACCEPTED
            self._greeted += kind == zmq.Event.HANDSHAKE_SUCCEEDED
            self._gone += kind == zmq.Event.DISCONNECTED
        silent, now = self._accepted - self._greeted, time.monotonic()
        if now >= self._next_count:
            self._silent_before, self._silent = self._silent, silent
            self._next_count = now + _POLITE
        inside = self._accepted - self._gone
        if not self.is_shut and inside > self._full:
            self._set_shut(True)
        elif self.is_shut and inside < self._full * 5 // 6:
            self._set_shut(False)
        return self._accepted - before

    def _set_shut(self, shut: bool) -> None:
        """With the door shut, what was kept from connections is the manager's."""
        self.is_shut = shut
        _allow_files(self._files if shut else self._most)
        if not shut:
            self._listener.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
            return
        code = ctypes.create_string_buffer(_DROP_ALL, len(_DROP_ALL))
        program = struct.pack("HP", 1, ctypes.addressof(code))  # struct sock_fprog
        self._listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)

    def close(self) -> None:
        """Close it; the connections stay until the router is closed."""
        self._listener.close()
        _allow_files(self._files)
        if self._watch is not None:
            self._watch.close()


def raise_file_limit() -> int:
    """A connection is a file: raise the soft limit, often 1024, to the hard one; returns it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return _MANY_FILES if hard == resource.RLIM_INFINITY else hard


def _allow_files(files: int) -> None:
    """Let this process, and so zmq, open files up to this number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
