"""One ``ssh`` that runs a program of ours there: requests into it, answers out of it."""

from __future__ import annotations

import itertools
import os
import select
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import IO, Any

import msgspec

from adaptive_scheduler.errors import FarHostError
from adaptive_scheduler.io.ssh.commands import MARK
from adaptive_scheduler.io.ssh.far_place import FarPlace
from adaptive_scheduler.io.ssh.faults import NO_SSH, ssh_fault
from adaptive_scheduler.io.system.processes import end_process

#: Seconds that ssh, the shell there and Python may take to start: a file system may be slow.
START_PATIENCE = 120.0
#: Bytes that one read takes, and of the longest answer.
_CHUNK, _LONGEST = 2**18, 2**31
#: Lines of what ssh prints that are kept, and seconds to wait for the last of them.
_LINES, _LAST_WORDS = 50, 2.0
#: Seconds that ssh may take to end.
GRACE = 2.0


class FarRequest(msgspec.Struct, frozen=True, array_like=True):
    """What is to be done there."""

    number: int
    what: str
    values: list[Any]


class FarFailure(msgspec.Struct, frozen=True, array_like=True):
    """An error: its class, and what that is made of."""

    kind: str
    values: list[Any]


class FarAnswer(msgspec.Struct, frozen=True, array_like=True):
    """What came of it."""

    number: int
    value: msgspec.Raw
    failure: FarFailure | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode_answer = msgspec.msgpack.Decoder(FarAnswer).decode


class LostConnectionError(Exception):
    """The connection has broken: what was asked may have been done or not."""


class NoConnectionError(LostConnectionError):
    """There is no connection: what was asked was not sent."""


def pack(message: msgspec.Struct) -> bytes:
    """Return a message with its length before it."""
    body = _encode(message)
    return len(body).to_bytes(4, "big") + body


def start_ssh(argv: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start ``ssh``; a Ctrl-C in the terminal does not reach it.

    Raises
    ------
    FarHostError
        There is none here.
    """
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, process_group=0)
    except (FileNotFoundError, PermissionError) as error:
        raise FarHostError(NO_SSH) from error


class Said:
    """What a process prints as errors; a thread reads it.

    Attributes
    ----------
    n : int
        Lines so far.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.n = 0
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._thread = threading.Thread(target=self._read, args=(file,), daemon=True)
        self._thread.start()

    def _read(self, file: IO[bytes]) -> None:
        with file:
            for line in file:
                self._lines.append(line.decode(errors="replace").rstrip())
                self.n += 1

    def so_far(self) -> str:
        """Return what has come."""
        return "\n".join(self._lines.copy())

    def text(self) -> str:
        """Return it, once the process has ended."""
        self._thread.join(_LAST_WORDS)
        return self.so_far()


class FarSession:
    """A program there that answers, from its start to its end. Any number of threads may ask at a time.

    Answers come in any order; a thread takes them in, and gives each to who has asked.

    Parameters
    ----------
    place : FarPlace
    argv : sequence of str
        The whole command line of ssh.

    Raises
    ------
    FarHostError
        It does not start; the text says why and what to do.
    """

    def __init__(self, place: FarPlace, argv: Sequence[str]) -> None:
        self._place = place
        self._process = start_ssh(argv)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._into, self._out = self._process.stdin, self._process.stdout
        self._said = Said(self._process.stderr)
        self._received = bytearray()
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Future[FarAnswer]] | None = {}  # None: there are no more answers
        self._reader = threading.Thread(target=self._take_in, name="ssh's answers", daemon=True)
        try:
            self._wait_for_mark(time.monotonic() + START_PATIENCE)
        except BaseException:
            self.end()
            raise
        self._reader.start()

    def _wait_for_mark(self, end: float) -> None:
        mark = f"\n{MARK}\n".encode()
        while mark not in self._received:
            try:
                self._read_more(end)
            except LostConnectionError:
                raise FarHostError(self.why_lost()) from None
        del self._received[: self._received.index(mark) + len(mark)]

    @property
    def is_alive(self) -> bool:
        """Whether ssh runs."""
        return self._process.poll() is None

    def ask(self, what: str, values: Sequence[Any]) -> FarAnswer:
        """Send a request, and wait for its answer.

        Raises
        ------
        LostConnectionError
        """
        number, future = next(self._numbers), Future[FarAnswer]()
        packed = pack(FarRequest(number, what, list(values)))  # first: not all can be sent
        with self._lock:
            if self._waiting is None:
                raise LostConnectionError("it has ended")
            self._waiting[number] = future
            try:
                self._into.write(packed)
                self._into.flush()
            except OSError as error:
                raise LostConnectionError(str(error)) from error
            except BaseException:  # a Ctrl-C: half of it may have been sent
                self.stop()
                raise
        return future.result()

    def _take_in(self) -> None:
        """Give each answer to who waits for it, until there are no more."""
        reason = "it has ended"
        try:
            while True:
                answer = self._next_answer()
                future = (self._waiting or {}).pop(answer.number, None)
                if future is not None:
                    future.set_result(answer)
        except (OSError, ValueError, LostConnectionError, msgspec.MsgspecError) as error:
            reason = str(error)  # a ValueError: it was closed
        self._give_up(reason)

    def _give_up(self, reason: str) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting or {}, None
        for future in waiting.values():
            future.set_exception(LostConnectionError(reason))

    def _next_answer(self) -> FarAnswer:
        while len(self._received) < 4:
            self._read_more()
        length = int.from_bytes(self._received[:4], "big")
        if length > _LONGEST:
            raise LostConnectionError("something else than an answer has come")
        while len(self._received) < 4 + length:
            self._read_more()
        answer = _decode_answer(bytes(self._received[4 : 4 + length]))
        del self._received[: 4 + length]
        return answer

    def _read_more(self, end: float | None = None) -> None:
        left = None if end is None else max(0.0, end - time.monotonic()) * 1000
        poll = select.poll()  # not `select`: there may be more than 1024 files
        poll.register(self._out, select.POLLIN)
        if not poll.poll(left):
            raise LostConnectionError("it takes too long")
        data = os.read(self._out.fileno(), _CHUNK)
        if not data:
            raise LostConnectionError("it has ended")
        self._received += data

    def why_lost(self) -> str:
        """Return why it does not answer, or not any more; ends ssh."""
        try:
            status: int | None = self._process.wait(_LAST_WORDS)
        except subprocess.TimeoutExpired:
            status = None
        self.end()
        if status is not None and status < 0:
            return f"ssh was ended by signal {-status}"
        return ssh_fault(self._place, status, self._said.text())

    def stop(self) -> None:
        """End ssh, and with it the program there: who waits for an answer hears of it."""
        end_process(self._process, GRACE)

    def end(self) -> None:
        """End ssh, once nobody waits for an answer."""
        self.stop()
        if self._reader.is_alive():
            self._reader.join(_LAST_WORDS)
        if self._reader.is_alive():  # something that ssh has started keeps its output open
            self._give_up("it has ended")
        else:
            self._out.close()
        with suppress(OSError):  # what was not sent is not needed any more
            self._into.close()
