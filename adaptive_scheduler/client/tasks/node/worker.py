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
#: Seconds after which results are sent although more calls are at hand.
FLUSH = 0.002
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
        self._sock = sock
        self._page = page
        self._functions = functions
        self._values = values
        self._file = sock.makefile("rb", buffering=2**18)
        self._decode = msgspec.msgpack.Decoder(Do).decode
        self._encode = msgspec.msgpack.Encoder().encode
        self._pid = os.getpid()

    def serve(self) -> None:
        """Evaluate until the agent ends."""
        while (head := self._file.read(4)) and len(head) == 4:
            body = self._file.read(int.from_bytes(head, "big"))
            self._evaluate(self._decode(body).calls)

    def _evaluate(self, calls: list[tuple[int, str, bytes]]) -> None:
        clock, done, flush_at = time.monotonic_ns, [], time.monotonic_ns() + int(FLUSH * 1e9)
        for token, key, spec in calls:
            begin = clock()
            NOW.pack_into(self._page, 0, token, begin)
            kind, value, path, text = self._call(token, key, spec)
            end = clock()
            done.append((token, kind, value, path, (end - begin) / 1e9, text))
            if end >= flush_at:
                self._send(done)
                done, flush_at = [], end + int(FLUSH * 1e9)
        NOW.pack_into(self._page, 0, 0, 0)
        if done:
            self._send(done)

    def _call(self, token: int, key: str, spec: bytes) -> CallEnd:
        try:
            name = bytes.fromhex(key)
            function = executor.installed(name) or self._install(name, self._functions / key)
            args, kwargs = pickle.loads(spec)
            value = function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001  the border to the user's code
            self._end_if_forked()
            return _failure(executor.describe(error))
        self._end_if_forked()
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

    def _send(self, results: list[Any]) -> None:
        body = self._encode(Done(results))
        self._sock.sendall(len(body).to_bytes(4, "big") + body)


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
