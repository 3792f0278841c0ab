"""The manager's socket: a ZeroMQ ROUTER that only holders of the run's client key reach."""

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
# As plain numbers: pyzmq combines flags at each message, which takes enums ten times longer.
_NOW = int(zmq.NOBLOCK)
_NOW_AND_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)
#: Nobody sends more than a traceback; larger messages close their connection.
_MAX_MESSAGE = 16 * 2**20


#: Contexts that are in use. Python's garbage collector must never meet one with open sockets:
#: it may finalize the context before its sockets, and then waits for them for ever.
_served: set[zmq.Context[zmq.Socket[bytes]]] = set()


class Server:
    """The manager's socket.

    Parameters
    ----------
    folder : RunFolder
        Its keys are made if need be.
    url : str, optional
        Bind here exactly, ``tcp://host:port``.
    interface : str, optional
        A network interface (``eth0``) or an address to listen on; default all.
    ports : str, optional
        ``"50000-50100"``: choose from these.

    Raises
    ------
    InputError
        Nothing can be bound there.
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
        _served.add(self._context)
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
        self._door: ConnectionLimiter | None = None
        try:
            self.urls = self._listen(url, interface, ports)
        except BaseException:
            self.close()
            raise

    def _listen(self, url: str | None, interface: str | None, ports: str | None) -> list[str]:
        hosts = [split_url(url)[0]] if url else host_addresses(interface)
        low, high = port_range(ports) if ports else (0, 0)
        tried = [split_url(url)[1]] if url else random.sample(range(low, high + 1), high - low + 1)
        self._door = ConnectionLimiter(self._context, hosts[0] if url or interface else "")
        try:
            port = _first_free(self._door, tried)
        except OSError as error:
            where = url or f"tcp://{hosts[0] if interface else '*'}:{ports or '*'}"
            raise InputError(
                f"cannot listen on {where}: {error.strerror or error}. "
                "Another program may hold the port: choose another url, interface or ports."
            ) from error
        self._door.open(self._socket)
        return [f"tcp://{host}:{port}" for host in hosts]

    @property
    def refused(self) -> int:
        """How many connections had no key of this run."""
        return self._door.refused if self._door is not None else 0

    @property
    def is_full(self) -> bool:
        """Whether nobody else is let in, because too many connections are open."""
        return self._door is not None and self._door.is_full

    def receive(self, timeout: float, most: int = 1000) -> list[tuple[bytes, bytes]]:
        """Wait up to `timeout` seconds, then drain the socket: (connection, message) pairs."""
        self._look_around()
        ready = dict(self._poller.poll(math.ceil(1000 * timeout)))
        if self._wake in ready:
            os.eventfd_read(self._wake)
        messages: list[tuple[bytes, bytes]] = []
        while len(messages) < most:
            try:
                frames = self._socket.recv_multipart(_NOW)
            except zmq.Again:
                break
            if len(frames) >= 2:  # a REQ puts an empty frame between
                messages.append((frames[0], frames[-1]))
        return messages

    def _look_around(self) -> None:
        if self._door is not None:
            self._door.look()
        if self._authenticator.is_alive() and (self._door is None or self._door.is_watched):
            return
        who = "watch at the door" if self._authenticator.is_alive() else "authenticator"
        raise RuntimeError(
            f"the {who} has died, so nobody new can come in; manager.out says of what. Jobs go on: "
            "start the next manager with adaptive-scheduler resume."
        )

    def send(self, connection: bytes, message: bytes) -> None:
        """Answer; a connection that is gone or full gets nothing and asks again."""
        try:
            self._socket.send(connection, _NOW_AND_MORE)
            self._socket.send(message, _NOW)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EAGAIN, zmq.EHOSTUNREACH):
                raise

    def wake(self) -> None:
        """Make `receive` return at once; may be called from any thread, also after `close`."""
        with self._waking:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Close everything; replies not yet sent get a second to leave."""
        if self._door is not None:
            self._door.close()
        self._socket.close(linger=1000)
        self._context.term()
        _served.discard(self._context)
        with self._waking:  # the number may soon be another file's
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
    # without a domain libzmq lets in everybody when no authenticator answers; so nobody
    zmq.ZAP_DOMAIN: b"run",
    zmq.ZAP_ENFORCE_DOMAIN: 1,
}


def _first_free(door: ConnectionLimiter, ports: list[int]) -> int:
    """Listen at the first that can be had; OSError with the last reason if none can."""
    for port in ports[:-1]:
        with suppress(OSError):
            return door.listen(port)
    return door.listen(ports[-1])
