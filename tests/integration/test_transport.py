"""The wire: who gets in, who does not, and how a manager that moved is found."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.messages import (
    Beat,
    Claim,
    Ok,
    Owner,
    Refused,
    Reply,
    decode_request,
    encode_reply,
    encode_request,
)
from adaptive_scheduler.errors import (
    InputError,
    ManagerUnreachableError,
    PermissionsError,
    ProtocolError,
)
from adaptive_scheduler.io.transport import keys
from adaptive_scheduler.io.transport.addresses import Address, write_address
from adaptive_scheduler.io.transport.connection import Connection
from adaptive_scheduler.io.transport.server import Server
from adaptive_scheduler.io.transport.url_registry import find, publish
from tests.integration.client_runs import wait_for

ME = Owner("1", 0, 0, "me")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "x.tinydb")


class Manager(threading.Thread):
    """Answers Ok to all that can be decoded; keeps what came."""

    def __init__(self, folder: RunFolder, urls: list[str] | None = None, **options: str) -> None:
        super().__init__(daemon=True)
        self.server = Server(folder, interface="127.0.0.1", **options)
        self.heard: list[object] = []
        self.garbage = 0
        self.mute = 0
        self._ending = threading.Event()
        address = Address(
            [*(urls or ()), *self.server.urls],
            self.server.server_key,
            "here",
            1,
            os.urandom(4).hex(),
        )
        write_address(folder, address)
        self.start()

    def run(self) -> None:
        while not self._ending.is_set():
            for connection, message in self.server.receive(0.2):
                try:
                    _, number, body = decode_request(message)
                except ProtocolError:
                    self.garbage += 1
                    continue
                self.heard.append(body)
                if self.mute:
                    self.mute -= 1
                else:
                    self.server.send(connection, encode_reply(number, Ok()))

    def close(self) -> None:
        self._ending.set()
        self.server.wake()
        self.join()
        self.server.close()
        self.server.wake()  # harmless afterwards


@contextmanager
def manager(folder: RunFolder, urls: list[str] | None = None, **options: str) -> Iterator[Manager]:
    running = Manager(folder, urls, **options)
    try:
        yield running
    finally:
        running.close()


@contextmanager
def connection(folder: RunFolder) -> Iterator[Connection]:
    one = Connection(folder)
    try:
        yield one
    finally:
        one.close()


def ask_until_answered(me: Connection, number: int) -> Reply:
    """Short of a second for an address that is silent, and as often as a busy machine needs."""
    end = time.monotonic() + 60
    while True:
        try:
            return me.ask(ME, number, Claim(), 0.8)
        except ManagerUnreachableError:
            assert time.monotonic() < end


def dealer(url: str, folder: RunFolder | None, server_key: str, message: bytes) -> bool:
    """Send one message with foreign keys, or none; whether an answer comes within a second."""
    context = zmq.Context()
    client = context.socket(zmq.DEALER)
    client.linger = 0
    if folder is not None:
        client.curve_publickey, client.curve_secretkey = zmq.curve_keypair()
        client.curve_serverkey = server_key.encode()
    client.connect(url)
    client.send(message)
    answered = bool(client.poll(1000))
    client.close()
    context.term()
    return answered


def test_a_request_is_answered(folder: RunFolder) -> None:
    with manager(folder) as running, connection(folder) as me:
        for number in range(1, 50):
            assert me.ask(ME, number, Claim(), 5) == Ok()
        assert len(running.heard) == 49


def test_without_a_manager_the_error_says_so(folder: RunFolder) -> None:
    with connection(folder) as me, pytest.raises(ManagerUnreachableError, match="no manager runs"):
        me.ask(ME, 1, Claim(), 0.2)


def test_fault_20_a_wrong_key_and_no_key_get_no_answer(folder: RunFolder) -> None:
    message = encode_request(ME, 1, Claim())
    with manager(folder) as running:
        url, key = running.server.urls[0], running.server.server_key
        assert not dealer(url, folder, key, message)
        assert not dealer(url, None, key, message)
        assert running.heard == []
        wait_for(lambda: running.server.refused >= 2)  # zmq itself tries again after the second
        with connection(folder) as me:
            assert me.ask(ME, 1, Claim(), 5) == Ok()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_without_its_authenticator_nobody_is_admitted_and_the_server_ends(
    folder: RunFolder,
) -> None:
    """Without the domain libzmq would ask nobody then, and take any key."""
    server = Server(folder)
    message = encode_request(ME, 1, Claim())

    def die(*_: bytes) -> list[bytes]:
        raise SystemExit

    server._authenticator._answer = die  # type: ignore[method-assign]
    try:
        for _ in range(3):  # the first one is its death
            assert not dealer(server.urls[0], folder, server.server_key, message)
        wait_for(lambda: not server._authenticator.is_alive())
        with pytest.raises(RuntimeError, match="the authenticator has died"):
            server.receive(1.0)
        assert server._socket.poll(500) == 0  # no message arrived
    finally:
        server.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_server_ends_if_the_thread_of_the_connection_limiter_dies(folder: RunFolder) -> None:
    server = Server(folder)
    assert server._limiter is not None

    def die() -> int:
        raise SystemExit

    count, server._limiter._count = server._limiter._count, die  # type: ignore[method-assign]
    try:
        wait_for(lambda: not server._limiter.is_running)
        server._limiter._count = count  # type: ignore[method-assign]
        with pytest.raises(RuntimeError, match="the thread of the connection limiter has died"):
            server.receive(1.0)
    finally:
        server.close()


def test_its_threads_end_with_the_server(folder: RunFolder) -> None:
    server = Server(folder)
    assert server._limiter is not None
    assert server._authenticator.is_alive()
    assert server._limiter.is_running
    server.close()
    server._authenticator.join(60)
    assert not server._authenticator.is_alive()
    assert not server._limiter.is_running


def test_the_server_survives_bytes_that_are_not_zmq(folder: RunFolder) -> None:
    with manager(folder) as running:
        host, port = running.server.urls[0].removeprefix("tcp://").split(":")
        plugs = [socket.create_connection((host, int(port))) for _ in range(20)]
        for n, plug in enumerate(plugs):
            plug.sendall([b"GET / HTTP/1.1\r\n\r\n", os.urandom(5000), b"", b"\xff" * 10][n % 4])
        with connection(folder) as me:
            assert me.ask(ME, 1, Claim(), 10) == Ok()
        for plug in plugs:
            plug.close()


def test_fault_15_too_large_and_senseless_messages_stop_nothing(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with manager(folder) as running, connection(folder) as me:
        assert me.ask(ME, 1, Claim(), 5) == Ok()
        assert me._socket is not None
        me._socket.send(b"no message of ours")
        me._socket.send(b"")
        me._socket.send_multipart([b"a", b"b", b"c"])
        assert me.ask(ME, 2, Claim(), 5) == Ok()
        me._socket.send(bytes(17 * 2**20))  # closes the connection, which comes back by itself
        assert me.ask(ME, 3, Claim(), 20) == Ok()
        assert running.garbage == 3


def test_a_late_reply_is_not_taken_for_the_next(folder: RunFolder) -> None:
    with manager(folder) as running, connection(folder) as me:
        assert me.ask(ME, 1, Claim(), 5) == Ok()
        assert me._socket is not None
        me._socket.send(encode_request(ME, 2, Beat()))  # its reply waits in the socket
        wait_for(lambda: len(running.heard) == 2)
        assert me.ask(ME, 3, Claim(), 5) == Ok()


def test_a_manager_on_another_port_is_found(folder: RunFolder) -> None:
    with connection(folder) as me:
        with manager(folder) as first:
            assert me.ask(ME, 1, Claim(), 5) == Ok()
            there = first.server.urls
        with pytest.raises(ManagerUnreachableError, match="does not answer at tcp://"):
            me.ask(ME, 2, Claim(), 0.3)
        with socket.socket() as taken:  # else the second one may be given the same port
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", int(there[0].rpartition(":")[2])))
            with manager(folder) as second:
                assert second.server.urls != there
                assert me.ask(ME, 2, Claim(), 5) == Ok()


def test_a_waiting_client_notices_at_once_that_the_manager_has_moved(folder: RunFolder) -> None:
    def wait() -> None:
        with pytest.raises(ManagerUnreachableError):
            me.ask(ME, 1, Claim(), 60)

    with connection(folder) as me, manager(folder) as old:
        old.mute = 1000
        asked = threading.Thread(target=wait)
        began = time.monotonic()
        asked.start()
        wait_for(lambda: old.heard)
        with manager(folder):
            asked.join(30)
            assert time.monotonic() - began < 30
            assert me.ask(ME, 1, Claim(), 5) == Ok()


def test_the_next_manager_is_tried_first_on_the_host_that_answered(folder: RunFolder) -> None:
    with socket.socket() as silent, connection(folder) as me:
        silent.bind(("127.0.0.7", 0))
        silent.listen()
        dead = f"tcp://127.0.0.7:{silent.getsockname()[1]}"
        with manager(folder, urls=[dead]):
            assert ask_until_answered(me, 1) == Ok()
        with manager(folder, urls=[dead]):
            began = time.monotonic()
            assert me.ask(ME, 2, Claim(), 30) == Ok()
            assert time.monotonic() - began < 30, "the silent address takes as long as it may"


def test_a_dead_address_comes_first_once_only(folder: RunFolder) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        dead = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with manager(folder, urls=[dead]), connection(folder) as me:
            assert ask_until_answered(me, 1) == Ok()
            began = time.monotonic()
            assert me.ask(ME, 2, Claim(), 30) == Ok()
            assert time.monotonic() - began < 30, "the address that answered is kept"


def test_ports_can_be_chosen_and_a_used_one_is_an_error(folder: RunFolder, tmp_path: Path) -> None:
    with manager(folder, ports="50321-50340") as running:
        port = int(running.server.urls[0].rpartition(":")[2])
        assert 50321 <= port <= 50340
        with pytest.raises(InputError, match="choose another url"):
            Server(RunFolder(tmp_path / "y.tinydb"), url=running.server.urls[0])


def test_fault_21_open_key_folders_are_refused_with_the_remedy(folder: RunFolder) -> None:
    keys.load_or_make(folder.keys, "server")
    folder.keys.chmod(0o750)
    with pytest.raises(PermissionsError, match="chmod 700"):
        Server(folder)


def test_fault_21_no_secret_is_shown(folder: RunFolder) -> None:
    pair = keys.load_or_make(folder.keys, "server")
    assert pair.secret.decode() not in repr(pair)
    assert keys.load_or_make(folder.keys, "server") == pair


def test_a_run_is_found_by_its_url_alone(
    folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert find("tcp://127.0.0.1:5555") is None
    publish("tcp://127.0.0.1:5555", folder)
    found = find("tcp://127.0.0.1:5555")
    assert found is not None
    assert found.database == folder.database


def test_replies_of_another_kind_are_errors_that_say_so(folder: RunFolder) -> None:
    with manager(folder), connection(folder) as me:
        assert not isinstance(me.ask(ME, 1, Claim(), 5), Refused)
    folder.manager.write_bytes(b"{")
    folder.manager.chmod(0o600)
    with connection(folder) as me, pytest.raises(ManagerUnreachableError, match="cannot be read"):
        me.ask(ME, 2, Claim(), 1)


FORGETFUL = """
import gc, sys
from pathlib import Path
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.io.transport.addresses import Address
from adaptive_scheduler.io.transport.connection import Connection
from adaptive_scheduler.io.transport.server import Server
folder = RunFolder(Path(sys.argv[1]) / "x.tinydb")
server, connection = Server(folder, interface="127.0.0.1"), Connection(folder)
connection._connect(server.urls[0], Address(server.urls, server.server_key, "here", 1, "a"))
for forgotten in (server, connection):
    forgotten.itself = forgotten
del server, connection, forgotten
gc.collect()
print("alive")
"""


def test_forgotten_sockets_do_not_hang_the_garbage_collector(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORGETFUL, str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == "alive\n", done.stderr
