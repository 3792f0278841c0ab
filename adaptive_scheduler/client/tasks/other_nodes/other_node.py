"""What the head knows of one other node: which life of it counts, what is said to it, what it was given. No socket, no clock."""

from __future__ import annotations

from typing import Any

import msgspec

from adaptive_scheduler.client.tasks.messages import EndRanks, Quit, Start, StopTask
from adaptive_scheduler.client.tasks.other_nodes.conversation import Conversation
from adaptive_scheduler.client.tasks.other_nodes.messages import (
    Accepted,
    AgentLost,
    FromNode,
    LossNoted,
)
from adaptive_scheduler.core.tasks.place import NodeInventory
from adaptive_scheduler.core.wire.tasks import EndKind
from adaptive_scheduler.errors import ProtocolError

_from_node: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(FromNode)


class OtherNode:
    """One node, from the head's side. While no life of it is there, what is said to it is said to nobody.

    Parameters
    ----------
    number : int
    name : str

    Attributes
    ----------
    life : bytes
        The one that counts; b"": none is there.
    inventory : NodeInventory or None
        What it had when it first came; another one would have other tasks' cores.
    unclean : set of int
        Tokens of tasks of which nobody has said that nothing is left.
    """

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.name = name
        self.life = b""
        self.inventory: NodeInventory | None = None
        self._talk: Conversation | None = None
        self._given: dict[int, int] = {}  # by token: number of its parcel

    # ------------------------------------------------------------------- its lives

    def accept(self, life: bytes, inventory: NodeInventory, data: bytes, now: float) -> None:
        """A life has come: from now on it is the one that counts.

        Parameters
        ----------
        life : bytes
        inventory : NodeInventory
        data : bytes
            What it has sent.
        now : float
        """
        self.life, self.inventory = life, inventory
        self._talk = Conversation(_from_node, now)
        self._talk.take(data, now)
        self._talk.put(Accepted())

    def lose(self) -> None:
        """It has ended, or is to be taken for dead."""
        self.life, self._talk = b"", None
        self._given.clear()

    @property
    def is_there(self) -> bool:
        """Whether a life of it is there."""
        return self._talk is not None

    def take(self, data: bytes, now: float) -> list[Any]:
        """Return what it says. ProtocolError if that cannot be read, or something is missing before it."""
        if self._talk is None:
            raise ProtocolError("it is not there.")
        return self._talk.take(data, now)

    def is_silent(self, now: float) -> bool:
        """Whether it was not heard for so long that it is lost."""
        return self._talk is not None and self._talk.is_silent(now)

    def parcels(self, now: float) -> list[bytes]:
        """Return what is to be sent to it now."""
        return [] if self._talk is None else self._talk.parcels(now)

    # ------------------------------------------------------------------- what is said to it

    def start(self, start: Start) -> None:
        """Begin a task there."""
        if self._talk is not None:
            self._given[start.token] = self._talk.next_number
            self._talk.put(start)

    def say(self, message: StopTask | EndRanks | Quit) -> None:
        """Say something else about a task, or to all."""
        if self._talk is not None:
            self._talk.put(message)

    def stop(self, order: StopTask) -> None:
        """End a task."""
        self.say(order)

    def recall(self, token: int) -> None:
        """Let a task come back, if it has not begun."""
        self.say(StopTask(token, EndKind.BACK))

    def note_ended(self, token: int) -> None:
        """A task has ended there."""
        self._given.pop(token, None)

    def lose_agent(self, lost: AgentLost) -> frozenset[int]:
        """Its agent has died: return what no agent was given."""
        later = [token for token, number in self._given.items() if number > lost.taken]
        self._given.clear()
        if self._talk is not None:
            self._talk.put(LossNoted())
        return frozenset((*lost.unsent, *later))


def first_word(data: bytes) -> Any:
    """Return the first thing that a life says. ProtocolError if it is none of a proxy's."""
    said = Conversation(_from_node, 0.0).take(data, 0.0)
    if not said:
        raise ProtocolError("it says nothing.")
    return said[0]
