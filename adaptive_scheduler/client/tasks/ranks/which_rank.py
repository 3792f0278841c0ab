"""Finds out which rank of a task a process is, by what its launcher has set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from adaptive_scheduler.errors import EnvironmentMismatchError

#: A byte that each rank gets by its standard input: end softly. At the end of the input: at once.
END_SOFTLY = b"e"


class Rank(NamedTuple):
    """One rank: its number among all, its node, and its number there."""

    number: int
    node: int
    local: int


def rank_in(environ: Mapping[str, str], nodes: Sequence[str], per_node: int) -> Rank:
    """Find out which rank a process is.

    Slurm sorts nodes as it likes, so its name of the node counts (srun(1), OUTPUT ENVIRONMENT
    VARIABLES); Hydra fills the hosts that it is given one after the other.

    Parameters
    ----------
    environ : mapping of str to str
        Of the process.
    nodes : sequence of str
        Names of the task's nodes.
    per_node : int
        Ranks on each.

    Raises
    ------
    EnvironmentMismatchError
        It was started by another launcher, or elsewhere.
    """
    size = len(nodes) * per_node
    try:
        if "SLURM_PROCID" in environ:
            number, local = int(environ["SLURM_PROCID"]), int(environ["SLURM_LOCALID"])
            node = nodes.index(environ["SLURMD_NODENAME"])
            told = int(environ["SLURM_NTASKS"])
        else:
            number, told = int(environ["PMI_RANK"]), int(environ["PMI_SIZE"])
            node, local = divmod(number, per_node)
    except (KeyError, ValueError) as error:
        raise EnvironmentMismatchError(
            f"A rank cannot tell which one it is ({error}). Ranks are started by Slurm's srun or by "
            "the mpiexec of MPICH or Intel MPI; put one of these first on PATH."
        ) from error
    if told != size or local >= per_node:
        raise EnvironmentMismatchError(
            f"Rank {number} is the {local + 1}th on {nodes[node]} and one of {told}; asked for were "
            f"{per_node} on each of {len(nodes)}."
        )
    return Rank(number, node, local)


def name_of(rank: int, node: str, size: int) -> str:
    """Return what a rank is called, for people."""
    return f"rank {rank} of {size} on {node}"
