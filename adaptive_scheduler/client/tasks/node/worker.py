"""Evaluates calls one after the other, in a process that an agent keeps.

Started as ``python -m adaptive_scheduler.client.tasks.node.worker SOCKET PAGE FUNCTIONS VALUES``: two
inherited file descriptors and two folders. Its cores, GPUs and threads were set at its birth.
"""

from __future__ import annotations

import gc
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

from adaptive_scheduler.client.tasks.frames import LONGEST
from adaptive_scheduler.client.tasks.messages import Do, Done
from adaptive_scheduler.core.wire.tasks import EndKind
from adaptive_scheduler.errors import FileError
from adaptive_scheduler.executors import worker as executor
from adaptive_scheduler.executors.worker_process import print_stack_at_crash

#: What it is doing just now, for the agent: token and begin (monotonic nanoseconds); token 0: nothing.
NOW = struct.Struct("<QQ")
#: Seconds after which results are sent although more calls are at hand.
FLUSH = 0.002
#: Bytes of a value that travels in a message; a larger one goes by a file.
LONGEST_VALUE = 64 * 2**10


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
            kind, value, path = self._call(token, key, spec)
            end = clock()
            done.append((token, kind, value, path, (end - begin) / 1e9))
            if end >= flush_at:
                self._send(done)
                done, flush_at = [], end + int(FLUSH * 1e9)
        NOW.pack_into(self._page, 0, 0, 0)
        if done:
            self._send(done)

    def _call(self, token: int, key: str, spec: bytes) -> tuple[EndKind, bytes, str]:
        try:
            function = self._function(key)
            args, kwargs = pickle.loads(spec)
            value = function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001  the border to the user's code
            return EndKind.ERROR, _dump(executor.describe(error)), ""
        return self._packed(token, value)

    def _function(self, key: str) -> Any:
        found = executor._functions.get(bytes.fromhex(key))  # noqa: SLF001
        if found is None:
            executor.install(bytes.fromhex(key), (self._functions / key).read_bytes())
            gc.collect()
            gc.freeze()  # what came with the function lives as long as the worker
            found = executor._functions[bytes.fromhex(key)]  # noqa: SLF001
        return found[0]

    def _packed(self, token: int, value: Any) -> tuple[EndKind, bytes, str]:
        kind, packed, _ = executor._pickled((executor.VALUE, value, 0.0))  # noqa: SLF001
        if kind == executor.ERROR:
            return EndKind.ERROR, _dump(packed), ""
        if len(packed) <= LONGEST_VALUE:
            return EndKind.VALUE, packed, ""
        from adaptive_scheduler.io.disk import files  # few values are large

        path = self._values / f"{token}.pickle"
        try:
            files.write_atomically(path, packed, mode=0o600)
        except FileError as error:
            return EndKind.ERROR, _dump(executor.describe(error)), ""
        return EndKind.VALUE, b"", str(path)

    def _send(self, results: list[Any]) -> None:
        body = self._encode(Done(results))
        assert len(body) <= LONGEST
        self._sock.sendall(len(body).to_bytes(4, "big") + body)


def _dump(described: Any) -> bytes:
    return pickle.dumps(described, protocol=pickle.HIGHEST_PROTOCOL)


def main(argv: list[str]) -> None:
    """Serve the agent that started this process."""
    print_stack_at_crash()
    page = mmap.mmap(int(argv[1]), mmap.PAGESIZE)
    os.close(int(argv[1]))
    CallWorker(socket.socket(fileno=int(argv[0])), page, Path(argv[2]), Path(argv[3])).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
