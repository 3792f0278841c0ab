"""Evaluates calls one after the other, in a process that an agent keeps.

Started as ``python -m adaptive_scheduler.client.tasks.node.worker SOCKET PAGE FUNCTIONS VALUES AGENT``:
two inherited file descriptors, two folders and the agent's pid. Its cores, GPUs and threads were set
at its birth.
"""

from __future__ import annotations

import gc
import io
import mmap
import os
import pickle
import socket
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from adaptive_scheduler.client.tasks.messages import Do, Done
from adaptive_scheduler.core.wire.tasks import EndKind
from adaptive_scheduler.errors import FileError, TaskError
from adaptive_scheduler.executors import worker as executor
from adaptive_scheduler.executors.worker_process import print_stack_at_crash
from adaptive_scheduler.io.system.child_process import end_with_parent

#: What it is doing just now, for the agent: token and begin (monotonic nanoseconds); token 0: nothing.
NOW = struct.Struct("<QQ")
#: Behind it: the number of the last `Do` of which nothing more is to begin; the agent writes it.
RECALL = struct.Struct("<Q")
#: Seconds after which results are sent although more calls are at hand.
FLUSH = 0.002
#: Seconds after which they are sent although a call is not at its end.
LATE = 0.02
#: Bytes of a value that travels in a message; a larger one goes by a file.
LONGEST_VALUE = 64 * 2**10
#: Bytes of a value that is kept at all.
LARGEST_VALUE = 2**30
#: Bytes of an exception that is sent as an object, and characters of its texts.
LONGEST_ERROR, LONGEST_TEXT = 256 * 2**10, 64 * 2**10

#: Letters of an exception's text that a row keeps.
LONGEST_REASON = 200

#: How a call ended: kind, value, path, text.
CallEnd = tuple[EndKind, bytes, str, str]


class ResultSender:
    """Results on their way to the agent: those of short calls go together.

    If one of several calls takes long after all, those before it do not wait for its end: a thread
    sends them. It is there only once there were several calls at a time.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._encode = msgspec.msgpack.Encoder().encode
        self._kept: list[Any] = []
        self._sending = threading.Lock()
        self._several = threading.Event()
        self._thread: threading.Thread | None = None

    def begin_several(self) -> None:
        """Several calls follow."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._send_late, name="results", daemon=True)
            self._thread.start()
        self._several.set()

    def end_several(self) -> None:
        """They have been evaluated."""
        self._several.clear()

    def add(self, result: Any) -> None:
        """Keep a result."""
        with self._sending:
            self._kept.append(result)

    def send(self, dropped: int = 0) -> None:
        """Send what is kept; with `dropped` also if that is nothing."""
        with self._sending:
            results, self._kept = self._kept, []
            if results or dropped:
                body = self._encode(Done(results, dropped))
                self._sock.sendall(len(body).to_bytes(4, "big") + body)

    def _send_late(self) -> None:
        while self._several.wait():
            time.sleep(LATE)
            self.send()


class CallEvaluator:
    """Evaluates one call at a time in this process.

    Parameters
    ----------
    functions, values : Path
        Folders of pickled functions, by their keys, and of large values, by their tasks' tokens.
    """

    def __init__(self, functions: Path, values: Path) -> None:
        self._functions = functions
        self._values = values
        self._pid = os.getpid()

    def call(self, token: int, key: str, spec: bytes, *, keeps_value: bool = True) -> CallEnd:
        """Evaluate; `keeps_value`: what the function returns is wanted.

        Returns
        -------
        kind : EndKind
        value : bytes
        path : str
        text : str
        """
        try:
            name = bytes.fromhex(key)
            function = executor.installed(name) or self._install(name, self._functions / key)
            args, kwargs = pickle.loads(spec)
            value = function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001  the border to the user's code
            self._end_if_forked()
            return _failure(executor.describe(error))
        self._end_if_forked()
        if not keeps_value:
            return EndKind.VALUE, b"", "", ""
        kind, packed = executor.pickled(value)
        if kind == executor.ERROR:
            return _failure(packed)
        if len(packed) <= LONGEST_VALUE:
            return EndKind.VALUE, packed, "", ""
        return self._in_file(token, packed, type(value).__qualname__)

    @staticmethod
    def _install(name: bytes, file: Path) -> Any:
        function = executor.install(name, file.read_bytes())
        gc.collect()
        gc.freeze()  # what came with the function lives as long as the worker
        return function

    def _end_if_forked(self) -> None:
        """End a child that the user's code has forked and that has come back from it: it is no worker."""
        if os.getpid() != self._pid:
            os._exit(1)

    def _in_file(self, token: int, packed: bytes, kind: str) -> CallEnd:
        """Write a large value into a file; returns how the call ends."""
        from adaptive_scheduler.io.disk import files  # few values are large

        path = self._values / f"{token}.pickle"
        try:
            if len(packed) > LARGEST_VALUE:
                raise TaskError(
                    f"the function returned a {kind} of {len(packed) / 1e9:.2f} GB when pickled; at "
                    f"most {LARGEST_VALUE / 1e9:.2f} GB are kept. Write it into a file, and return "
                    "the path."
                )
            files.write_atomically(path, packed, mode=0o600)
        except (FileError, TaskError) as error:
            return _failure(executor.describe(error))
        return EndKind.VALUE, b"", str(path), ""


class CallWorker:
    """Evaluates what comes over a socket.

    Parameters
    ----------
    sock : socket.socket
    page : mmap.mmap
        Shared with the agent: see `NOW`.
    functions, values : Path
        Folders of pickled functions, by their keys, and of large values, by their tasks' tokens.
    """

    def __init__(self, sock: socket.socket, page: mmap.mmap, functions: Path, values: Path) -> None:
        self._page = page
        self._call = CallEvaluator(functions, values).call
        self._file = sock.makefile("rb", buffering=2**18)
        self._decode = msgspec.msgpack.Decoder(Do).decode
        self._results = ResultSender(sock)

    def serve(self) -> None:
        """Evaluate until the agent ends."""
        while (head := self._file.read(4)) and len(head) == 4:
            body = self._file.read(int.from_bytes(head, "big"))
            self._evaluate(self._decode(body))

    def _evaluate(self, do: Do) -> None:
        clock, results, flush_at = time.monotonic_ns, self._results, 0
        if len(do.calls) > 1:
            results.begin_several()
            flush_at = clock() + int(FLUSH * 1e9)
        for token, key, spec in do.calls:
            begin = clock()
            NOW.pack_into(self._page, 0, token, begin)
            if self._is_recalled(
                do
            ):  # asked after it was said: so the agent has seen one of the two
                break
            kind, value, path, text = self._call(token, key, spec)
            end = clock()
            results.add((token, kind, value, path, (end - begin) / 1e9, text))
            if flush_at and end >= flush_at:
                results.send()
                flush_at = end + int(FLUSH * 1e9)
        results.end_several()
        results.send(do.number if self._is_recalled(do) else 0)
        NOW.pack_into(
            self._page, 0, 0, 0
        )  # if it cannot be sent, it is this call that has closed all files

    def _is_recalled(self, do: Do) -> bool:
        number: int = RECALL.unpack_from(self._page, NOW.size)[0]
        return number >= do.number


def _failure(described: tuple[str, str, str, bytes | None]) -> CallEnd:
    name, message, *_ = described
    line = " ".join(message[: 2 * LONGEST_REASON].split())
    text = "".join(one if one.isprintable() else "?" for one in f"{name}: {line}"[:LONGEST_REASON])
    return EndKind.ERROR, error_bytes(described), "", text


def error_bytes(described: tuple[str, str, str, bytes | None]) -> bytes:
    """Pickle what `executors.worker.describe` has returned, without what is too large to be sent."""
    name, message, text, error = described
    if error is not None and len(error) > LONGEST_ERROR:
        error = None
    if len(text) > LONGEST_TEXT:  # the beginning says where, the end what
        text = f"{text[: LONGEST_TEXT // 2]}\n[...]\n{text[-LONGEST_TEXT // 2 :]}"
    described = name[:LONGEST_TEXT], message[:LONGEST_TEXT], text, error
    return pickle.dumps(described, protocol=pickle.HIGHEST_PROTOCOL)


def main(argv: list[str]) -> None:
    """Serve the agent that started this process."""
    end_with_parent()
    if os.getppid() != int(argv[4]):
        return
    print_stack_at_crash()
    for stream in (sys.stdout, sys.stderr):  # what a call prints is there when it has ended
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    page = mmap.mmap(int(argv[1]), mmap.PAGESIZE)
    os.close(int(argv[1]))
    CallWorker(socket.socket(fileno=int(argv[0])), page, Path(argv[2]), Path(argv[3])).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
