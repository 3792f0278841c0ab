"""One side of the talk between a head and a proxy: nothing is lost unnoticed, and silence is noticed. No socket, no clock.

ZeroMQ keeps the order of messages, and drops what was under way when a connection breaks. So each parcel has
a number: who misses one hears it from the next, or from the next heartbeat, and the node is lost then.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from adaptive_scheduler.client.tasks.other_nodes.messages import Parcel
from adaptive_scheduler.errors import ProtocolError

#: Seconds between two heartbeats, and seconds of silence after which the other side is lost.
BEAT, SILENCE = 1.0, 10.0
#: Seconds between two looks at the clock that mean that this process itself stood still, as the whole
#: job does where it is suspended: what the other side has sent meanwhile is to be read first.
STALL = 3.0
#: Bytes, and messages, after which a parcel is closed.
_FULL, _MOST = 2**20, 2000

_encode = msgspec.msgpack.Encoder().encode
_parcel: msgspec.msgpack.Decoder[Parcel] = msgspec.msgpack.Decoder(Parcel)


class Conversation:
    """What is to be said, and what was heard.

    Parameters
    ----------
    decoder : msgspec.msgpack.Decoder
        Of what the other side says.
    now : float
        Monotonic seconds.

    Attributes
    ----------
    taken : int
        Number of the last parcel that has come.
    """

    def __init__(self, decoder: msgspec.msgpack.Decoder[Any], now: float) -> None:
        self.taken = 0
        self._decode = decoder.decode
        self._open: list[msgspec.Raw] = []
        self._closed: list[bytes] = []
        self._size = self._sent = 0
        self._heard = self._looked = now
        self._beat_at = now

    @property
    def next_number(self) -> int:
        """Number of the parcel that gets what is put next."""
        return self._sent + 1

    def put(self, message: Any) -> None:
        """Say this."""
        body = _encode(message)
        self._open.append(msgspec.Raw(body))
        self._size += len(body)
        if self._size > _FULL or len(self._open) >= _MOST:
            self._close_parcel()

    def _close_parcel(self) -> None:
        self._sent += 1
        self._closed.append(_encode(Parcel(self._sent, self._open)))
        self._open, self._size = [], 0

    def parcels(self, now: float) -> list[bytes]:
        """Return what is to be sent now; a heartbeat too when it is time."""
        if self._open:
            self._close_parcel()
        parcels, self._closed = self._closed, []
        if now >= self._beat_at:
            self._beat_at = now + BEAT
            parcels.append(_encode(Parcel(self._sent, [])))
        return parcels

    def take(self, data: bytes, now: float) -> list[Any]:
        """Return what the other side says; one that has come twice says nothing.

        Raises
        ------
        ProtocolError
            It is no message of this version, or one before it was lost.
        """
        parcel = read_parcel(data)
        self._heard = now
        expected = self.taken + bool(parcel.bodies)
        if parcel.number > expected:
            raise ProtocolError(f"{parcel.number - expected} messages were lost on their way.")
        if not parcel.bodies or 0 < parcel.number < expected:
            return []
        if parcel.number:
            self.taken = parcel.number
        return list(bodies_of(parcel, self._decode))

    def is_silent(self, now: float) -> bool:
        """Whether nothing was heard for so long that the other side is lost. To be asked each second."""
        if now - self._looked > STALL:
            self._heard += now - self._looked
        self._looked = now
        return now - self._heard > SILENCE


def read_parcel(data: bytes) -> Parcel:
    """Read a parcel, but for its messages. ProtocolError if it is none."""
    try:
        return _parcel.decode(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ProtocolError(f"not a message of this version: {error}") from error


def bodies_of(parcel: Parcel, decode: Any) -> Iterator[Any]:
    """Read the messages of a parcel. ProtocolError if one is of another version."""
    try:
        for body in parcel.bodies:
            yield decode(body)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ProtocolError(f"not a message of this version: {error}") from error


def alone(message: Any) -> bytes:
    """Return a parcel for somebody who is no part of the job."""
    return _encode(Parcel(0, [msgspec.Raw(_encode(message))]))
