"""The program at the far end of an ssh, without the ssh: several threads ask it at a time."""

from __future__ import annotations

import errno
import os
import resource
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from adaptive_scheduler.errors import FarHostError
from adaptive_scheduler.io.ssh.commands import MARK
from adaptive_scheduler.io.ssh.far_link import FarLink, value_of
from adaptive_scheduler.io.ssh.far_place import FarPlace
from adaptive_scheduler.io.ssh.far_session import (
    FarAnswer,
    FarRequest,
    FarSession,
    LostConnectionError,
    pack,
)
from adaptive_scheduler.runs.sites import far_end

PATIENCE = 120.0
PLACE = FarPlace("ssh://far/run", "far", None, "/run")


def connect(run: Path, before: str = "true") -> FarSession:
    program = f"{shlex.quote(sys.executable)} -P -m adaptive_scheduler.runs.sites.far_end"
    made = FarSession(PLACE, ["sh", "-c", f"{before}; printf '\\n{MARK}\\n'; exec {program}"])
    value_of(made.ask("enter", [str(run), True]))
    return made


@pytest.fixture
def session(tmp_path: Path) -> Iterator[FarSession]:
    made = connect(tmp_path / "a run")
    yield made
    made.end()


@pytest.fixture
def slow_log(tmp_path: Path) -> Path:
    """A file that is opened when somebody writes to it."""
    path = tmp_path / "1.log"
    os.mkfifo(path)
    return path


def ask(session: FarSession, what: str, *values: object) -> object:
    return msgspec.msgpack.decode(value_of(session.ask(what, list(values))))


def let_it_be_read(path: Path, is_read: Callable[[], bool]) -> None:
    """End what is read, as often as it takes; without a reader it cannot be opened."""
    deadline = time.monotonic() + PATIENCE
    while not is_read():
        assert time.monotonic() < deadline
        with suppress(OSError):
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        time.sleep(0.01)


def test_a_slow_log_delays_nothing_else(
    session: FarSession, slow_log: Path, tmp_path: Path
) -> None:
    """One request was answered after the other."""
    (tmp_path / "table").write_bytes(b"x" * 3_000_000)
    with ThreadPoolExecutor(5) as threads:
        slow = threads.submit(ask, session, "read", str(slow_log), 0, 100)
        quick = [
            threads.submit(ask, session, "read", str(tmp_path / "table"), n, 10**6)
            for n in (1, 10, 100)
        ]
        assert [one.result(PATIENCE) for one in quick] == [b"x" * 10**6] * 3
        assert ask(session, "exists") is False
        assert not slow.done()
        let_it_be_read(slow_log, slow.done)
        assert isinstance(slow.exception(PATIENCE), OSError)  # as a pipe has no place to seek


def test_all_who_wait_hear_that_the_connection_is_lost(session: FarSession, slow_log: Path) -> None:
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(ask, session, "read", str(slow_log), 0, 9) for _ in range(3)]
        assert ask(session, "exists") is False
        session._process.kill()
        for one in waiting:
            assert isinstance(one.exception(PATIENCE), LostConnectionError)
    with pytest.raises(LostConnectionError):
        session.ask("exists", [])


def test_a_link_is_taken_up_once_for_all_who_waited(slow_log: Path, tmp_path: Path) -> None:
    made: list[FarSession] = []

    def begin() -> FarSession:
        made.append(connect(tmp_path / "a run"))
        return made[-1]

    link = FarLink(PLACE, begin, lambda: None, lambda _: None)
    link.open()
    try:
        with ThreadPoolExecutor(3) as threads:
            waiting = [threads.submit(link.ask, "read", str(slow_log), 0, 9) for _ in range(2)]
            assert msgspec.msgpack.decode(link.ask("exists")) is False
            made[0]._process.kill()
            assert msgspec.msgpack.decode(link.ask("exists")) is False
            assert len(made) == 2
            # each is asked again there
            let_it_be_read(slow_log, lambda: all(one.done() for one in waiting))
            assert all(isinstance(one.exception(), OSError) for one in waiting)
    finally:
        link.close()
    deadline = time.monotonic() + PATIENCE
    while any(one.name == "ssh's answers" for one in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


class GoneSession:
    """Its connection breaks with the first request."""

    def ask(self, *_: object) -> FarAnswer:
        raise LostConnectionError("gone")

    def why_lost(self) -> str:
        return "gone"

    def end(self) -> None:
        pass

    stop = end


def test_a_link_that_is_lost_while_it_is_taken_up_does_not_count_as_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody took it up then, and who asked tried for ever."""
    link = FarLink(PLACE, GoneSession, lambda: None, lambda _: None)  # type: ignore[arg-type]

    def lose() -> None:
        with suppress(LostConnectionError):
            link.try_ask("exists")

    asker = threading.Thread(target=lose)
    tell = link._there.set

    def tell_late() -> None:
        asker.start()
        asker.join(0.5)  # as long as it is let: it may have to wait for this
        tell()

    monkeypatch.setattr(link._there, "set", tell_late)
    link._take_up_again()
    asker.join(PATIENCE)
    assert not link.is_there


def test_a_request_that_cannot_be_sent_ends_no_connection(session: FarSession) -> None:
    """A front end may send any number."""
    with pytest.raises(OverflowError):
        session.ask("read", [2**70])
    assert ask(session, "exists") is False


def test_a_process_with_many_files_has_a_connection(tmp_path: Path) -> None:
    """As a notebook that has loaded much: `select` takes numbers up to 1023 only."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    many = 1200
    if hard != resource.RLIM_INFINITY and hard < many:
        pytest.skip("this user may not open so many files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, many), hard))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        made = connect(tmp_path / "a run")
        try:
            assert made._out.fileno() > 1023
            assert ask(made, "exists") is False
        finally:
            made.end()
    finally:
        for fd in opened:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_all_hear_of_the_end_although_something_keeps_the_output_open(
    slow_log: Path, tmp_path: Path
) -> None:
    """As what a ProxyCommand of the user's has started."""
    made = connect(tmp_path / "a run", f"sleep 600 & echo $! >{shlex.quote(str(tmp_path / 'pid'))}")
    with ThreadPoolExecutor(1) as threads:
        try:
            waiting = threads.submit(ask, made, "read", str(slow_log), 0, 9)
            assert ask(made, "exists") is False
            made.end()
            assert isinstance(waiting.exception(PATIENCE), LostConnectionError)
            with pytest.raises(LostConnectionError):
                made.ask("exists", [])
        finally:
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def exits() -> None:
    raise SystemExit(3)


def names_no_text() -> None:
    raise OSError(errno.ENOENT, "No such file", os.fsdecode(bytes([255])))


@pytest.mark.parametrize(
    ("does", "error", "said"),
    [
        (exits, FarHostError, "SystemExit there: 3"),
        (names_no_text, OSError, r"\\udcff"),
        (lambda: "\udcff", FarHostError, "UnicodeEncodeError there"),
        (lambda: 2**70, FarHostError, "OverflowError there"),
        (object, FarHostError, "TypeError there"),
    ],
)
def test_each_request_is_answered(
    does: Callable[[], object], error: type[Exception], said: str
) -> None:
    """The thread of one ended without an answer: who asked waited for ever."""
    end = far_end.FarEnd()
    end.answers["exists"] = does
    packed = pack(far_end.answer_to(end, FarRequest(7, "exists", [])))
    answer = msgspec.msgpack.decode(packed[4:], type=FarAnswer)
    assert answer.number == 7
    with pytest.raises(error, match=said):
        value_of(answer)
