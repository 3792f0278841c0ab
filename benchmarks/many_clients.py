"""Simulates many clients in one process, each with its own socket."""

from __future__ import annotations

import time

import zmq

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.messages import (
    Assigned,
    Beat,
    Claim,
    Finish,
    Hello,
    Ok,
    Owner,
    Reply,
    Report,
    Request,
    decode_reply,
    encode_request,
)
from adaptive_scheduler.io.transport import keys
from adaptive_scheduler.io.transport.addresses import Address

REPORT = Report(npoints=50, loss=0.01, seconds=1.0, new_points=50)


class ManyClients:
    """Clients of one manager, over CURVE.

    Parameters
    ----------
    folder : RunFolder
    address : Address
        Address of the manager.
    n : int
        Number of clients.
    prefix : str
        Prefix of their job ids.
    """

    def __init__(self, folder: RunFolder, address: Address, n: int, prefix: str = "job") -> None:
        self._context = zmq.Context(io_threads=1)
        self._context.set(zmq.MAX_SOCKETS, n + 100)
        self._poller = zmq.Poller()
        self._pair = keys.load(folder.keys, "client")
        self._address = address
        self.sockets = [self._connect() for _ in range(n)]
        self.owners = [Owner(f"{prefix}_{k}", 0, 0, f"{prefix}-uuid-{k}") for k in range(n)]
        self._place = {socket: k for k, socket in enumerate(self.sockets)}
        self._numbers = [0] * n
        self._sent = [0.0] * n
        self.waits: list[float] = []

    def _connect(self) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.DEALER)
        socket.linger = 0
        socket.curve_publickey, socket.curve_secretkey = self._pair.public, self._pair.secret
        socket.curve_serverkey = self._address.server_key.encode()
        socket.connect(self._address.urls[0])
        self._poller.register(socket, zmq.POLLIN)
        return socket

    def send(self, k: int, request: Request) -> None:
        """Send a request of client `k`."""
        self._numbers[k] += 1
        self._sent[k] = time.perf_counter()
        self.sockets[k].send(encode_request(self.owners[k], self._numbers[k], request))

    def answers(self, timeout: float) -> list[tuple[int, Reply]]:
        """Wait for replies; returns those that are there as (client, reply)."""
        answers = []
        for socket, _ in self._poller.poll(timeout * 1000):
            k = self._place[socket]
            number, reply = decode_reply(socket.recv(zmq.NOBLOCK))
            if number == self._numbers[k]:
                self.waits.append(time.perf_counter() - self._sent[k])
                answers.append((k, reply))
        return answers

    def hello(self, timeout: float = 60) -> None:
        """Send hello from all clients, and wait for all replies."""
        for k in range(len(self.sockets)):
            self.send(k, Hello("node", 1, 1, -1))
        self._all(timeout)

    def beat(self, tokens: dict[int, int]) -> None:
        """Send a heartbeat from all clients, and wait for all replies."""
        for k in range(len(self.sockets)):
            self.send(k, Beat(tokens.get(k, 0), REPORT))
        self._all(60)

    def claim(self, timeout: float = 60) -> dict[int, int]:
        """Claim an item for each client; returns their tokens."""
        for k in range(len(self.sockets)):
            self.send(k, Claim())
        return {
            k: reply.token for k, reply in self._all(timeout) if isinstance(reply, Assigned)
        }  # fmt: skip

    def _all(self, timeout: float) -> list[tuple[int, Reply]]:
        """One reply for each client, in their order: polling 8,000 sockets each time takes a core."""
        end = time.monotonic() + timeout
        answers: list[tuple[int, Reply]] = []
        for k, socket in enumerate(self.sockets):
            number = 0
            while number != self._numbers[k]:
                socket.set(zmq.RCVTIMEO, int(1000 * max(0.0, end - time.monotonic())))
                number, reply = decode_reply(socket.recv())  # zmq.Again: too late
            answers.append((k, reply))
        return answers

    def cycles(self, n: int, *, apart: bool = False) -> float:
        """Let all clients claim and finish until `n` cycles are done; returns cycles per second.

        Each finish claims the next item, as clients do; with `apart` the claim is another request.
        """
        tokens = self.claim()
        self.waits.clear()
        begin = time.perf_counter()
        done = 0
        for k, token in tokens.items():
            self.send(k, Finish(token, REPORT, claims=not apart))
        while done < n:
            for k, reply in self.answers(10.0):
                done += not apart or isinstance(reply, Ok)
                is_given = isinstance(reply, Assigned)
                self.send(k, Finish(reply.token, REPORT, not apart) if is_given else Claim())
        rate = done / (time.perf_counter() - begin)
        self._settle()
        return rate

    def _settle(self) -> None:
        """Finish the items that are still held, so that the next round begins like this one."""
        while answers := self.answers(0.5):
            for k, reply in answers:
                if isinstance(reply, Assigned):
                    self.send(k, Finish(reply.token, REPORT))

    def close(self) -> None:
        """Close all sockets."""
        self._context.destroy(linger=0)
