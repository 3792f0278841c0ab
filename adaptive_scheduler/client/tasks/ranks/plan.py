"""What each rank of a task is to do and where: decided by its agent, read by the ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from adaptive_scheduler.client.tasks.messages import NodeRanks, Ranks, Slot
from adaptive_scheduler.client.tasks.node.environment import gpus_of
from adaptive_scheduler.core.paths import NODE_VARIABLE
from adaptive_scheduler.core.tasks.place import NodeInventory, Placement
from adaptive_scheduler.core.wire.tasks import EndKind


class RankOrder(msgspec.Struct, frozen=True):
    """What one rank is to do.

    Attributes
    ----------
    program : int
        Number of its argument list.
    environment : dict of str to str
        In addition to that of its launcher.
    cores : tuple of int
    gpus : str or None
        See `variables.with_devices`.
    threads : int
    """

    program: int
    environment: dict[str, str]
    cores: tuple[int, ...]
    gpus: str | None
    threads: int


class RankPlan(msgspec.Struct, frozen=True):
    """What the ranks of a task run; a file of the run has it while they do, as JSON.

    All that can be decided for them is: so they need no module that takes long to import.

    Attributes
    ----------
    owner : str
        Job and node of the agent that has started them: see `owner_of`.
    marks : dict of str to str
        Variables by which processes of this task are known.
    nodes : list of str
        Their names.
    per_node : int
        Ranks on each.
    programs : list of list of str
    is_call : bool
        Whether the program gets the rank's number and name as its last arguments.
    orders : list of list of RankOrder
        For each node.
    folder : str
        Working directory.
    has_input : bool
        Whether the launcher passes its standard input on to all ranks: then its end is theirs.
    lost : str
        File for a `RankLost`.
    """

    owner: str
    marks: dict[str, str]
    nodes: list[str]
    per_node: int
    programs: list[list[str]]
    is_call: bool
    orders: list[list[RankOrder]]
    folder: str
    has_input: bool
    lost: str


class RankBegun(msgspec.Struct, frozen=True, tag=True):
    """A rank says that its program runs."""

    rank: int
    pid: int


class RankEnded(msgspec.Struct, frozen=True, tag=True):
    """A rank says how its program has ended.

    Attributes
    ----------
    rank : int
    node : str
    status, signal, peak : int
        As of `child_process.ProcessEnd`.
    fault : str
        Why it could not be started.
    error : int
        Number of the system's error then.
    """

    rank: int
    node: str
    status: int = 0
    signal: int = 0
    peak: int = 0
    fault: str = ""
    error: int = 0

    @property
    def is_bad(self) -> bool:
        """Whether it has failed."""
        return bool(self.status or self.signal or self.fault)


class RankLost(msgspec.Struct, frozen=True):
    """A rank says that its launcher is gone on its node, and that it has ended itself.

    By a file of the run, as the launcher would carry it no more; and Slurm's does not notice by itself.
    """

    rank: int
    node: str


class RankOutcome(msgspec.Struct, frozen=True):
    """How a call ended in a rank; a file of the run has it: the value of rank 0, or an exception."""

    kind: EndKind
    value: bytes
    path: str
    text: str


RankReport = RankBegun | RankEnded


def ranks_of(place: Placement, threads: int, nodes: Sequence[NodeInventory]) -> Ranks | None:
    """Return the ranks of a task; None if it has one, which needs no launcher.

    Parameters
    ----------
    place : list of NodePlace
    threads : int
        Of each rank.
    nodes : sequence of NodeInventory
        Of the job.
    """
    per_node = len(place[0].cores) // threads
    if len(place) * per_node <= 1:
        return None
    parts = [(nodes[one.node], one) for one in place]
    return Ranks(
        [
            NodeRanks(
                node.name,
                tuple(one.cores),
                tuple(gpu for gpu, _ in one.gpus) if node.gpus else None,
            )
            for node, one in parts
        ],
        per_node,
    )


def orders_of(
    ranks: Ranks, threads: int, argv_for: Callable[[Slot], list[str]]
) -> tuple[list[list[str]], list[list[RankOrder]]]:
    """Return the programs of ranks, each once, and what each rank is to do, by node.

    Parameters
    ----------
    ranks : Ranks
    threads : int
        Of each rank.
    argv_for : callable
        Returns the argument list of a rank with these cores and GPUs.
    """
    programs: dict[tuple[str, ...], int] = {}
    orders = [
        [
            RankOrder(
                programs.setdefault(tuple(argv_for(slot)), len(programs)),
                {NODE_VARIABLE: node.name},
                slot.cores,
                gpus_of(slot),
                threads,
            )
            for slot in slots_of(node, ranks.per_node, threads)
        ]
        for node in ranks.nodes
    ]
    return [list(argv) for argv in programs], orders


def slots_of(node: NodeRanks, n: int, threads: int) -> list[Slot]:
    """Return the cores and GPUs of each of the `n` ranks on a node."""
    cores = [node.cores[k * threads : (k + 1) * threads] for k in range(n)]
    if node.gpus is None:
        return [Slot(own, None, threads) for own in cores]
    each = len(node.gpus) // n
    return [Slot(own, node.gpus[k * each : (k + 1) * each], threads) for k, own in enumerate(cores)]


def hosts_of(ranks: Ranks) -> str:
    """Return the names of the nodes, as ``-hosts`` and ``-w`` take them."""
    return ",".join(node.name for node in ranks.nodes)


def size_of(ranks: Ranks) -> int:
    """Return how many there are."""
    return len(ranks.nodes) * ranks.per_node
