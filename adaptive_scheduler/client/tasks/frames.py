"""Messages over a stream socket: a length of four bytes, then MessagePack."""

from __future__ import annotations

import os
import socket
import struct
import uuid
from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec

from adaptive_scheduler.errors import ProtocolError

#: Bytes that one read takes.
_CHUNK = 2**18
#: No frame is longer: values that are larger go by files.
LONGEST = 64 * 2**20
#: Parts of the buffers that one `sendmsg` takes; Linux allows 1,024 (IOV_MAX).
_PARTS = 512

#: `SO_PEERCRED` of socket(7): pid, uid, gid.
_CREDENTIALS = struct.Struct("iII")


def listen() -> tuple[socket.socket, str]:
    """Return a socket, and its address for `connect`; it has no file that could stay behind (unix(7))."""
    sock = socket.socket(socket.AF_UNIX)
    name = f"adaptive-scheduler-{uuid.uuid4().hex}"
    sock.bind(f"\0{name}")
    sock.listen(1)
    return sock, f"@{name}"


def accept(server: socket.socket) -> tuple[socket.socket, int] | None:
    """Return the next connection and the pid behind it; None if it is another user's: all may connect."""
    sock, _ = server.accept()
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, user, _ = _CREDENTIALS.unpack(credentials)
    if user == os.getuid():
        return sock, pid
    sock.close()
    return None


def connect(address: str) -> socket.socket:
    """Connect to what `listen` has returned, or to a file."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(f"\0{address[1:]}" if address.startswith("@") else address)
    return sock


class Frames:
    """Both directions of one socket that does not block.

    Parameters
    ----------
    sock : socket.socket
    decoder : msgspec.msgpack.Decoder
        Of what the other side sends.
    """

    def __init__(self, sock: socket.socket, decoder: msgspec.msgpack.Decoder[Any]) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.is_open = True
        self._decode = decoder.decode
        self._encode = msgspec.msgpack.Encoder().encode
        self._received = bytearray()
        self._unsent: deque[bytes | memoryview] = deque()

    def send(self, message: Any) -> None:
        """Put a message into the buffer; `flush` sends."""
        body = self._encode(message)
        self._unsent.append(len(body).to_bytes(4, "big") + body)

    @property
    def has_unsent(self) -> bool:
        """Whether the socket could not take all."""
        return bool(self._unsent)

    def flush(self) -> None:
        """Send what the socket takes now; `is_open` is False once the other side has ended."""
        try:
            while self._unsent:
                parts = [self._unsent[n] for n in range(min(_PARTS, len(self._unsent)))]
                self._drop(self.sock.sendmsg(parts))
        except BlockingIOError:
            pass
        except OSError:
            self.is_open = False
            self._unsent.clear()

    def _drop(self, sent: int) -> None:
        while self._unsent and sent >= len(self._unsent[0]):
            sent -= len(self._unsent.popleft())
        if sent:
            self._unsent[0] = memoryview(self._unsent[0])[sent:]

    def receive(self) -> Iterator[Any]:
        """Read what has come; yields the whole messages.

        Raises
        ------
        ProtocolError
            The other side sends something else.
        """
        try:
            while data := self.sock.recv(_CHUNK):
                self._received += data
                if len(data) < _CHUNK:
                    break
            else:
                self.is_open = False
        except BlockingIOError:
            pass
        except OSError:
            self.is_open = False
        yield from self._messages()

    def _messages(self) -> Iterator[Any]:
        begin, received = 0, self._received
        try:
            with memoryview(received) as view:
                while len(received) - begin >= 4:
                    length = int.from_bytes(view[begin : begin + 4], "big")
                    if length > LONGEST:
                        raise ProtocolError(
                            f"a frame of {length} bytes; at most {LONGEST} are sent."
                        )
                    if len(received) - begin - 4 < length:
                        break
                    yield self._decode(view[begin + 4 : begin + 4 + length])
                    begin += 4 + length
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ProtocolError(f"not a message of this version: {error}") from error
        finally:
            del received[:begin]
