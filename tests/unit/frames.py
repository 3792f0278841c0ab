"""Frames as nobody sends them: valid ones bent in their structure or in their bytes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgspec

from adaptive_scheduler.core.wire.messages import (
    Beat,
    Cancel,
    CancelItems,
    ChangeMaxJobs,
    Claim,
    Fail,
    Finish,
    Goodbye,
    Hello,
    Owner,
    Release,
    Report,
    Request,
    Resume,
    Retry,
    Status,
    encode_request,
)

ODD: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**63 - 1, -(2**63), 2**64 - 1, 0.0, -0.0, 1e308,
    float("inf"), float("nan"), "", "\0", "ü€😀", "x" * 300, b"", b"\xff" * 9, [], {}, [[]],
    {"type": "Stop"}, {"type": "Claim", "token": 1}, {1: 2}, "Finish", "Cancel", "__class__",
    msgspec.msgpack.Ext(1, b"x"), [0] * 50,
]  # fmt: skip
#: Headers of MessagePack that promise more than follows, and what nests too deeply.
CUT = [
    b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff",
    b"\xc1", b"\x91" * 3000, b"\x81\xa1a" * 3000, b"\xd9\x02\xff\xfe", b"\xa1\xff",
]  # fmt: skip


class Fuzzer:
    """Makes frames, from one seed.

    Parameters
    ----------
    seed : int
    owners : sequence of Owner
        Who speaks in the frames that they are made from.
    """

    def __init__(self, seed: int, owners: Sequence[Owner]) -> None:
        self._rng = random.Random(seed)
        self._owners = owners
        self._number = 0
        self._last = b"\x90"

    def frame(self, tokens: Sequence[int]) -> bytes:
        """Make the next one; `tokens` are rights that are good just now."""
        rng = self._rng
        valid = encode_request(rng.choice(self._owners), self._next_number(), self._body(tokens))
        bend = rng.choice((self._same, self._structure, self._structure, self._bytes, self._noise))
        made = bend(valid)
        self._last = valid
        return made

    def _next_number(self) -> int:
        self._number += 1
        return self._number if self._rng.random() < 0.95 else self._rng.randrange(self._number)

    def _body(self, tokens: Sequence[int]) -> Request:
        rng = self._rng
        token = rng.choice(tokens) if tokens and rng.random() < 0.5 else rng.randrange(2**40)
        report = Report(rng.randrange(100), rng.random(), 1.5, 1, 2.0, 3.0, 4.0, 5.0, 6.0)
        if rng.random() < 0.002:
            return rng.choice(_of_people(rng))
        return rng.choice((
            Hello("host", 1, 1), Claim(), Claim(), Claim(), Beat(token, report), Beat(token, report),
            Finish(token, report, rng.random() < 0.5), Fail(token, "it raised", "Traceback", report),
            Release(token, "deadline", report), Goodbye("it left"), Status("none"),
        ))  # fmt: skip

    def _same(self, valid: bytes) -> bytes:
        return valid

    def _structure(self, valid: bytes) -> bytes:
        """Another value, one more or one less, somewhere in the message."""
        rng = self._rng
        whole = msgspec.msgpack.decode(valid)
        place: Any = whole
        while True:
            keys = list(place) if isinstance(place, dict) else range(len(place))
            key = rng.choice(keys)
            if not isinstance(place[key], (list, dict)) or not place[key] or rng.random() < 0.2:
                break
            place = place[key]
        act = rng.randrange(4)
        if act == 0:
            del place[key]
        elif act == 1 and isinstance(place, list):
            place.insert(key, rng.choice(ODD))
        elif act == 2 and isinstance(place, dict):
            place[rng.choice(("type", "token", "x", "report", "items"))] = place[key]
        else:
            place[key] = rng.choice(ODD)
        return msgspec.msgpack.encode(whole)

    def _bytes(self, valid: bytes) -> bytes:
        rng = self._rng
        bent = bytearray(valid)
        act = rng.randrange(4)
        if act == 0:
            for _ in range(rng.randint(1, 4)):
                bent[rng.randrange(len(bent))] ^= 1 << rng.randrange(8)
        elif act == 1:
            del bent[rng.randrange(len(bent)) :]
        elif act == 2:
            at = rng.randrange(len(bent))
            bent[at:at] = rng.choice(CUT)[: rng.choice((5, 9000))]
        else:
            bent = bent[: rng.randrange(len(bent))] + self._last[rng.randrange(len(self._last)) :]
        return bytes(bent)

    def _noise(self, _: bytes) -> bytes:
        rng = self._rng
        return rng.choice(CUT) if rng.random() < 0.1 else rng.randbytes(rng.randrange(80))


def _of_people(rng: random.Random) -> tuple[Request, ...]:
    rows = [rng.randrange(99)]
    return (
        Cancel(), CancelItems(rows), Resume(), Retry(None), Retry(rows, True),
        ChangeMaxJobs(rng.choice((-1, 0, 3, 2**62))),
    )  # fmt: skip
