"""The sockets between a head and its other nodes: who is let in, and what happens when a connection breaks."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import msgspec
import pytest
import zmq

from adaptive_scheduler.client.tasks.messages import TaskEnd
from adaptive_scheduler.client.tasks.other_nodes.conversation import Conversation
from adaptive_scheduler.client.tasks.other_nodes.messages import FromNode
from adaptive_scheduler.core.wire.tasks import EndKind
from adaptive_scheduler.errors import ProtocolError
from adaptive_scheduler.io.transport.keys import KeyPair
from adaptive_scheduler.io.transport.node_link import NodeClient, NodeServer

PATIENCE = 60.0


@pytest.fixture
def server() -> Iterator[NodeServer]:
    one = NodeServer()
    yield one
    one.close()


class Wire:
    """A port that leads to another one, until it is cut."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("tcp://").rpartition(":")
        self._to = host, int(port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._server.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self.n = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                one, _ = self._server.accept()
            except OSError:
                return
            other = socket.create_connection(self._to)
            self._open += [one, other]
            self.n += 1
            for pair in ((one, other), (other, one)):
                threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(2**16):
                other.sendall(data)
        except OSError:
            pass

    def cut(self) -> None:
        while self._open:  # a new connection may come meanwhile
            sock = self._open.pop()
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # also for the thread that reads it
            sock.close()

    def close(self) -> None:
        self.cut()
        self._server.close()


def wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def client(server: NodeServer, url: str = "", pair: KeyPair | None = None) -> NodeClient:
    return NodeClient(url or server.urls[0], server.server_key, pair or server.client, b"life")


def test_only_who_has_the_key_is_let_in(server: NodeServer) -> None:
    stranger = client(server, pair=KeyPair(*zmq.curve_keypair()))
    stranger.send(b"let me in")
    context = zmq.Context()
    plain = context.socket(zmq.DEALER)
    plain.connect(server.urls[0])
    plain.send(b"me too")
    ours = client(server)
    ours.send(b"hello")
    heard: list[tuple[bytes, bytes]] = []
    wait(lambda: bool(heard.extend(server.receive()) or heard))
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        heard.extend(server.receive())
        time.sleep(0.02)
    assert heard == [(b"life", b"hello")]
    for one in (stranger, ours):
        one.close()
    plain.close(0)
    context.term()


def test_a_selector_is_woken_by_each_message(server: NodeServer) -> None:
    """ZeroMQ's descriptor tells of changes only: what has come with another one must not wait."""
    ours = client(server)
    poll = selectors.DefaultSelector()
    poll.register(server, selectors.EVENT_READ)
    n, end = 0, time.monotonic() + PATIENCE
    for k in range(200):
        ours.send(str(k).encode())
    while n < 200:
        assert time.monotonic() < end, n
        if not server.has_heard:
            poll.select(0.2)
        for peer, _ in server.receive():
            n += 1
            server.send(peer, b"heard")
    answers: list[bytes] = []
    wait(lambda: bool(answers.extend(ours.receive())) or len(answers) == 200)
    ours.close()


class Talk:
    """A proxy that tells how tasks end, by a wire, and a head that hears it."""

    def __init__(self, server: NodeServer, url: str) -> None:
        decoder = msgspec.msgpack.Decoder(FromNode)
        self._said, self._heard = Conversation(decoder, 0.0), Conversation(decoder, 0.0)
        self._server, self.client = server, client(server, url)
        self.tokens: list[int] = []
        self.lost = ""

    def say(self, token: int) -> None:
        self._said.put(TaskEnd(token, EndKind.VALUE, value=b"x" * 1000))
        for parcel in self._said.parcels(0.0):
            self.client.send(parcel)

    def hear(self) -> None:
        for _, data in self._server.receive():
            try:
                self.tokens.extend(one.token for one in self._heard.take(data, 0.0))
            except ProtocolError as error:
                self.lost = str(error)


def test_a_connection_that_breaks_is_made_anew_and_what_is_lost_is_noticed(
    server: NodeServer,
) -> None:
    wire = Wire(server.urls[0])
    talk = Talk(server, wire.url)
    cuts = 0
    for token in range(1, 301):
        talk.say(token)
        if token % 100 == 0:
            wait(lambda: wire.n > cuts)  # noqa: B023  it is asked at once
            time.sleep(0.05)  # some of it is on its way
            cuts = wire.n
            wire.cut()
    until, token = time.monotonic() + PATIENCE, 300
    while not talk.lost and token not in talk.tokens:
        assert time.monotonic() < until
        token += 1
        talk.say(token)
        time.sleep(0.05)
        talk.hear()
    assert wire.n > 1, "it was never made anew"
    assert talk.lost or len(talk.tokens) == token
    assert talk.tokens == list(range(1, len(talk.tokens) + 1))  # nothing after what is missing
    talk.client.close()
    wire.close()
