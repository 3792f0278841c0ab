"""A running client of version 0.2.0 that meets a new manager is served as it was by the old one.

`frames-of-0.2.0.txt` holds requests (>) and answers (<) that a client and a manager of version 0.2.0
exchanged: one learner was finished, one failed, one was released at a SIGTERM. Heartbeats are left
out but for three. Paths in it were replaced by others of the same length.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import adaptive
import msgspec
import pytest

from adaptive_scheduler.core.rows.row import Phase
from adaptive_scheduler.core.wire.messages import VERSION
from adaptive_scheduler.io.transport.addresses import read_address
from adaptive_scheduler.io.transport.connection import Connection
from adaptive_scheduler.manager.engine import Engine
from tests.integration.client_runs import ClientRun

CAPTURED = Path(__file__).resolve().parents[1] / "data" / "frames-of-0.2.0.txt"
FRAMES = [
    (kind, bytes.fromhex(frame))
    for kind, frame in (line.split() for line in CAPTURED.read_text().splitlines())
]
PAIRS = [
    (request, answer) for (_, request), (_, answer) in zip(FRAMES[::2], FRAMES[1::2], strict=True)
]


def body(frame: bytes) -> dict[str, Any]:
    """The last part of a frame: a request's or an answer's fields."""
    return msgspec.msgpack.decode(frame)[-1]


@pytest.fixture
def run(tmp_path: Path) -> ClientRun:
    run = ClientRun(tmp_path, None)
    learners = [adaptive.SequenceLearner(abs, range(3)) for _ in range(3)]
    run.fill(learners, [str(tmp_path / name) for name in "abc"])
    return run


@pytest.fixture
def managed(run: ClientRun) -> Iterator[tuple[Engine, Any]]:
    """A manager of this version, and a socket to it with the keys of the run's clients."""
    with run.manage() as engine:
        connection = Connection(run.folder)
        address = read_address(run.folder)
        connection._connect(address.urls[0], address)
        yield engine, connection._socket
        connection.close()


def ask(socket: Any, request: bytes) -> bytes:
    socket.send(request)
    assert socket.poll(60_000), f"no answer to {msgspec.msgpack.decode(request)}"
    return socket.recv()


def test_the_fixture_has_every_request_of_a_client() -> None:
    kinds = {body(request)["type"] for request, _ in PAIRS}
    assert kinds == {"Hello", "Claim", "Beat", "Finish", "Fail", "Release", "Goodbye"}


def test_each_request_gets_the_answer_that_the_old_manager_gave(
    managed: tuple[Engine, Any],
) -> None:
    """The same kind, for the same request, with every field of old and values of the same types."""
    engine, socket = managed
    for request, old in PAIRS:
        new = ask(socket, request)
        assert msgspec.msgpack.decode(new)[:2] == msgspec.msgpack.decode(old)[:2]
        fields = body(new)
        for name, value in body(old).items():
            assert type(fields[name]) is type(value), name
        assert fields["type"] == body(old)["type"], fields
        if "token" in fields:
            assert (fields["item"], fields["token"]) == (body(old)["item"], body(old)["token"])
    rows = engine.state.items.rows
    assert [rows[item].phase for item in range(3)] == [Phase.DONE, Phase.QUEUED, Phase.QUEUED]
    assert rows[1].fails == 1


def test_a_request_that_is_sent_again_gets_its_answer_again(managed: tuple[Engine, Any]) -> None:
    _, socket = managed
    for request, _ in PAIRS:
        assert ask(socket, request) == ask(socket, request)


#: Programs that speak as those of another version do.
OTHER = """
import os, sys
from adaptive_scheduler.core.wire import messages
messages.VERSION += int(sys.argv[3])
if sys.argv[1] == "head":
    from adaptive_scheduler.client.tasks.head.head import main
    sys.exit(main([sys.argv[2], "--slots", "1"]))
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.tasks import Fetch
from adaptive_scheduler.runs.driver.driver import Channel
Channel(RunFolder(sys.argv[2]), os.eventfd(0)).ask(Fetch([]))
"""


@pytest.mark.parametrize(("program", "by"), [("head", -1), ("driver", -1), ("driver", 1)])
def test_a_head_and_a_driver_of_another_version_end_with_a_sentence(
    run: ClientRun, program: str, by: int
) -> None:
    """They were not answered, and asked for ever."""
    with run.manage():
        command = [sys.executable, "-c", OTHER, program, str(run.folder.database), str(by)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert (
        f"a message of version {VERSION}, but this is version {VERSION + by}: the manager and its "
        "jobs or drivers use different versions of adaptive_scheduler. Use one environment for all."
    ) in done.stderr


@pytest.mark.parametrize("rest", [[], [["new"]], [{"sender": 1}, 5, 6]])
def test_a_request_of_another_version_is_answered_in_whatever_form_it_has(
    managed: tuple[Engine, Any], rest: list[Any]
) -> None:
    _, socket = managed
    version, number, refused = msgspec.msgpack.decode(
        ask(socket, msgspec.msgpack.encode([VERSION + 1, *rest]))
    )
    assert (version, number, refused["type"]) == (VERSION, 0, "Refused")
    assert f"of version {VERSION + 1}" in refused["reason"]
