"""The client's socket: a ZeroMQ DEALER that reconnects when the manager has moved."""

from __future__ import annotations

import math
import time

import zmq

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.messages import (
    Owner,
    Reply,
    Request,
    decode_reply,
    encode_request,
)
from adaptive_scheduler.errors import ManagerUnreachableError
from adaptive_scheduler.io.transport.addresses import Address
from adaptive_scheduler.io.transport.whereabouts import InFolder, Whereabouts

#: Seconds between two checks whether the manager has moved, while it does not answer.
_CHECK = 0.5


class _InterruptedError(Exception):
    """Something else is to be said."""


class Connection:
    """A connection to the manager of a run, wherever it listens at the moment.

    Not thread-safe.

    Parameters
    ----------
    where : RunFolder or Whereabouts
        The run's folder, which says where its manager listens; or what says it in its place.
    """

    def __init__(self, where: RunFolder | Whereabouts) -> None:
        self._where = InFolder(where) if isinstance(where, RunFolder) else where
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        self._socket: zmq.Socket[bytes] | None = None
        self._connected: tuple[str, Address] | None = None
        self._interrupt, self._deaf_until = -1, 0.0
        self._read: object = None
        self._last_url = ""

    def ask_unless(
        self, interrupt: int, sender: Owner, number: int, body: Request, timeout: float,
        at_least: float = 0.0,
    ) -> Reply | None:  # fmt: skip
        """As `ask`, but return None as soon as something can be read from a file descriptor.

        For requests that the manager answers when there is something to say. The next one takes
        the place of the one that was left without an answer: its answer is not taken any more. So
        one that the manager answers at once is to be waited for `at_least` some seconds: else who
        has news more often than the manager answers never hears of it.
        """
        self._interrupt, self._deaf_until = interrupt, time.monotonic() + at_least
        try:
            return self.ask(sender, number, body, timeout)
        except _InterruptedError:
            return None
        finally:
            self._interrupt = -1

    def ask(
        self, sender: Owner, number: int, body: Request, timeout: float, only: str | None = None
    ) -> Reply:
        """Send a request and wait for its reply.

        Parameters
        ----------
        timeout : float
            Seconds to wait for a reply, for each address of the manager.
        only : str, optional
            Try only this address of the manager.

        Raises
        ------
        ManagerUnreachableError
            There was no reply; the text names the addresses that were tried.
        """
        message = encode_request(sender, number, body)
        self._read = self._where.identity()
        address = self._where.read_address()
        urls = [only] if only is not None else self._in_order(address.urls)
        for url in urls:
            reply = self._ask_at(url, address, message, number, timeout)
            if reply is not None:
                self._last_url = url
                return reply
            if self.has_moved():
                break  # its other addresses are out of date too
        raise ManagerUnreachableError(
            f"the manager of {self._where.database} does not answer at {', '.join(urls)} "
            f"(host {address.host}, process {address.pid})."
        )

    def _in_order(self, urls: list[str]) -> list[str]:
        """Addresses to try, best first: the one that answered last, then others of its host."""
        host = self._last_url.rpartition(":")[0]
        return sorted(urls, key=lambda url: (url != self._last_url, url.rpartition(":")[0] != host))

    def _ask_at(
        self, url: str, address: Address, message: bytes, number: int, timeout: float
    ) -> Reply | None:
        if self._socket is None or self._connected != (url, address):
            self._connect(url, address)
        assert self._socket is not None
        self._socket.send(message)
        reply = self._receive(number, timeout)
        if reply is None:
            self._disconnect()
        return reply

    def _receive(self, number: int, timeout: float) -> Reply | None:
        assert self._socket is not None
        end = time.monotonic() + timeout
        while True:
            left = end - time.monotonic()  # none: this process may have stood still while it came
            if self._poll(math.ceil(max(0.0, min(left, _CHECK)) * 1000)):
                answered, reply = decode_reply(self._socket.recv())
                if answered == number:  # an earlier number is a late reply to a resent request
                    return reply
            elif left <= 0 or self.has_moved():
                return None

    def _poll(self, milliseconds: int) -> bool:
        assert self._socket is not None
        if self._interrupt < 0:
            return bool(self._socket.poll(milliseconds))
        if (deaf := self._deaf_until - time.monotonic()) > 0:
            return bool(self._socket.poll(min(milliseconds, math.ceil(deaf * 1000))))
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._interrupt, zmq.POLLIN)
        ready = dict(poller.poll(milliseconds))
        if self._socket not in ready and self._interrupt in ready:
            raise _InterruptedError
        return self._socket in ready

    def has_moved(self) -> bool:
        """Whether ``manager.json`` was replaced since the last request: ask again at once.

        Only one `stat`, because clients call this twice a second. A network file system may
        answer it from its cache for up to a minute; `ask` opens the file, for which NFS checks
        the server ("close-to-open consistency", nfs(5)), so the next request finds the manager.
        """
        return self._where.identity() != self._read

    @property
    def peer(self) -> tuple[str, Address] | None:
        """The url of the current connection and its manager; None if not connected."""
        return self._connected

    def _connect(self, url: str, address: Address) -> None:
        self._disconnect()
        pair = self._where.client_keys()
        dealer = self._context.socket(zmq.DEALER)
        dealer.linger = 0
        dealer.set(zmq.MAXMSGSIZE, 256 * 2**20)
        dealer.curve_publickey, dealer.curve_secretkey = pair.public, pair.secret
        dealer.curve_serverkey = address.server_key.encode()
        dealer.connect(url)
        self._socket, self._connected = dealer, (url, address)

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._connected = None, None

    def close(self) -> None:
        """Close the socket."""
        self._disconnect()
