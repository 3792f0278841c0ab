"""What a head does with tasks that wait for an agent while the last one dies."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from adaptive_scheduler.client.tasks.head.agent_link import AgentLink
from adaptive_scheduler.client.tasks.messages import Begun, Slot, Start, TaskEnd
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.tasks.command_spec import CommandSpec, CommandStep
from adaptive_scheduler.core.wire.tasks import EndKind

PATIENCE = 60.0


class Listener:
    def __init__(self) -> None:
        self.came = 0
        self.ended: list[tuple[int, EndKind]] = []
        self.unsent: list[frozenset[int]] = []

    def task_begun(self, begun: Begun) -> None:
        pass

    def task_ended(self, ended: TaskEnd) -> None:
        self.ended.append((ended.token, EndKind(ended.kind)))

    def agent_came(self) -> None:
        self.came += 1

    def agent_lost(self, unsent: frozenset[int]) -> None:
        self.unsent.append(unsent)


class Node:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.listener = Listener()
        self.selector = selectors.DefaultSelector()
        self.link = AgentLink(RunFolder(folder / "db.tinydb"), self.selector, self.listener)

    def turn_until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end
            for key, _ in self.selector.select(0.02):
                key.data()
            self.link.tick(time.monotonic())

    def command(self, token: int) -> Start:
        step = CommandStep("", text=f"echo >> {self.folder}/ran-{token}")
        spec = CommandSpec([step], str(self.folder), str(self.folder / f"log-{token}"))
        return Start(token, spec, Slot((0,)))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    one = Node(tmp_path)
    yield one
    one.link.close()


def test_a_task_that_waited_for_an_agent_as_the_last_one_was_lost_is_not_begun_by_the_next(
    node: Node,
) -> None:
    """The manager is told that it comes back, and may have placed it, or others there, elsewhere."""
    me = psutil.Process()
    for n in range(1, 6):
        node.turn_until(lambda n=n: node.listener.came == n)
        (supervisor,) = [one for one in me.children() if _is(one, "supervisor")]
        (agent,) = [one for one in supervisor.children() if _is(one, "agent")]
        agent.suspend()  # or it would end with its supervisor before anything can happen
        supervisor.kill()
        node.turn_until(lambda: not node.link._life.is_running)
        if len(node.listener.unsent) < n:
            break  # else its agent was lost in the same turn, and nothing could wait for it
    node.link.start(node.command(1))
    agent.kill()
    node.turn_until(lambda: len(node.listener.unsent) == n)
    assert node.listener.unsent[-1] == frozenset({1})
    node.turn_until(lambda: node.listener.came == n + 1)
    node.link.start(node.command(2))
    node.turn_until(lambda: node.listener.ended)
    assert node.listener.ended == [(2, EndKind.VALUE)]
    assert not (node.folder / "ran-1").exists()


def _is(process: psutil.Process, what: str) -> bool:
    try:
        return f"adaptive_scheduler.client.tasks.node.{what}" in process.cmdline()
    except psutil.Error:  # a zombie of another test, or it has just ended
        return False
