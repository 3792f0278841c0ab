"""Stops accepting connections while too few file descriptors are left.

Anybody who can reach the TCP port can hold connections open, and each is an open file of the
manager: without this limit, two processes without a key ended it by "Too many open files".
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
from dataclasses import dataclass
from typing import Any, cast

import zmq

#: Length of the kernel's queue of new connections, where many files are allowed; with the default
#: of 100, 8,000 clients that connect at once wait four times longer (measured: 31.9 s, 7.4 s).
_BACKLOG = 8192
#: File limit that is assumed for a process without one.
_MANY_FILES = 2**20
#: Files kept free of connections: a quarter of all, or this many where the limit is low.
_KEPT = 2048
#: Seconds within which a client of the run has authenticated.
_HANDSHAKE_SECONDS = 1.0
#: Seconds between two counts; and of those of the thread while many connect, because then the
#: manager's own thread counts too.
_INTERVAL, _THREAD_INTERVAL = 0.005, 0.015
#: Events within one count from which on "many" connect.
_MANY = 100
#: Connections that may be accepted before they are counted: 17,000 a second (measured) for 0.07 s.
#: With a limit below 4,096 files there is less room, as there is if Python's lock is held longer.
_UNCOUNTED = 1200
#: linux/socket.h, linux/filter.h (not in Python's `socket`): a classic BPF program of one
#: instruction, "accept 0 bytes", which drops arriving packets, so that no connection begins.
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
_DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)
_EVENT = struct.Struct("=hi")  # zmq_socket_monitor(3): the event and its value
_ACCEPTED, _AUTHENTICATED = int(zmq.Event.ACCEPTED), int(zmq.Event.HANDSHAKE_SUCCEEDED)
_GONE, _READABLE = int(zmq.Event.DISCONNECTED), int(zmq.POLLIN)


@dataclass
class ConnectionCounts:
    """Counts connections by the events of a zmq socket.

    Attributes
    ----------
    accepted, authenticated, closed : int
        Connections since the beginning.
    silent, silent_before : int
        Connections that were not authenticated, at the last two times a second apart.
    next_sample : float
        When `silent` is determined next.
    time : float
        Of the last count.
    are_many : bool
        There were many events in it.
    """

    accepted: int = 0
    authenticated: int = 0
    closed: int = 0
    silent: int = 0
    silent_before: int = 0
    next_sample: float = 0.0
    time: float = 0.0
    are_many: bool = False

    def add(self, event: int) -> None:
        """Count one event."""
        self.accepted += event == _ACCEPTED
        self.authenticated += event == _AUTHENTICATED
        self.closed += event == _GONE

    def end(self, now: float, events: int) -> None:
        """Note that a count of so many events is complete."""
        self.time, self.are_many = now, events > _MANY
        if now >= self.next_sample:
            silent = self.accepted - self.authenticated
            self.silent_before, self.silent = self.silent, silent
            self.next_sample = now + _HANDSHAKE_SECONDS

    @property
    def open(self) -> int:
        """Connections that are open."""
        return self.accepted - self.closed

    @property
    def refused(self) -> int:
        """Connections that did not authenticate within a second, or not at all."""
        return min(self.silent_before, self.silent, self.accepted - self.authenticated)


class ConnectionLimiter:
    """Owns the listening socket, counts the connections that zmq accepts there, and limits them.

    A thread counts them as they arrive: a slow disk may stop the manager, and within 0.3 s of that
    a flood once took all of its 4,096 files. While many clients connect, the manager's own thread
    counts too (`update`), so that little is left for the other one: 8,000 clients at once took a
    tenth longer when the manager had to wait for Python's lock at each event.

    Parameters
    ----------
    context : zmq.Context

    Attributes
    ----------
    is_full : bool
        So many files are connections that new ones are not accepted until some have closed.
        Existing ones are not affected.
    """

    def __init__(self, context: zmq.Context[Any]) -> None:
        allowed = raise_file_limit()
        kept = max(allowed // 4, min(allowed // 2, _KEPT))
        self._limit = allowed - kept
        # connections in the queue are accepted even after the limit is reached
        self._backlog = min(_BACKLOG, allowed // 5, max(kept // 4, kept - _UNCOUNTED))
        self._context = context
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._events: zmq.Socket[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="connection limit", daemon=True)
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)  # ends the thread
        self._counting = threading.Lock()
        self._counts = ConnectionCounts()
        self.is_full = False

    def listen(self, host: str, port: int) -> int:
        """Listen at an address, ``""`` for all, and a port, 0 for any free one; returns the port.

        Raises OSError.
        """
        self._listener.bind((host, port))
        self._listener.listen(self._backlog)
        return int(self._listener.getsockname()[1])

    def open(self, router: zmq.Socket[bytes]) -> None:
        """Let zmq accept connections at the port, and begin to count them."""
        name = f"inproc://connection-limit-{id(self)}"
        router.monitor(name, _ACCEPTED | _AUTHENTICATED | _GONE)
        self._events = self._context.socket(zmq.PAIR)
        self._events.linger = 0
        self._events.rcvhwm = 0  # else a full queue of events would hold up zmq's own thread
        self._events.connect(name)
        self._thread.start()
        host, port = self._listener.getsockname()
        router.set(zmq.USE_FD, os.dup(self._listener.fileno()))
        router.bind(f"tcp://{host}:{port}")

    @property
    def refused(self) -> int:
        """Connections that did not authenticate within a second, or not at all."""
        return self._counts.refused

    @property
    def is_running(self) -> bool:
        """Whether the counting thread is alive."""
        return self._thread.is_alive()

    def _run(self) -> None:
        assert self._events is not None
        poll, stop = select.poll(), self._stop
        poll.register(stop, select.POLLIN)
        poll.register(cast("int", self._events.get(zmq.FD)), select.POLLIN)
        while True:
            # count first: zmq signals new events only after all earlier ones were read
            self._update(_THREAD_INTERVAL if self._counts.are_many else 0.0)
            if any(file == stop for file, _ in poll.poll(1000 * _HANDSHAKE_SECONDS)):
                return
            time.sleep(_INTERVAL)

    def update(self) -> None:
        """Count connections, if many are being opened; the manager calls it at each turn."""
        if self._counts.are_many:
            self._update(_INTERVAL)

    def _update(self, after: float) -> None:
        """Count connections, unless that was done less than `after` seconds ago."""
        counts = self._counts
        if time.monotonic() < counts.time + after or not self._counting.acquire(blocking=False):
            return
        try:
            events = self._count()
            counts.end(time.monotonic(), events)  # the pause begins after a long count
        finally:
            self._counting.release()

    def _count(self) -> int:
        n = 0
        assert self._events is not None
        with suppress(zmq.Again):
            # checked before: an exception for "no event" takes longer
            while n or cast("int", self._events.get(zmq.EVENTS)) & _READABLE:
                event, _ = self._events.recv_multipart(zmq.NOBLOCK)
                self._counts.add(_EVENT.unpack_from(event)[0])
                self._apply_limit()
                n += 1
        return n

    def _apply_limit(self) -> None:
        if not self.is_full and self._counts.open > self._limit:
            self._set_full(True)
        elif self.is_full and self._counts.open < self._limit * 5 // 6:
            self._set_full(False)

    def _set_full(self, full: bool) -> None:
        self.is_full = full
        if not full:
            self._listener.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
            return
        code = ctypes.create_string_buffer(_DROP_ALL, len(_DROP_ALL))
        program = struct.pack("HP", 1, ctypes.addressof(code))  # struct sock_fprog
        self._listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)

    def close(self) -> None:
        """Stop listening; connections stay open until the router is closed."""
        stop, self._stop = self._stop, -1  # the descriptor may be reused
        if stop < 0:
            return
        os.eventfd_write(stop, 1)
        if self._thread.ident is not None:
            self._thread.join()
        os.close(stop)
        if self._events is not None:
            self._events.close()
        self._listener.close()


def raise_file_limit() -> int:
    """Raise the soft limit of open files, often 1024, to the hard one; returns it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return _MANY_FILES if hard == resource.RLIM_INFINITY else hard
