"""The agent of one node, its supervisor, workers and programs; the head is played by the test."""

from __future__ import annotations

import hashlib
import os
import pickle
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from adaptive_scheduler.client.tasks.frames import Frames
from adaptive_scheduler.client.tasks.messages import (
    Begun,
    Call,
    FromAgent,
    Quit,
    Ready,
    Slot,
    Start,
    StopTask,
    TaskEnd,
)
from adaptive_scheduler.core.tasks.command_spec import CommandSpec, CommandStep
from adaptive_scheduler.core.wire.tasks import EndKind
from adaptive_scheduler.executors import worker
from adaptive_scheduler.io.pickling.by_value import dumps_by_value

SLOT = Slot((0,))


class Node:
    """A supervisor, and the head's end of its agent's socket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("functions", "values", "work"):
            (folder / name).mkdir()
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(folder / "head"))
        self._server.listen()
        self._server.settimeout(20)
        self.supervisor = subprocess.Popen(
            [sys.executable, "-m", "adaptive_scheduler.client.tasks.node.supervisor",
             str(folder / "head"), str(folder)],
        )  # fmt: skip
        self.token = 0
        self.begun: dict[int, Begun] = {}
        self.ended: dict[int, TaskEnd] = {}
        self.times_ended: dict[int, int] = {}
        self.ready = self.accept()

    def accept(self) -> Ready:
        sock, _ = self._server.accept()
        self.frames = Frames(sock, msgspec.msgpack.Decoder(FromAgent))
        self._selector = selectors.DefaultSelector()
        self._selector.register(sock, selectors.EVENT_READ)
        self._readies: list[Ready] = []
        self.wait(lambda: bool(self._readies))
        return self._readies[0]

    def wait(self, condition: Callable[[], bool], seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not within {seconds:g} s"
            self.frames.flush()
            self._selector.select(0.02)
            for message in self.frames.receive():
                self._take(message)

    def _take(self, message: Any) -> None:
        match message:
            case Ready():
                self._readies.append(message)
            case Begun():
                self.begun[message.token] = message
            case TaskEnd():
                self.ended[message.token] = message
                self.times_ended[message.token] = self.times_ended.get(message.token, 0) + 1

    def start(self, work: Any, slot: Slot = SLOT, **options: Any) -> int:
        self.token += 1
        self.frames.send(Start(self.token, work, slot, **options))
        return self.token

    def call(self, function: Callable[..., Any], *args: Any, **options: Any) -> int:
        program = pickle.dumps(worker.Program("", (), b"", b"", dumps_by_value(function)))
        key = hashlib.blake2b(program, digest_size=16).hexdigest()
        (self.folder / "functions" / key).write_bytes(program)
        return self.start(Call(key, pickle.dumps((args, {}))), **options)

    def command(self, *texts: str, **options: Any) -> int:
        log = str(self.folder / f"{self.token + 1}.log")
        steps = [CommandStep(f"step{n}", text=text) for n, text in enumerate(texts)]
        return self.start(CommandSpec(steps, str(self.folder / "work"), log), **options)

    def stop(self, token: int, kind: EndKind = EndKind.CANCELLED, grace: float = 10) -> None:
        self.frames.send(StopTask(token, kind, grace))

    def end_of(self, token: int, seconds: float = 20) -> TaskEnd:
        self.wait(lambda: token in self.ended, seconds)
        return self.ended[token]

    def value_of(self, token: int) -> Any:
        ended = self.end_of(token)
        assert ended.kind is EndKind.VALUE, ended
        return pickle.loads(Path(ended.path).read_bytes() if ended.path else ended.value)

    def await_begin(self, token: int) -> Begun:
        self.wait(lambda: token in self.begun)
        return self.begun[token]

    def log_of(self, token: int) -> str:
        return (self.folder / f"{token}.log").read_text()

    def close(self) -> None:
        if self.supervisor.poll() is None:
            self.frames.send(Quit(grace=0))
            self.frames.flush()
            self.supervisor.wait(20)
        self._server.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    one = Node(tmp_path)
    yield one
    one.close()
    assert left_of(one) == []


def left_of(node: Node) -> list[int]:
    """Processes that have this run's folder in their arguments or environment."""
    marks, found = str(node.folder), []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and marks in " ".join(process.cmdline()):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def read_pid(path: Path, node: Node) -> int:
    node.wait(lambda: path.exists() and path.read_text().strip() != "")
    return int(path.read_text())


# ------------------------------------------------------------------------------- calls


def test_a_call_gives_its_value(node: Node) -> None:
    assert node.value_of(node.call(lambda x: x + 1, 41)) == 42


def test_a_call_that_raises_tells_its_traceback(node: Node) -> None:
    def fails() -> None:
        raise ValueError("no such thing")

    ended = node.end_of(node.call(fails))
    name, message, text, pickled = pickle.loads(ended.value)
    assert (ended.kind, name, message) == (EndKind.ERROR, "ValueError", "no such thing")
    assert 'raise ValueError("no such thing")' in text
    assert isinstance(pickle.loads(pickled), ValueError)


def test_system_exit_is_an_error_of_the_call(node: Node) -> None:
    ended = node.end_of(node.call(sys.exit, 3))
    assert (ended.kind, pickle.loads(ended.value)[0]) == (EndKind.ERROR, "SystemExit")


def test_a_value_that_cannot_be_pickled_is_an_error_that_says_so(node: Node) -> None:
    ended = node.end_of(node.call(lambda: (n for n in ())))
    assert ended.kind is EndKind.ERROR
    assert "generator" in pickle.loads(ended.value)[1]


def test_a_large_value_goes_by_a_file(node: Node) -> None:
    token = node.call(lambda: bytes(10**6))
    assert node.value_of(token) == bytes(10**6)
    assert node.ended[token].value == b""


def test_many_short_calls_keep_their_order_and_values(node: Node) -> None:
    tokens = [node.call(lambda x: x, n) for n in range(300)]
    assert [node.value_of(token) for token in tokens] == list(range(300))
    assert list(node.ended) == tokens


def test_a_worker_is_kept_from_call_to_call(node: Node) -> None:
    first, second = node.call(os.getpid), node.call(os.getpid)
    assert node.value_of(first) == node.value_of(second)


@pytest.mark.parametrize("status", [0, 7])
def test_a_call_that_ends_its_process_harms_no_other(node: Node, status: int) -> None:
    before = [node.call(lambda x: x, n) for n in range(5)]
    bad = node.call(os._exit, status)
    after = [node.call(lambda x: x, n) for n in range(5)]
    ended = node.end_of(bad)
    assert (ended.kind, ended.code, ended.begun) == (EndKind.DIED, status, True)
    assert f"status {status}" in ended.text
    assert [node.value_of(token) for token in before + after] == [*range(5), *range(5)]
    assert set(node.times_ended.values()) == {1}


def test_a_segmentation_fault_harms_no_other(node: Node) -> None:
    def segfault() -> None:
        import ctypes

        ctypes.string_at(0)

    bad, good = node.call(segfault), node.call(os.getpid)
    assert (node.end_of(bad).kind, node.ended[bad].code) == (EndKind.SIGNAL, signal.SIGSEGV)
    assert node.value_of(good)


def test_a_killed_worker_is_told_to_have_been_killed(node: Node) -> None:
    token = node.call(time.sleep, 60)
    os.kill(node.await_begin(token).pid, signal.SIGKILL)
    ended = node.end_of(token)
    assert (ended.kind, ended.code) == (EndKind.SIGNAL, signal.SIGKILL)
    assert "memory" in ended.text
    assert ended.peak > 10**6


def test_a_call_that_closes_all_files_is_the_only_one_that_dies(node: Node) -> None:
    bad, good = node.call(os.closerange, 0, 1000), node.call(os.getpid)
    assert node.end_of(bad).kind in (EndKind.DIED, EndKind.SIGNAL)
    assert node.value_of(good)


def test_a_call_that_takes_too_long_is_ended(node: Node) -> None:
    token, good = node.call(time.sleep, 60, timeout=0.3), node.call(os.getpid)
    ended = node.end_of(token)
    assert ended.kind is EndKind.TIMEOUT
    assert 0.2 < ended.seconds < 5
    assert node.value_of(good)


def test_a_call_that_ignores_sigterm_is_killed(node: Node) -> None:
    def stubborn() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(60)

    token = node.call(stubborn)
    node.await_begin(token)
    node.stop(token, grace=0.5)
    assert (node.end_of(token).kind, node.ended[token].code) == (EndKind.CANCELLED, signal.SIGKILL)


def test_a_call_that_has_not_begun_comes_back(node: Node) -> None:
    running, waiting = node.call(time.sleep, 60), node.call(os.getpid)
    node.await_begin(running)
    node.stop(waiting, EndKind.BACK)
    assert node.end_of(waiting) == TaskEnd(waiting, EndKind.BACK, begun=False)
    node.stop(running)
    assert node.end_of(running).kind is EndKind.CANCELLED


def test_what_a_call_forks_and_leaves_is_killed(node: Node) -> None:
    file = node.folder / "daemon"

    def forks(path: str) -> None:
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                Path(path).write_text(str(os.getpid()))
                time.sleep(600)
            os._exit(0)
        os.wait()

    node.value_of(node.call(forks, str(file)))
    pid = read_pid(file, node)
    node.wait(lambda: not is_alive(pid))


def test_a_worker_has_the_cores_gpus_and_threads_of_its_slot(node: Node) -> None:
    slot = Slot((1,), ("2", "3"), threads=4)

    def seen() -> Any:
        names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
        return sorted(os.sched_getaffinity(0)), [os.environ[name] for name in names]

    assert node.value_of(node.call(seen, slot=slot)) == ([1], ["2,3", "4"])


# ------------------------------------------------------------------------------- commands


def test_a_command_runs_in_its_folder_with_its_log(node: Node) -> None:
    token = node.command("pwd && echo $ADAPTIVE_SCHEDULER_TASK; echo error >&2")
    assert node.end_of(token).kind is EndKind.VALUE
    assert node.log_of(token) == f"{node.folder / 'work'}\n{token}\nerror\n"


def test_a_command_has_its_slot_in_all_its_parts(node: Node) -> None:
    token = node.command(
        "echo $CUDA_VISIBLE_DEVICES && taskset -cp $$ | sed 's/.*: //' && echo $CUDA_VISIBLE_DEVICES",
        slot=Slot((1,), ("5",)),
    )
    assert node.end_of(token).kind is EndKind.VALUE
    assert node.log_of(token) == "5\n1\n5\n"


def test_the_steps_of_a_command_end_with_the_first_failure(node: Node) -> None:
    token = node.command("echo one", "echo two; exit 3", "echo three")
    ended = node.end_of(token)
    assert (ended.kind, ended.code, ended.text) == (
        EndKind.EXIT,
        3,
        "step 'step1' ended with status 3",
    )
    assert node.log_of(token) == "one\ntwo\n"


def test_a_signal_is_no_success(node: Node) -> None:
    ended = node.end_of(node.command("kill -TERM $$"))
    assert (ended.kind, ended.code) == (EndKind.SIGNAL, signal.SIGTERM)


def test_a_command_that_does_not_exist_is_named(node: Node) -> None:
    work = CommandSpec(
        [CommandStep("", ["no-such-program", "x"])], str(node.folder), str(node.folder / "log")
    )
    ended = node.end_of(node.start(work))
    assert ended.kind is EndKind.UNABLE
    assert "no-such-program" in ended.text


def test_a_command_ends_with_its_whole_process_group(node: Node) -> None:
    file = node.folder / "pid"
    token = node.command(f"sleep 600 & echo $! > '{file}'")
    assert node.end_of(token).kind is EndKind.VALUE
    pid = read_pid(file, node)
    node.wait(lambda: not is_alive(pid))


def test_what_a_command_leaves_outside_its_group_is_killed(node: Node) -> None:
    file = node.folder / "pid"
    token = node.command(f"setsid sh -c 'echo $$ > \"{file}\"; exec sleep 600' & sleep 0.2")
    assert node.end_of(token).kind is EndKind.VALUE
    pid = read_pid(file, node)
    node.wait(lambda: not is_alive(pid))


def test_a_command_that_takes_too_long_is_ended(node: Node) -> None:
    ended = node.end_of(node.command("sleep 600", timeout=0.2))
    assert ended.kind is EndKind.TIMEOUT


def test_a_command_that_prints_a_lot_is_not_held_up(node: Node) -> None:
    token = node.command("head -c 50000000 /dev/zero")
    assert node.end_of(token).kind is EndKind.VALUE
    assert (node.folder / f"{token}.log").stat().st_size == 50_000_000


# ------------------------------------------------------------------------------- who dies


def test_a_killed_agent_leaves_nothing_and_is_started_again(node: Node) -> None:
    file = node.folder / "pid"
    call = node.call(time.sleep, 600)
    command = node.command(f"setsid sleep 600 & echo $! > '{file}'; sleep 600", slot=Slot((1,)))
    processes = [node.await_begin(token).pid for token in (call, command)] + [read_pid(file, node)]
    os.kill(node.ready.pid, signal.SIGKILL)
    again = node.accept()
    assert (again.life, again.pid != node.ready.pid) == (1, True)
    assert not any(map(is_alive, processes))
    assert node.value_of(node.call(lambda: 1)) == 1


def test_nothing_is_left_when_the_supervisor_is_killed(node: Node) -> None:
    token = node.call(time.sleep, 600)
    command = node.command("sleep 600", slot=Slot((1,)))
    pids = [node.await_begin(one).pid for one in (token, command)] + [node.ready.pid]
    node.supervisor.kill()
    node.supervisor.wait()
    end = time.monotonic() + 10
    while any(map(is_alive, pids)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(map(is_alive, pids))


def test_nothing_is_left_when_the_head_ends(node: Node) -> None:
    token = node.call(time.sleep, 600)
    command = node.command("trap '' TERM; sleep 600; sleep 600", slot=Slot((1,)))
    pids = [node.await_begin(one).pid for one in (token, command)] + [node.ready.pid]
    node.frames.sock.close()
    node.supervisor.wait(20)
    assert not any(map(is_alive, pids))


def test_at_the_end_of_the_job_what_runs_is_cut(node: Node) -> None:
    call, waiting = node.call(time.sleep, 600), node.call(os.getpid)
    node.await_begin(call)
    node.frames.send(Quit(grace=1))
    assert node.end_of(call).kind is EndKind.CUT
    assert (node.end_of(waiting).kind, node.ended[waiting].begun) == (EndKind.CUT, False)
    assert node.supervisor.wait(10) == 0
