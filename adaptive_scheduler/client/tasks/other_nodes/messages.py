"""What the head and the proxies of its other nodes send to each other, beside what is for and from agents."""

from __future__ import annotations

import msgspec

from adaptive_scheduler.client.tasks.messages import (
    Begun,
    EndRanks,
    Quit,
    RanksEnded,
    Start,
    StopTask,
    TaskEnd,
)
from adaptive_scheduler.core.tasks.place import NodeInventory


class Arrived(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """A new life of a node: nothing of an earlier one is left there.

    Attributes
    ----------
    node : int
        Its number.
    inventory : NodeInventory
        What the job has there.
    """

    node: int
    inventory: NodeInventory


class Accepted(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """It is the life of its node: it may start an agent."""


class AgentCame(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """The node has an agent."""


class AgentLost(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """The node's agent has died.

    Attributes
    ----------
    unsent : list of int
        Tasks that it was never given.
    taken : int
        The last parcel that had come: tasks in later ones are not begun, until `LossNoted` comes.
    """

    unsent: list[int]
    taken: int


class LossNoted(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """The head has taken in an `AgentLost`: tasks that follow are for the next agent."""


class Left(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """Nothing is left on the node, and the proxy ends. `text`: why, if it was not told to."""

    text: str = ""


class Parcel(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Messages, in their order.

    Attributes
    ----------
    number : int
        From 1. An empty one is a heartbeat, and has the number of the last one. 0: said to somebody
        who is no part of this job (any more).
    bodies : list of msgspec.Raw
    """

    number: int
    bodies: list[msgspec.Raw]


ToNode = Start | StopTask | EndRanks | Quit | Accepted | LossNoted
FromNode = Arrived | AgentCame | AgentLost | Left | Begun | TaskEnd | RanksEnded
