"""Another user of this machine, at the manager's port: ``attacker HOST PORT FOLDER KIND SECONDS``.

Gives up root for `nobody` first. On standard input: what a proxy recorded of an honest
client. Prints what came of it as JSON.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path

NOBODY = 65534
#: ZMTP 3.1 (rfc.zeromq.org/spec/23): signature, version, mechanism, as-server, filler.
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"CURVE".ljust(20, b"\0") + bytes(32)
#: CurveZMQ (rfc.zeromq.org/spec/26): a HELLO has 200 bytes, its box cannot be opened.
HELLO = GREETING + b"\x04\xc8\x05HELLO\x01\x00" + bytes(72) + os.urandom(120)
#: What a server says before it knows who is there: its greeting, and the WELCOME of 170 bytes.
PREAMBLE = len(GREETING) + 170
#: A client's greeting and HELLO; it waits for the WELCOME before it says more.
FIRST = len(GREETING) + 202


class Attacker:
    """One process that connects as often as it can."""

    def __init__(self, address: tuple[str, int], record: bytes) -> None:
        self._address = address
        half = len(record) // 2
        self._speech = {
            "connect": [b""],
            "garbage": [os.urandom(3000)],
            "hello": [HELLO],
            "replay": [record],
            "mix": [b"GET / HTTP/1.1\r\n\r\n", HELLO, record, record[:half], os.urandom(2000), b""],
        }
        self.connections = self.failed = self.most_heard = 0
        self._heard = 0
        self._is_ended = False
        self._held: list[socket.socket] = []

    def flood(self, kind: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._is_ended:
            try:
                self._hold() if kind == "hold" else self._speak(kind)
            except OSError:  # the port's queue is full, or we have no more files
                self.failed += 1
                time.sleep(0.01)

    def end(self) -> None:
        """End a flood before its time."""
        self._is_ended = True

    def _connect(self) -> socket.socket:
        plug = socket.socket()  # not create_connection: it imports what `nobody` may not read
        plug.settimeout(0.5)
        plug.connect(self._address)
        self.connections += 1
        return plug

    def _hold(self) -> None:
        self._held.append(self._connect())

    def _speak(self, kind: str) -> None:
        speech = self._speech[kind]
        with self._connect() as plug:
            plug.sendall(speech[self.connections % len(speech)])

    def listen(self, kind: str) -> None:
        """Say each thing once, slowly, and count the bytes of the answer."""
        for words in self._speech[kind]:
            with self._connect() as plug:
                self._heard = 0
                try:
                    for part in (words[:FIRST], words[FIRST:]):
                        plug.sendall(part)
                        self._hear(plug)
                except OSError:
                    self.failed += 1

    def _hear(self, plug: socket.socket) -> None:
        end = time.monotonic() + 0.3
        while select.select([plug], [], [], max(0.0, end - time.monotonic()))[0]:
            data = plug.recv(65536)
            if not data:
                break
            self._heard += len(data)
        self.most_heard = max(self.most_heard, self._heard)


def readable(folder: Path) -> list[str]:
    """Files of the run folder, and the database, that this user can read."""
    private = ["manager.json", "keys/client.key", "keys/server.key", "run.json", "callables.pickle"]
    return [name for name in [*private, "../running.tinydb"] if os.access(folder / name, os.R_OK)]


if __name__ == "__main__":
    host, port, folder, kind, seconds = sys.argv[1:]
    record = sys.stdin.buffer.read()
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    attacker = Attacker((host, int(port)), record)
    signal.signal(signal.SIGTERM, lambda *_: attacker.end())
    print("ready", flush=True)
    attacker.flood(kind, float(seconds)) if float(seconds) else attacker.listen(kind)
    said = {"uid": os.getuid(), "readable": readable(Path(folder)), **vars(attacker)}
    print(json.dumps({key: value for key, value in said.items() if key[0] != "_"}))
