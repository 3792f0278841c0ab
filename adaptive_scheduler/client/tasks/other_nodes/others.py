"""The head's hands on the other nodes of its job: a socket, an invitation, launchers, and who has come."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from adaptive_scheduler.client.tasks.messages import Begun, Quit, RanksEnded, TaskEnd
from adaptive_scheduler.client.tasks.other_nodes.conversation import alone
from adaptive_scheduler.client.tasks.other_nodes.invitation import Invitation, write_invitation
from adaptive_scheduler.client.tasks.other_nodes.launch_plan import LaunchPlan
from adaptive_scheduler.client.tasks.other_nodes.launchers import Commands, Launchers, say
from adaptive_scheduler.client.tasks.other_nodes.messages import AgentCame, AgentLost, Arrived, Left
from adaptive_scheduler.client.tasks.other_nodes.other_node import OtherNode, first_word
from adaptive_scheduler.core.paths import JOB_VARIABLE, RunFolder
from adaptive_scheduler.core.tasks.place import NodeInventory
from adaptive_scheduler.errors import ProtocolError
from adaptive_scheduler.io.transport.node_link import NodeServer

#: Seconds between two looks at what only the clock tells.
LOOK = 0.25
#: Seconds that a node may take to end beyond those that it gives to its tasks.
PATIENCE = 10.0


class NodesListener(Protocol):
    """Who is told what happens on the nodes."""

    def task_begun(self, node: int, begun: Begun) -> None:
        """A task has been running for a moment."""

    def task_ended(self, ended: TaskEnd) -> None:
        """A task has ended, or comes back."""

    def ranks_ended(self, node: int, token: int) -> None:
        """Nothing is left of a task on a node."""

    def agent_came(self, node: int) -> None:
        """A node has an agent again."""

    def agent_lost(self, node: int, unsent: frozenset[int]) -> None:
        """What the agent of a node ran has died with it, except for those that it was never given."""

    def node_came(self, node: int, inventory: NodeInventory) -> None:
        """A node is there, for the first time or again."""

    def node_lost(self, node: int, text: str) -> None:
        """A node is lost, with all that ran there."""


class OtherNodes:
    """All nodes of a job but the head's own.

    Parameters
    ----------
    folder : RunFolder
    selector : selectors.BaseSelector
        Of the head's loop.
    listener : NodesListener
    nodes : sequence of str
        Names of all nodes of the job; the head's own is the first.
    cores : int
        That were asked for on each.
    commands : callable
        Makes launchers.
    """

    def __init__(
        self, folder: RunFolder, selector: selectors.BaseSelector, listener: NodesListener,
        nodes: Sequence[str], cores: int, commands: Commands,
    ) -> None:  # fmt: skip
        self._listener = listener
        self._server = NodeServer()
        self._nodes = [OtherNode(number, name) for number, name in enumerate(nodes) if number]
        self._by_life: dict[bytes, OtherNode] = {}
        self._given_up: set[OtherNode] = set()
        self._invitation = write_invitation(folder, self._invite(folder, nodes, cores))
        self._plan = LaunchPlan(nodes[1:])
        self._launchers = Launchers(self._plan, os.fspath(self._invitation), commands)
        self._look_at = 0.0
        self._is_leaving = False
        selector.register(self._server, selectors.EVENT_READ, self._nothing)

    def _nothing(self) -> None:
        """What has come is taken by `tick`: the descriptor says only that there may be something."""

    def _invite(self, folder: RunFolder, nodes: Sequence[str], cores: int) -> Invitation:
        server = self._server
        return Invitation(
            server.urls, server.server_key, server.client.public, server.client.secret,
            os.fspath(folder.folder), os.environ[JOB_VARIABLE], list(nodes), cores, os.getcwd(),
            dict(os.environb),
        )  # fmt: skip

    def __getitem__(self, number: int) -> OtherNode:
        return self._nodes[number - 1]

    @property
    def has_heard(self) -> bool:
        """Whether there is something that `tick` would take: to be asked before waiting."""
        return self._server.has_heard

    def quit(self, grace: float, staying: Collection[int] = ()) -> None:
        """End all tasks, and the proxies, but for those of nodes that are to stay; none is started any more."""
        for node in self._nodes:
            if node.number not in staying:
                node.say(Quit(grace=grace))
        self._is_leaving = True
        self._plan.end()
        self._send(time.monotonic())

    def tick(self, now: float) -> None:
        """Take what has come, send what is to be sent, and notice what only the clock tells."""
        for life, data in self._server.receive():
            self._hear(life, data, now)
        if now >= self._look_at:
            self._look_at = now + LOOK
            for node in self._nodes:
                if node.is_silent(now):
                    self._lose(node, "it was not heard any more")
            self._launchers.tick(now)
        self._send(now)

    def _send(self, now: float) -> None:
        for node in self._nodes:
            for parcel in node.parcels(now):
                self._server.send(node.life, parcel)

    def close(self, grace: float = 0.0) -> None:
        """Wait until all nodes have ended what runs there, and say goodbye."""
        self.quit(grace)
        end = time.monotonic() + grace + PATIENCE
        while any(node.is_there for node in self._nodes) and time.monotonic() < end:
            self.tick(time.monotonic())
            time.sleep(0.01)
        self._launchers.close()
        self._server.close()
        with suppress(FileNotFoundError):
            Path(self._invitation).unlink()

    # ------------------------------------------------------------------- from the nodes

    def _hear(self, life: bytes, data: bytes, now: float) -> None:
        node = self._by_life.get(life)
        try:
            if node is None:
                self._meet(life, data, now)
                return
            for message in node.take(data, now):
                self._take(node, message)
        except ProtocolError as error:
            if node is not None:
                self._lose(node, f"it was sent away: {error}")
            self._server.send(life, alone(Quit(grace=0.0)))

    def _meet(self, life: bytes, data: bytes, now: float) -> None:
        """A new life of a node: it has ended what an earlier one had left there.

        ProtocolError if it is none, or has no place here (any more).
        """
        arrived = first_word(data)
        if not isinstance(arrived, Arrived) or not 0 < arrived.node <= len(self._nodes):
            raise ProtocolError("it is no node of this job, or its time is over.")
        node = self[arrived.node]
        if node in self._given_up or self._is_leaving:
            raise ProtocolError("nothing is run on this node any more.")
        if node.is_there:
            self._lose(node, "another life of it has come")
        if node.inventory not in (None, arrived.inventory):
            self._give_up(node, f"it had {node.inventory}, and came back with {arrived.inventory}")
            raise ProtocolError("it has other cores than before.")
        if node.inventory is not None:
            say(f"node {node.name} is there again.")
        node.accept(life, arrived.inventory, data, now)
        self._by_life[life] = node
        self._plan.note_there(node.name)
        self._listener.node_came(node.number, arrived.inventory)

    def _give_up(self, node: OtherNode, why: str) -> None:
        self._given_up.add(node)
        self._plan.forget(node.name)
        say(f"node {node.name} is given up: {why}.")

    def _lose(self, node: OtherNode, text: str) -> None:
        del self._by_life[node.life]
        self._server.send(node.life, alone(Quit(grace=0.0)))
        node.lose()
        if not self._is_leaving:
            say(f"node {node.name} is lost: {text.rstrip('.')}.")
        self._plan.note_lost(node.name, time.monotonic())
        self._listener.node_lost(node.number, text)

    def _take(self, node: OtherNode, message: Any) -> None:
        match message:
            case TaskEnd(token):
                node.note_ended(token)
                self._listener.task_ended(message)
            case Begun():
                self._listener.task_begun(node.number, message)
            case RanksEnded(token):
                self._listener.ranks_ended(node.number, token)
            case AgentCame():
                self._plan.note_good(node.name)
                self._listener.agent_came(node.number)
            case AgentLost():
                self._listener.agent_lost(node.number, node.lose_agent(message))
            case Left(text):
                self._lose(node, text or "it has ended")
