"""What each rank of a task is to do and where: decided by its agent, read by the ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from adaptive_scheduler.client.tasks.messages import Call, NodeRanks, Ranks, Slot
from adaptive_scheduler.core.tasks.command_spec import CommandStep
from adaptive_scheduler.core.tasks.place import NodeInventory, Placement
from adaptive_scheduler.core.wire.tasks import EndKind
from adaptive_scheduler.errors import EnvironmentMismatchError

#: A byte that each rank gets by its standard input: end softly. At the end of the input: at once.
END_SOFTLY = b"e"


class RankPlan(msgspec.Struct, frozen=True):
    """What the ranks of a task run; a file of the run has it while they do.

    Attributes
    ----------
    ranks : Ranks
    owner : str
        Job and node of the agent that has started them: see `owner_of`.
    threads : int
        Of each.
    step : CommandStep or None
    call : Call or None
        One of both.
    folder : str
        Working directory.
    attempt : int
    has_input : bool
        Whether the launcher passes its standard input on to all ranks: then its end is theirs.
    """

    ranks: Ranks
    owner: str
    threads: int
    step: CommandStep | None
    call: Call | None
    folder: str
    attempt: int
    has_input: bool


class Rank(msgspec.Struct, frozen=True):
    """One rank: its number among all, its node, and its number there."""

    number: int
    node: int
    local: int


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


def rank_in(environ: Mapping[str, str], ranks: Ranks) -> Rank:
    """Find out which rank a process is, by what its launcher has set.

    Slurm sorts nodes as it likes, so its name of the node counts (srun(1), OUTPUT ENVIRONMENT
    VARIABLES); Hydra fills the hosts that it is given one after the other.

    Raises
    ------
    EnvironmentMismatchError
        It was started by another launcher, or elsewhere.
    """
    names = [node.name for node in ranks.nodes]
    size = len(names) * ranks.per_node
    try:
        if "SLURM_PROCID" in environ:
            number, local = int(environ["SLURM_PROCID"]), int(environ["SLURM_LOCALID"])
            node = names.index(environ["SLURMD_NODENAME"])
            told = int(environ["SLURM_NTASKS"])
        else:
            number, told = int(environ["PMI_RANK"]), int(environ["PMI_SIZE"])
            node, local = divmod(number, ranks.per_node)
    except (KeyError, ValueError) as error:
        raise EnvironmentMismatchError(
            f"A rank cannot tell which one it is ({error}). Ranks are started by Slurm's srun or by "
            "the mpiexec of MPICH or Intel MPI; put one of these first on PATH."
        ) from error
    if told != size or local >= ranks.per_node:
        raise EnvironmentMismatchError(
            f"Rank {number} is the {local + 1}th on {names[node]} and one of {told}; asked for were "
            f"{ranks.per_node} on each of {len(names)}."
        )
    return Rank(number, node, local)


def slot_of(rank: Rank, ranks: Ranks, threads: int) -> Slot:
    """Return the cores and GPUs of a rank."""
    node = ranks.nodes[rank.node]
    cores = node.cores[rank.local * threads : (rank.local + 1) * threads]
    if node.gpus is None:
        return Slot(cores, None, threads)
    n = len(node.gpus) // ranks.per_node
    return Slot(cores, node.gpus[rank.local * n : (rank.local + 1) * n], threads)


def hosts_of(ranks: Ranks) -> str:
    """Return the names of the nodes, as ``-hosts`` and ``-w`` take them."""
    return ",".join(node.name for node in ranks.nodes)


def name_of(rank: int, node: str, ranks: Ranks) -> str:
    """Return what a rank is called, for people."""
    return f"rank {rank} of {len(ranks.nodes) * ranks.per_node} on {node}"
