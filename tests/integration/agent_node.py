"""A supervisor with its agent; the head is played by the test. Whatever a test starts here ends with it."""

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
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import psutil

from adaptive_scheduler.client.tasks.frames import Frames
from adaptive_scheduler.client.tasks.messages import (
    Begun,
    Call,
    FromAgent,
    Quit,
    RanksEnded,
    Ready,
    Slot,
    Start,
    StopTask,
    TaskEnd,
)
from adaptive_scheduler.core.paths import RUN_VARIABLE
from adaptive_scheduler.core.tasks.command_spec import CommandSpec, CommandStep
from adaptive_scheduler.core.wire.tasks import EndKind
from adaptive_scheduler.executors import worker
from adaptive_scheduler.io.pickling.by_value import dumps_by_value

ROOT = Path(__file__).resolve().parents[2]
SLOT = Slot((0,))
#: In the environment of all that a test starts.
MARK = "ADAPTIVE_SCHEDULER_TEST"


class AgentNode:
    """A supervisor, and the head's end of its agent's socket.

    Parameters
    ----------
    folder : Path
    begin : callable
        Called with the pid of the supervisor before it has begun anything.
    module : str
        What the supervisor runs.
    """

    def __init__(
        self,
        folder: Path,
        begin: Callable[[int], None] = lambda pid: None,
        module: str = "adaptive_scheduler.client.tasks.node.supervisor",
    ) -> None:
        self.folder = folder
        for name in ("functions", "values", "work"):
            (folder / name).mkdir()
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(folder / "head"))
        self._server.listen()
        self._server.settimeout(60)
        environment = {"PYTHONPATH": str(ROOT)} if module.startswith("tests.") else {}
        with (folder / "output").open("w") as output:
            self.supervisor = subprocess.Popen(
                [sys.executable, "-m", module, str(folder / "head"), str(folder)], stdout=output,
                env={**os.environ, MARK: str(folder), RUN_VARIABLE: str(folder), **environment},
            )  # fmt: skip
        begin(self.supervisor.pid)
        self.token = 0
        self.begun: dict[int, Begun] = {}
        self.ended: dict[int, TaskEnd] = {}
        self.ranks_ended: set[int] = set()
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

    def wait(self, condition: Callable[[], bool], seconds: float = 60) -> None:
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
            case RanksEnded():
                self.ranks_ended.add(message.token)
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
        steps = [CommandStep(f"step{n}", text=text) for n, text in enumerate(texts)]
        return self.start(
            CommandSpec(steps, str(self.folder / "work"), str(self.log(self.token + 1))), **options
        )

    def stop(self, token: int, kind: EndKind = EndKind.CANCELLED, grace: float = 10) -> None:
        self.frames.send(StopTask(token, kind, grace))

    def end_of(self, token: int, seconds: float = 60) -> TaskEnd:
        self.wait(lambda: token in self.ended, seconds)
        return self.ended[token]

    def value_of(self, token: int) -> Any:
        ended = self.end_of(token)
        assert ended.kind is EndKind.VALUE, ended
        return pickle.loads(Path(ended.path).read_bytes() if ended.path else ended.value)

    def error_of(self, token: int) -> tuple[str, str, str, bytes | None]:
        ended = self.end_of(token)
        assert ended.kind is EndKind.ERROR, ended
        described: tuple[str, str, str, bytes | None] = pickle.loads(ended.value)
        return described

    def await_begin(self, token: int) -> Begun:
        self.wait(lambda: token in self.begun)
        return self.begun[token]

    def log(self, token: int) -> Path:
        return self.folder / f"{token}.log"

    def log_of(self, token: int) -> str:
        return self.log(token).read_text()

    def pid_in(self, name: str) -> int:
        """The number that a process has written into a file of the folder."""
        path = self.folder / name
        self.wait(lambda: path.exists() and path.read_text().strip() != "")
        return int(path.read_text())

    def await_gone(self, pids: Iterable[int], seconds: float = 60) -> None:
        self.wait(lambda: not any(map(is_alive, pids)), seconds)

    def close(self) -> None:
        """End it in good order; whatever is left after that is killed, and told."""
        try:
            if self.supervisor.poll() is None:
                self.frames.send(Quit(grace=0))
                self.frames.flush()
                with suppress(subprocess.TimeoutExpired):
                    self.supervisor.wait(60)
            left = of_test(self.folder)
        finally:
            kill_all(self.folder)
            self.supervisor.wait()
            self.frames.sock.close()
            self._server.close()
        assert left == [], "these are left"


def is_alive(pid: int) -> bool:
    """Whether a process runs: one that has ended may wait for long until its parent takes note of it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def of_test(folder: Path) -> list[psutil.Process]:
    """All that run and have been started for a folder, by their environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            is_its = process.environ().get(MARK) == str(folder)
            if is_its and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def kill_all(folder: Path) -> None:
    """Kill what was started for a folder, until there is nothing."""
    while left := of_test(folder):
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(left, 1)
