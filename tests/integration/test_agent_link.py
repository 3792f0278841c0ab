"""The head's side of its node: only one agent at a time, and only one whose supervisor is there."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from adaptive_scheduler.client.tasks.head.agent_link import PATIENCE, AgentLink
from adaptive_scheduler.client.tasks.messages import Begun, Slot, Start, TaskEnd
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.tasks.command_spec import CommandSpec, CommandStep
from adaptive_scheduler.core.wire.tasks import EndKind
from adaptive_scheduler.io.system import child_process
from tests.integration.agent_node import MARK, kill_all, of_test

#: It ends when it is refused.
CONNECTS = "import sys; from adaptive_scheduler.client.tasks.frames import connect; connect(sys.argv[1]).recv(1)"


class Head:
    """Waits for what its agent says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.came = self.lost = 0
        self.ended: dict[int, TaskEnd] = {}
        self.selector = selectors.DefaultSelector()
        self.link = AgentLink(RunFolder(folder / "run"), self.selector, self)

    def agent_came(self) -> None:
        self.came += 1

    def agent_lost(self, unsent: frozenset[int]) -> None:
        self.lost += 1

    def task_begun(self, begun: Begun) -> None:
        pass

    def task_ended(self, ended: TaskEnd) -> None:
        self.ended[ended.token] = ended

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None

    def wait(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not within {seconds:g} s"
            self.link.tick(time.monotonic())
            for key, _ in self.selector.select(0.05):
                key.data()

    def run(self, token: int) -> TaskEnd:
        spec = CommandSpec([CommandStep("", ["true"])], "/", str(self.folder / "log"))
        self.link.start(Start(token, spec, Slot((0,))))
        self.wait(lambda: token in self.ended)
        return self.ended[token]


@pytest.fixture
def head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Head]:
    monkeypatch.setenv(MARK, str(tmp_path))
    one = Head(tmp_path)
    try:
        one.wait(lambda: one.came == 1)
        yield one
        one.link.close()
    finally:
        kill_all(tmp_path)


def supervisor(head: Head) -> psutil.Process:
    (found,) = [
        one for one in psutil.Process().children()
        if one.status() != psutil.STATUS_ZOMBIE  # of another test
        and "adaptive_scheduler.client.tasks.node.supervisor" in one.cmdline()
    ]  # fmt: skip
    return found


@pytest.mark.parametrize("pause", [0.0, 0.2, 0.5, 1.0, 3.0])
def test_a_head_that_ends_while_its_agent_begins_does_not_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pause: float
) -> None:
    """It waited for ten seconds, as after a Ctrl-C in the first second of a run."""
    monkeypatch.setenv(MARK, str(tmp_path))
    one = Head(tmp_path)
    time.sleep(pause)
    begin = time.monotonic()
    try:
        one.link.close()
        assert time.monotonic() - begin < PATIENCE
        end = time.monotonic() + 60
        while of_test(tmp_path):
            assert time.monotonic() < end, "it has left processes behind"
            time.sleep(0.05)
    finally:
        kill_all(tmp_path)


def test_a_process_that_is_no_agent_of_this_head_takes_no_ones_place(head: Head) -> None:
    """As an agent does whose supervisor was killed while it began."""
    address = supervisor(head).cmdline()[-2]
    with subprocess.Popen([sys.executable, "-c", CONNECTS, address]) as other:
        head.wait(lambda: other.poll() is not None)
    assert head.run(1).kind is EndKind.VALUE
    assert (head.came, head.lost) == (1, 0)


@pytest.mark.parametrize("pause", [0.0, 0.1])
def test_agent_and_supervisor_are_killed_one_after_the_other(head: Head, pause: float) -> None:
    parent = supervisor(head)
    (agent,) = parent.children()
    agent.kill()
    time.sleep(pause)
    parent.kill()
    # until it has ended, which takes a moment, a head gives it the task
    end = time.monotonic() + 60
    while parent.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end
        time.sleep(0.001)
    head.wait(lambda: head.lost >= 1)
    assert head.run(1).kind is EndKind.VALUE
    assert supervisor(head).pid != parent.pid
    assert len(supervisor(head).children()) == 1
    before = head.lost
    os.kill(supervisor(head).pid, signal.SIGKILL)
    head.wait(lambda: head.lost > before)
    assert head.run(2).kind is EndKind.VALUE


@pytest.fixture
def subreaper() -> Iterator[None]:
    """This process is a subreaper for a while, as a head is."""
    child_process.become_subreaper()
    yield
    child_process._prctl(child_process._SET_CHILD_SUBREAPER, 0)


def test_no_agent_begins_before_the_last_one_has_ended(subreaper: None, head: Head) -> None:
    """It was never reaped, and what it had left could run on beside the tasks of the next one."""
    assert head.run(1).kind is EndKind.VALUE
    parent = supervisor(head)
    (agent,) = parent.children()
    agent.suspend()  # its socket is closed already, and it ends slowly
    parent.kill()
    head.wait(lambda: not head.link._life.is_running)
    head.link._lose()
    head.link.tick(time.monotonic() + PATIENCE / 2)
    assert not head.link._life.is_running
    agent.resume()
    assert head.run(2).kind is EndKind.VALUE
    assert not psutil.pid_exists(agent.pid)
