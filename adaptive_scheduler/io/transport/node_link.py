"""Sockets between the head of a job and its other nodes: ZeroMQ, CURVE, keys for one head's life."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import zmq

from adaptive_scheduler.io.transport.addresses import host_addresses
from adaptive_scheduler.io.transport.authenticator import Authenticator
from adaptive_scheduler.io.transport.connection_limit import ConnectionLimiter
from adaptive_scheduler.io.transport.keys import KeyPair

#: Bytes of one message: a value that goes by no file, and a little more.
_LONGEST = 128 * 2**20
#: Seconds after which a broken connection is tried again, at most.
_RECONNECT = 1.0
#: Milliseconds that the last words may take.
_FAREWELL = 500
#: Plain integers, see `server`.
_NOW = int(zmq.NOBLOCK)
_READABLE = int(zmq.POLLIN)

#: See `server`: a context that is freed with open sockets waits for ever.
_contexts: set[zmq.Context[zmq.Socket[bytes]]] = set()


class _NodeSocket:
    """What both ends have: no limit for what waits to be sent, and a file descriptor to wait for.

    The descriptor says that something has *changed* (zmq_getsockopt(3), ZMQ_FD): before waiting for
    it, all that has come is to be received, and `has_heard` is to be asked after each `send`.
    """

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        socket.linger = 0
        for option in (zmq.SNDHWM, zmq.RCVHWM):
            socket.set(option, 0)
        socket.set(zmq.MAXMSGSIZE, _LONGEST)
        self._socket = socket

    def fileno(self) -> int:
        """For a selector."""
        return int(self._socket.get(zmq.FD))

    @property
    def has_heard(self) -> bool:
        """Whether there is something to receive."""
        return bool(int(self._socket.get(zmq.EVENTS)) & _READABLE)


class NodeServer(_NodeSocket):
    """The head's end. It has new keys; who has the client's pair is let in.

    Attributes
    ----------
    urls : list of str
        Where it listens: each address of this host.
    server_key : bytes
    client : KeyPair
    """

    def __init__(self) -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        _contexts.add(context)
        server, self.client = KeyPair(*zmq.curve_keypair()), KeyPair(*zmq.curve_keypair())
        self.server_key = server.public
        self._context = context
        Authenticator(context, self.client.public).start()
        super().__init__(context.socket(zmq.ROUTER))
        # a life that connects anew goes on by its new connection
        self._socket.set(zmq.ROUTER_HANDOVER, 1)
        self._socket.curve_server = True
        self._socket.curve_secretkey, self._socket.curve_publickey = server.secret, server.public
        self._socket.set(zmq.ZAP_DOMAIN, b"nodes")  # see `server`: with one, nobody else is let in
        self._socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)
        self._limiter = ConnectionLimiter(context)
        port = self._limiter.listen("", 0)
        self._limiter.open(self._socket)
        self.urls = [f"tcp://{host}:{port}" for host in host_addresses()]

    def receive(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield what has come: the life that sends, and what."""
        with suppress(zmq.Again):
            while True:
                peer, *parts = self._socket.recv_multipart(_NOW)
                yield peer, b"".join(parts)

    def send(self, peer: bytes, data: bytes) -> None:
        """Send to a life; one that is not connected does not get it, and notices that by itself."""
        self._socket.send_multipart((peer, data), _NOW)

    def close(self) -> None:
        """Close it, and forget its keys; what is said to those that are sent away has a moment."""
        self._limiter.close()
        self._socket.close(_FAREWELL)
        self._context.term()
        _contexts.discard(self._context)


class NodeClient(_NodeSocket):
    """A proxy's end.

    Parameters
    ----------
    url : str
    server_key : bytes
    client : KeyPair
    life : bytes
        Names this process among all that this node has.
    """

    def __init__(self, url: str, server_key: bytes, client: KeyPair, life: bytes) -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        _contexts.add(context)
        self._context = context
        super().__init__(context.socket(zmq.DEALER))
        self._socket.set(zmq.ROUTING_ID, life)
        self._socket.set(zmq.RECONNECT_IVL_MAX, int(_RECONNECT * 1000))
        self._socket.curve_publickey, self._socket.curve_secretkey = client.public, client.secret
        self._socket.curve_serverkey = server_key
        self._socket.connect(url)

    def receive(self) -> Iterator[bytes]:
        """Yield what has come."""
        with suppress(zmq.Again):
            while True:
                yield self._socket.recv(_NOW)

    def send(self, data: bytes) -> None:
        """Send it as soon as there is a connection."""
        self._socket.send(data, _NOW)

    def close(self, linger: float = 0.0) -> None:
        """Close it; what is not sent has `linger` seconds."""
        self._socket.close(int(linger * 1000))
        self._context.term()
        _contexts.discard(self._context)
