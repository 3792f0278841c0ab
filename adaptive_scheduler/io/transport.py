"""The wire: a ROUTER in the manager, a DEALER in everybody else, CURVE on both."""

from __future__ import annotations

import os
import resource
import threading
from typing import Any

import zmq
from zmq.auth.thread import ThreadAuthenticator

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io import keys
from adaptive_scheduler.io.addresses import (
    host_addresses,
    port_range,
    split_url,
)

#: Clients that may stand in the kernel's queue; the default of 100 makes 8,000
#: clients that come at once wait four times longer (measured: 31.9 s, 7.4 s).
_BACKLOG = 8192
_MAX_SOCKETS = 65536
#: Nobody sends more than a traceback; larger messages close their connection.
_MAX_MESSAGE = 16 * 2**20


#: Contexts that are in use. Python's garbage collector must never meet one with open sockets:
#: it may finalize the context before its sockets, and then waits for them for ever.
_served: set[zmq.Context[zmq.Socket[bytes]]] = set()


class _OneClientKey:
    """Lets in who owns this run's client key; counts who does not."""

    def __init__(self, allowed: bytes) -> None:
        self._allowed = allowed
        self.refused = 0

    def callback(self, domain: str, key: bytes) -> bool:  # noqa: ARG002 the interface of zmq.auth
        allowed = key == self._allowed
        self.refused += not allowed
        return allowed


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
        _raise_file_limit()
        self._context = zmq.Context()
        _served.add(self._context)
        self._context.set(zmq.MAX_SOCKETS, _MAX_SOCKETS)
        server, client = (
            keys.load_or_make(folder.keys, "server"),
            keys.load_or_make(folder.keys, "client"),
        )
        self._gate = _OneClientKey(client.public)
        self._authenticator = ThreadAuthenticator(self._context)
        self._authenticator.start()
        self._authenticator.configure_curve_callback("*", credentials_provider=self._gate)
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
        try:
            self.urls = self._bind(url, interface, ports)
        except BaseException:
            self.close()
            raise

    def _bind(self, url: str | None, interface: str | None, ports: str | None) -> list[str]:
        hosts = [split_url(url)[0]] if url else host_addresses(interface)
        where = f"tcp://{hosts[0]}" if url or interface else "tcp://*"
        low, high = port_range(ports)
        try:
            if url:
                port = split_url(url)[1]
                self._socket.bind(f"{where}:{port}")
            elif ports:
                port = self._socket.bind_to_random_port(
                    where, low, high + 1, max_tries=10 * (high - low + 1)
                )
            else:
                self._socket.bind(f"{where}:*")
                port = split_url(self._socket.getsockopt_string(zmq.LAST_ENDPOINT))[1]
        except zmq.ZMQError as error:
            raise InputError(
                f"cannot listen on {url or where + ':' + (ports or '*')}: {error}. "
                "Another program may hold the port: choose another url, interface or ports."
            ) from error
        return [f"tcp://{host}:{port}" for host in hosts]

    @property
    def refused(self) -> int:
        """How many connections had no key of this run."""
        return self._gate.refused

    def receive(self, timeout: float, most: int = 1000) -> list[tuple[bytes, bytes]]:
        """Wait up to `timeout` seconds, then drain the socket: (connection, message) pairs."""
        ready = dict(self._poller.poll(max(0, int(timeout * 1000))))
        if self._wake in ready:
            os.eventfd_read(self._wake)
        messages: list[tuple[bytes, bytes]] = []
        while len(messages) < most:
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            if len(frames) >= 2:  # a REQ puts an empty frame between
                messages.append((frames[0], frames[-1]))
        return messages

    def send(self, connection: bytes, message: bytes) -> None:
        """Answer; a connection that is gone or full gets nothing and asks again."""
        try:
            self._socket.send_multipart([connection, message], zmq.NOBLOCK)
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
        self._socket.close(linger=1000)
        self._authenticator.stop()
        self._context.term()
        _served.discard(self._context)
        with self._waking:  # the number may soon be another file's
            wake, self._wake = self._wake, -1
        os.close(wake)


_SERVER_OPTIONS: dict[int, Any] = {
    zmq.LINGER: 1000,
    zmq.BACKLOG: _BACKLOG,
    zmq.MAXMSGSIZE: _MAX_MESSAGE,
    zmq.ROUTER_MANDATORY: 1,
    zmq.IPV6: 0,
    zmq.TCP_KEEPALIVE: 1,
    zmq.TCP_KEEPALIVE_IDLE: 120,
    zmq.HANDSHAKE_IVL: 30_000,
}


def _raise_file_limit() -> None:
    """A connection is a file: the soft limit, often 1024, is raised to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
