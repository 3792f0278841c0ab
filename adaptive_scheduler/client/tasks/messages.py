"""What a head and its agents send to each other, and an agent and its workers."""

from __future__ import annotations

import msgspec

from adaptive_scheduler.core.tasks.command_spec import CommandSpec
from adaptive_scheduler.core.wire.tasks import EndKind


class Call(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """Evaluate a function: `function` names the file that has it, `spec` is its pickled arguments."""

    function: str
    spec: bytes


class Slot(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Where a task runs on a node.

    Attributes
    ----------
    cores : tuple of int
    gpus : tuple of str, optional
        None: nobody has said whether this node has any, and none is hidden.
    threads : int
        Of each process.
    """

    cores: tuple[int, ...]
    gpus: tuple[str, ...] | None = ()
    threads: int = 1


class NodeRanks(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The ranks of a task on one of its nodes.

    Attributes
    ----------
    name : str
        Of the node, as the batch system calls it.
    cores : tuple of int
        Of all its ranks there, rank by rank.
    gpus : tuple of str, optional
        The same; a GPU that ranks share is there several times. None: nobody has said whether this
        node has any, and none is hidden.
    """

    name: str
    cores: tuple[int, ...]
    gpus: tuple[str, ...] | None = ()


class Ranks(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The ranks of a task that has more than one.

    Attributes
    ----------
    nodes : list of NodeRanks
        The first one is that of the agent which starts the task.
    per_node : int
        On each of them.
    """

    nodes: list[NodeRanks]
    per_node: int


class Start(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """Run a task in a slot, behind those that were given to this slot before.

    Attributes
    ----------
    token : int
    work : Call or CommandSpec
    slot : Slot
    timeout : float, optional
        Seconds, from its begin.
    attempt : int
    ranks : Ranks, optional
        Of a task that has several: the slot is that of its first node.
    """

    token: int
    work: Call | CommandSpec
    slot: Slot
    timeout: float | None = None
    attempt: int = 1
    ranks: Ranks | None = None


class EndRanks(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """Kill what is left on this node of a task that an agent of another node has started."""

    token: int


class StopTask(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """End a task. `kind`: how it is to be called then; BACK: only if it has not begun."""

    token: int
    kind: EndKind = EndKind.CANCELLED
    grace: float = 10.0


class Quit(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """End everything, and the agent."""

    kind: EndKind = EndKind.CUT
    grace: float = 10.0


class Ready(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """The agent can take tasks. `life` counts the agents of this node."""

    host: str
    pid: int
    life: int


class RanksEnded(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """Nothing is left of this task on this node: the answer to `EndRanks`."""

    token: int


class Begun(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """A task has been running for a moment: in which process, and since when (monotonic seconds)."""

    token: int
    pid: int
    since: float


class TaskEnd(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """A task has ended.

    Attributes
    ----------
    token : int
    kind : EndKind
    code : int
        Exit status, or the number of the signal.
    value : bytes
        Pickle of what a call returned; for ERROR of `executors.worker.describe`'s tuple.
    path : str
        File that holds the value, where it is large.
    seconds : float
        That it ran.
    peak : int
        Bytes of memory, of the process that ran it; 0 if it is not known.
    text : str
        For people: why.
    begun : bool
        Whether its function or program was begun.
    part : int
        See `core.wire.tasks.End`.
    """

    token: int
    kind: EndKind
    code: int = 0
    value: bytes = b""
    path: str = ""
    seconds: float = 0.0
    peak: int = 0
    text: str = ""
    begun: bool = True
    part: int = 0


class Do(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """For a worker: evaluate these, one after the other: (token, function, arguments) each.

    `number` counts these messages: the agent may take back what has not begun of those up to one.
    """

    calls: list[tuple[int, str, bytes]]
    number: int = 0


class Done(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """From a worker: (token, kind, value, path, seconds, text) each.

    `dropped`: of all `Do` up to this number, it begins nothing more.
    """

    results: list[tuple[int, EndKind, bytes, str, float, str]]
    dropped: int = 0


ToAgent = Start | StopTask | EndRanks | Quit
FromAgent = Ready | Begun | TaskEnd | RanksEnded
