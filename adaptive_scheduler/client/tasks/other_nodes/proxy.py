"""On each other node of a job: starts the node's agent, and carries messages between it and the head.

Started by `enter` as ``python -P -m adaptive_scheduler.client.tasks.other_nodes.proxy INVITATION NODE``. To the
agent it is the head. It ends, with all that runs on its node, when the head says so, is silent for
too long, or a message was lost; what is left here after that is ended by the next one on this node.
"""

from __future__ import annotations

import os
import selectors
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from adaptive_scheduler.client.tasks.head.agent_link import PATIENCE, AgentLink
from adaptive_scheduler.client.tasks.head.allocation import of_job
from adaptive_scheduler.client.tasks.messages import (
    Begun,
    EndRanks,
    Quit,
    RanksEnded,
    Start,
    StopTask,
    TaskEnd,
)
from adaptive_scheduler.client.tasks.other_nodes.conversation import Conversation
from adaptive_scheduler.client.tasks.other_nodes.earlier_life import wait_for_earlier
from adaptive_scheduler.client.tasks.other_nodes.invitation import Invitation, read_invitation
from adaptive_scheduler.client.tasks.other_nodes.messages import (
    Accepted,
    AgentCame,
    AgentLost,
    Arrived,
    Left,
    LossNoted,
    ToNode,
)
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.tasks.place import NodeInventory
from adaptive_scheduler.core.wire.tasks import EndKind
from adaptive_scheduler.errors import AdaptiveSchedulerError, ProtocolError, RunError
from adaptive_scheduler.io.system.child_process import become_subreaper, leave_signals_to_head
from adaptive_scheduler.io.transport.keys import KeyPair
from adaptive_scheduler.io.transport.node_link import NodeClient

#: Seconds between two looks at the clock.
TICK = 0.5
#: Seconds that the head may take to answer at one of its addresses, and at all of them.
ANSWER, ARRIVAL = 5.0, 60.0
#: Seconds that tasks have to end if the head is gone: nobody waits for them.
LONELY_GRACE = 3.0
#: Seconds that the last word may take on its way.
FAREWELL = 2.0

_to_node: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(ToNode)


class HeadGoneError(RunError):
    """The head is not heard any more, or has sent this proxy away."""


class NodeProxy:
    """Talks to the head; the agent's head on this node.

    Parameters
    ----------
    invitation : Invitation
    node : int
        Its number.
    inventory : NodeInventory
    """

    def __init__(self, invitation: Invitation, node: int, inventory: NodeInventory) -> None:
        self._selector = selectors.DefaultSelector()
        self._client, self._talk, early = _accepted(invitation, Arrived(node, inventory))
        self._selector.register(self._client, selectors.EVENT_READ, lambda: None)
        self._agent = AgentLink(RunFolder(invitation.folder), self._selector, self)
        self._quit: Quit | None = None
        self._unnoted = 0  # deaths of agents of which the head does not know yet
        for message in early:
            self._obey(message)

    def run(self) -> None:
        """Carry messages until the head says that it is over; HeadGoneError if it is gone."""
        grace, text = LONELY_GRACE, ""
        try:
            while self._quit is None:
                self._turn()
            self._end_tasks(self._quit)
            grace = 0.0
        except HeadGoneError:
            raise
        except RunError as error:  # no agent can be started
            text = str(error)
        finally:
            self._agent.close(grace)
            self._leave(text)

    def _end_tasks(self, order: Quit) -> None:
        """Let the agent end its tasks, and tell how they ended."""
        end = time.monotonic() + order.grace + PATIENCE
        self._agent.quit(order.grace)
        while self._agent.has_agent and time.monotonic() < end:
            self._turn()
            if self._quit is not None:  # sooner than was said before, perhaps
                self._agent.quit(self._quit.grace)

    def _leave(self, text: str) -> None:
        self._talk.put(Left(text))
        self._send(time.monotonic())
        self._client.close(FAREWELL)

    def _turn(self) -> None:
        wait = 0.0 if self._client.has_heard else TICK
        for key, _ in self._selector.select(wait):
            key.data()
        now = time.monotonic()
        for message in self._receive(now):
            self._obey(message)
        if self._talk.is_silent(now):
            raise HeadGoneError("the head of this job is not heard any more.")
        self._agent.tick(now)
        self._send(now)

    def _receive(self, now: float) -> Iterator[Any]:
        for data in self._client.receive():
            try:
                yield from self._talk.take(data, now)
            except ProtocolError as error:
                raise HeadGoneError(f"from the head: {error}") from error

    def _send(self, now: float) -> None:
        for parcel in self._talk.parcels(now):
            self._client.send(parcel)

    # ------------------------------------------------------------------- from the head

    def _obey(self, message: Any) -> None:
        match message:
            case Start():
                if not self._unnoted:  # else the head counts it as one that no agent was given
                    self._agent.start(message)
            case StopTask(token, EndKind.BACK):
                self._agent.recall(token)
            case StopTask():
                self._agent.stop(message)
            case EndRanks(token):
                self._agent.end_ranks(token)
            case LossNoted():
                self._unnoted -= 1
            case Quit():
                self._quit = message

    # ------------------------------------------------------------------- from the agent

    def agent_came(self) -> None:
        """There is an agent."""
        self._talk.put(AgentCame())

    def task_begun(self, begun: Begun) -> None:
        """A task has been running for a moment."""
        self._talk.put(begun)

    def task_ended(self, ended: TaskEnd) -> None:
        """A task has ended, or comes back."""
        self._talk.put(ended)

    def ranks_ended(self, token: int) -> None:
        """Nothing is left of a task here."""
        self._talk.put(RanksEnded(token))

    def agent_lost(self, unsent: frozenset[int]) -> None:
        """What the agent ran has died with it. What the head sends before it knows is not begun."""
        self._talk.put(AgentLost(sorted(unsent), self._talk.taken))
        self._unnoted += 1


def _accepted(
    invitation: Invitation, arrived: Arrived
) -> tuple[NodeClient, Conversation, list[Any]]:
    """Return a connection to one of the head's addresses, by which it has accepted this node.

    And what the head has said since: tasks may have come with its word.

    Each try is a life of its own: nobody knows whether the head has heard the one before.
    """
    pair = KeyPair(invitation.public, invitation.secret)
    end = time.monotonic() + ARRIVAL
    while time.monotonic() < end:
        for url in invitation.urls:
            client = NodeClient(url, invitation.server_key, pair, uuid.uuid4().hex.encode())
            talk = Conversation(_to_node, time.monotonic())
            talk.put(arrived)
            for parcel in talk.parcels(time.monotonic()):
                client.send(parcel)
            early = _answer(client, talk)
            if early is not None:
                return client, talk, early
            client.close()
    raise HeadGoneError(
        f"the head of this job does not answer at {', '.join(invitation.urls)}. Its nodes must be able "
        "to reach each other by TCP."
    )


def _answer(client: NodeClient, talk: Conversation) -> list[Any] | None:
    """Return what the head says after it has accepted this node; None if it does not answer."""
    end = time.monotonic() + ANSWER
    while (left := end - time.monotonic()) > 0:
        said = _answers(client, talk, left)
        if any(isinstance(message, Accepted) for message in said):
            return [message for message in said if not isinstance(message, Accepted)]
        if any(isinstance(message, Quit) for message in said):
            raise HeadGoneError("the head has no use for it.")
    return None


def _answers(client: NodeClient, talk: Conversation, seconds: float) -> list[Any]:
    with selectors.DefaultSelector() as poll:
        poll.register(client, selectors.EVENT_READ)
        if not client.has_heard:
            poll.select(min(seconds, TICK))
    now = time.monotonic()
    return [message for data in client.receive() for message in talk.take(data, now)]


def main(argv: list[str]) -> int:
    """Be the proxy of a node until the head says that it is over."""
    become_subreaper()
    leave_signals_to_head()
    try:
        invitation, name = read_invitation(Path(argv[0])), argv[1]
        wait_for_earlier(invitation.job, name)
        inventory = msgspec.structs.replace(of_job(os.environ, invitation.cores), name=name)
        NodeProxy(invitation, invitation.nodes.index(name), inventory).run()
    except AdaptiveSchedulerError as error:
        print(f"adaptive_scheduler: node {argv[1]}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
