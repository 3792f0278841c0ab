"""Finds out which rank of a task a process is, by what its launcher has set."""

from __future__ import annotations

import os
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
            is_elsewhere = local >= per_node
        else:
            number, told = int(environ["PMI_RANK"]), int(environ["PMI_SIZE"])
            node, counted = divmod(number, per_node)
            local = int(environ.get("MPI_LOCALRANKID", counted))
            is_elsewhere = local != counted
    except (KeyError, ValueError) as error:
        raise EnvironmentMismatchError(
            f"A rank cannot tell which one it is ({error}). Ranks are started by Slurm's srun or by "
            "the mpiexec of MPICH or Intel MPI; put one of these first on PATH."
        ) from error
    if told != size or is_elsewhere:
        raise EnvironmentMismatchError(
            f"Rank {number} of {told} is number {local} on its node, from 0; asked for were "
            f"{per_node} on each of {len(nodes)} nodes, one node after the other."
        )
    return Rank(number, node, local)


def number_in(environ: Mapping[str, str]) -> int:
    """Return which rank a process seems to be, for one that cannot be it."""
    told = environ.get("SLURM_PROCID") or environ.get("PMI_RANK", "")
    return int(told) if told.isdecimal() else 0


def host_in(environ: Mapping[str, str]) -> str:
    """Return where a process seems to be, for one that cannot be there."""
    return environ.get("SLURMD_NODENAME") or environ.get("PMI_HOSTNAME") or os.uname().nodename


def name_of(rank: int, node: str, size: int) -> str:
    """Return what a rank is called, for people."""
    return f"rank {rank} of {size} on {node}"
