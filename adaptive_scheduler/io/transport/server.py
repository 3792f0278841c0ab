"""The manager's socket: a ZeroMQ ROUTER for clients that have the key of the run."""

from __future__ import annotations

import math
import os
import random
import threading
from contextlib import suppress
from typing import Any

import zmq

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.transport import keys
from adaptive_scheduler.io.transport.addresses import (
    host_addresses,
    port_range,
    split_url,
)
from adaptive_scheduler.io.transport.authenticator import Authenticator
from adaptive_scheduler.io.transport.connection_limit import ConnectionLimiter

_MAX_SOCKETS = 65536
# Plain integers: pyzmq combines flags for each message, which with enums takes ten times longer.
_NOW = int(zmq.NOBLOCK)
_NOW_AND_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)
#: Bytes of one message; a larger one closes its connection. The largest are tracebacks.
_MAX_MESSAGE = 16 * 2**20


#: Contexts in use, so that Python's garbage collector never frees one with open sockets: it may
#: finalize the context first, which then waits for its sockets for ever.
_contexts: set[zmq.Context[zmq.Socket[bytes]]] = set()


class Server:
    """The manager's socket.

    Parameters
    ----------
    folder : RunFolder
        Its keys are created if missing.
    url : str, optional
        Listen exactly here, ``tcp://host:port``.
    interface : str, optional
        A network interface (``eth0``) or address to listen on; default: all.
    ports : str, optional
        Choose a port from these, ``"50000-50100"``.

    Raises
    ------
    InputError
        It cannot listen there.
    """

    def __init__(
        self,
        folder: RunFolder,
        url: str | None = None,
        interface: str | None = None,
        ports: str | None = None,
    ) -> None:
        server, client = (
            keys.load_or_make(folder.keys, "server"),
            keys.load_or_make(folder.keys, "client"),
        )
        self._context = zmq.Context()
        _contexts.add(self._context)
        self._context.set(zmq.MAX_SOCKETS, _MAX_SOCKETS)
        self._authenticator = Authenticator(self._context, client.public)
        self._authenticator.start()
        self._socket = self._context.socket(zmq.ROUTER)
        for option, value in _SERVER_OPTIONS.items():
            self._socket.set(option, value)
        self._socket.curve_server = True
        self._socket.curve_secretkey, self._socket.curve_publickey = server.secret, server.public
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._waking = threading.Lock()
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._wake, zmq.POLLIN)
        self.server_key = server.public.decode()
        self._limiter: ConnectionLimiter | None = None
        try:
            self.urls = self._listen(url, interface, ports)
        except BaseException:
            self.close()
            raise

    def _listen(self, url: str | None, interface: str | None, ports: str | None) -> list[str]:
        hosts = [split_url(url)[0]] if url else host_addresses(interface)
        low, high = port_range(ports) if ports else (0, 0)
        tried = [split_url(url)[1]] if url else random.sample(range(low, high + 1), high - low + 1)
        self._limiter = ConnectionLimiter(self._context)
        try:
            port = _first_free(self._limiter, hosts[0] if url or interface else "", tried)
        except OSError as error:
            where = url or f"tcp://{hosts[0] if interface else '*'}:{ports or '*'}"
            raise InputError(
                f"cannot listen on {where}: {error.strerror or error}. "
                "Another program may hold the port: choose another url, interface or ports."
            ) from error
        self._limiter.open(self._socket)
        return [f"tcp://{host}:{port}" for host in hosts]

    @property
    def refused(self) -> int:
        """Number of connections without a key of this run."""
        return self._limiter.refused if self._limiter is not None else 0

    @property
    def is_full(self) -> bool:
        """Whether new connections are refused, because too many are open."""
        return self._limiter is not None and self._limiter.is_full

    def receive(self, timeout: float, most: int = 1000) -> list[tuple[bytes, bytes]]:
        """Wait up to `timeout` seconds for messages; returns all as (connection, message)."""
        self._check_threads()
        ready = dict(self._poller.poll(math.ceil(1000 * timeout)))
        if self._wake in ready:
            os.eventfd_read(self._wake)
        messages: list[tuple[bytes, bytes]] = []
        while len(messages) < most:
            try:
                frames = self._socket.recv_multipart(_NOW)
            except zmq.Again:
                break
            if len(frames) >= 2:  # a REQ socket sends an empty frame in between
                messages.append((frames[0], frames[-1]))
        return messages

    def _check_threads(self) -> None:
        if self._limiter is not None:
            self._limiter.update()
        if self._authenticator.is_alive() and (self._limiter is None or self._limiter.is_running):
            return
        which = "connection limiter" if self._authenticator.is_alive() else "authenticator"
        raise RuntimeError(
            f"the thread of the {which} has died, so no new client can connect; manager.out says why. "
            "Jobs go on: "
            "start the next manager with adaptive-scheduler resume."
        )

    def send(self, connection: bytes, message: bytes) -> None:
        """Send a reply. One to a closed or full connection is dropped: the client asks again."""
        try:
            self._socket.send(connection, _NOW_AND_MORE)
            self._socket.send(message, _NOW)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EAGAIN, zmq.EHOSTUNREACH):
                raise

    def wake(self) -> None:
        """Make `receive` return at once; thread-safe, also after `close`."""
        with self._waking:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Close everything, after at most a second for replies that are still being sent."""
        if self._limiter is not None:
            self._limiter.close()
        self._socket.close(linger=1000)
        self._context.term()
        _contexts.discard(self._context)
        with self._waking:  # the descriptor may be reused
            wake, self._wake = self._wake, -1
        os.close(wake)


_SERVER_OPTIONS: dict[int, Any] = {
    zmq.LINGER: 1000,
    zmq.MAXMSGSIZE: _MAX_MESSAGE,
    zmq.ROUTER_MANDATORY: 1,
    zmq.IPV6: 0,
    zmq.TCP_KEEPALIVE: 1,
    zmq.TCP_KEEPALIVE_IDLE: 120,
    zmq.HANDSHAKE_IVL: 30_000,
    # without a domain libzmq admits everybody while no authenticator answers; with one, nobody
    zmq.ZAP_DOMAIN: b"run",
    zmq.ZAP_ENFORCE_DOMAIN: 1,
}


def _first_free(limiter: ConnectionLimiter, host: str, ports: list[int]) -> int:
    """Listen at the first free port and return it; OSError of the last one if none is free."""
    for port in ports[:-1]:
        with suppress(OSError):
            return limiter.listen(host, port)
    return limiter.listen(host, ports[-1])
