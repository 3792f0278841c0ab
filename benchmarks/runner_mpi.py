"""`runner-mpi`: points per second over 3 MPI ranks (of which one is the client)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from adaptive_scheduler.schedulers.base import default_mpiexec
from benchmarks.environment import run, side
from benchmarks.figures import Figure, at_most
from benchmarks.mpi_program import FUNCTIONS
from benchmarks.runner_local import figures

RANKS = 3


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """Functions that cost nothing; and points until a loss of 0.01, with a function of 1 ms."""
    ours, peer = [], []
    for turn in range(rounds):
        ours.append(world("ours", turn))
        if with_peer:
            peer.append(world("peer", turn))
    yield from figures(
        "runner-mpi", "3 MPI ranks", column(ours, "free"), column(peer, "free"),
        column(ours, "line"), column(peer, "line"), column(ours, "bare"),
    )  # fmt: skip
    yield Figure(
        "runner-mpi-points", f"points of a Learner1D to loss 0.01, {rounds * FUNCTIONS} functions of 1 ms",
        "points", column(ours, "to_loss"), column(peer, "to_loss"), at_most(1.1, "ratio"),
        "adaptive.AsyncRunner", "the median of the functions' ratios", is_paired=True,
    )  # fmt: skip


def world(whose: str, turn: int) -> dict[str, list[float]]:
    """Start an MPI world; returns its figures. Each round has its own functions."""
    launcher = default_mpiexec(sys.executable)
    argv = [*launcher, "-n", str(RANKS), sys.executable, "-m", "mpi4py.futures"]
    with side("ours" if whose == "ours" else "adaptive.AsyncRunner"):
        printed = run([*argv, "-m", "benchmarks.mpi_program", whose, str(turn)], timeout=300)
    return json.loads(printed.strip().splitlines()[-1])


def column(rounds: list[dict[str, list[float]]], name: str) -> list[float]:
    """One figure of all rounds."""
    return [value for one in rounds for value in one[name]]
