"""How a head talks to a manager that takes its time."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import zmq

from adaptive_scheduler.client.tasks.head.head_link import HeadLink
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.messages import (
    Goodbye,
    Hello,
    Owner,
    Welcome,
    decode_request,
    encode_reply,
)
from adaptive_scheduler.core.wire.tasks import End, EndKind, Trade, Work
from adaptive_scheduler.io.system import complaints
from adaptive_scheduler.io.transport import connection, whereabouts

#: Seconds that the manager takes, as on a slow disk, and seconds between two ends of tasks.
ANSWER, NEWS = 0.05, 0.01


@pytest.fixture
def slow_manager(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The trades that it has got."""
    got: list[Trade] = []
    context = zmq.Context()
    ours, its = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    ours.bind("inproc://manager")
    its.connect("inproc://manager")
    is_over = threading.Event()

    def connect(self: Any, url: str, address: Any) -> None:
        self._socket, self._connected = its, (url, address)

    def disconnect(self: Any) -> None:  # after an answer that came too late: it connects again
        self._socket = self._connected = None

    def serve() -> None:
        while not is_over.is_set():
            if ours.poll(20):
                _, number, body = decode_request(ours.recv())
                is_over.wait(ANSWER)
                is_hello = isinstance(body, Hello)
                got.extend([body] if isinstance(body, Trade) else [])
                reply: Any = (
                    Welcome("run", 5.0, 60.0, 60.0)
                    if is_hello
                    else Work(max(end.number for end in body.ended))
                )
                ours.send(encode_reply(number, reply))

    address = SimpleNamespace(urls=["tcp://here:1"], host="here", pid=1)
    monkeypatch.setattr(whereabouts, "read_address", lambda _: address)
    monkeypatch.setattr(connection.Connection, "_connect", connect)
    monkeypatch.setattr(connection.Connection, "_disconnect", disconnect)
    thread = threading.Thread(target=serve)
    thread.start()
    yield got
    is_over.set()
    thread.join()
    for sock in (ours, its):
        sock.close(linger=0)
    context.term()


def test_a_head_with_news_all_the_time_hears_a_slow_manager(
    slow_manager: list[Trade], tmp_path: Path
) -> None:
    """Each newer report made it deaf for the answer to the one before: its slots stayed empty."""
    link = HeadLink(RunFolder(tmp_path / "run"), Owner("1", 0, 0, "a"), Hello("host", 1, 1))
    heard = n = 0
    end = time.monotonic() + 60
    while heard < 5:
        n += 1
        link.post(Trade(ended=[End(n, n, EndKind.VALUE)], wait=5.0))
        time.sleep(NEWS)
        while link.answers:
            heard = max(heard, link.answers.popleft().heard)
        assert time.monotonic() < end, "it hears nothing"
    assert link.fault is None


def test_what_a_report_that_was_never_sent_would_have_told_is_told(
    slow_manager: list[Trade], tmp_path: Path
) -> None:
    """In which process a task runs is said once: the next report had taken its place."""
    link = HeadLink(RunFolder(tmp_path / "run"), Owner("1", 0, 0, "a"), Hello("host", 1, 1))
    ends = [End(1, 1, EndKind.VALUE)]
    for n in range(10):
        link.post(Trade(ended=ends, begun=[(n, 0, 100 + n)]))
    end = time.monotonic() + 60
    told: set[int] = set()
    while told != set(range(10)):
        assert time.monotonic() < end, told
        time.sleep(0.01)
        told = {token for trade in slow_manager for token, *_ in trade.begun}


def test_a_head_that_finds_no_manager_says_so_where_status_and_explain_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the clients of learners do; only its output had it."""
    monkeypatch.setattr(complaints, "FIRST", 0.0)
    folder = RunFolder(tmp_path / "run")
    folder.folder.mkdir(parents=True)
    link = HeadLink(folder, Owner("17", 0, 0, "a"), Hello("host", 1, 1))
    link.post(Trade())
    end = time.monotonic() + 60
    while not (told := complaints.read_complaints(folder)):
        assert time.monotonic() < end, "it says nothing"
        time.sleep(0.01)
    link.close(Goodbye("over", False, -1), 0.0)
    assert f"no manager runs for {folder.database}" in told["17"]


def test_a_head_that_the_manager_answers_has_nothing_more_to_complain_of(
    slow_manager: list[Trade], tmp_path: Path
) -> None:
    """Perhaps a former head of its job had."""
    folder = RunFolder(tmp_path / "run")
    folder.complaints.mkdir(parents=True)
    folder.complaint("17").write_text("no route to host\n")
    link = HeadLink(folder, Owner("17", 0, 0, "a"), Hello("host", 1, 1))
    link.post(Trade(ended=[End(1, 1, EndKind.VALUE)]))
    end = time.monotonic() + 60
    while folder.complaint("17").exists():
        assert time.monotonic() < end, "its complaint stays"
        time.sleep(0.01)
    assert link.fault is None


def test_an_answer_that_came_while_the_process_stood_still_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lay in the socket, and the manager was said not to answer."""
    now = [0.0]

    class Socket:
        """Has nothing at the first look; after that the process stands still, and its answers come meanwhile."""

        def send(self, message: bytes) -> None:
            self.answers: list[bytes] = []

        def poll(self, _milliseconds: int) -> bool:
            if now[0]:
                return bool(self.answers)
            now[0] += 60.0
            self.answers = [encode_reply(n, Welcome("run", 5.0, 60.0, 60.0)) for n in (6, 7)]
            return False

        def recv(self) -> bytes:
            return self.answers.pop(0)

        def close(self) -> None: ...

    def connect(self: Any, url: str, address: Any) -> None:
        self._socket, self._connected = Socket(), (url, address)

    address = SimpleNamespace(urls=["tcp://here:1"], host="here", pid=1)
    monkeypatch.setattr(whereabouts, "read_address", lambda _: address)
    monkeypatch.setattr(connection.Connection, "_connect", connect)
    monkeypatch.setattr(connection, "time", SimpleNamespace(monotonic=lambda: now[0]))
    asks = connection.Connection(RunFolder(tmp_path / "run"))
    reply = asks.ask(Owner("1", 0, 0, "a"), 7, Hello("host", 1, 1), 1.0)
    assert isinstance(reply, Welcome)
