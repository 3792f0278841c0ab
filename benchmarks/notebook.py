"""`notebook`: a notebook in the manner of adaptive-scheduler 2, from its first cell to its last.

The cells are those of `tests/compat`. Ours and the peer run the same ones on the same private Slurm, in turn, with the
same learners, goals and intervals.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator

from benchmarks.cluster import cluster, drive
from benchmarks.environment import peer_python, side
from benchmarks.figures import Figure, at_most
from tests.compat.cells import cells_for_both

PROGRAM, PEER = "notebook_program.py", "adaptive-scheduler 2.17.2"
#: Parts of it -> its cells, counted from one.
PARTS = {
    "learners": ("a slurm_run of six learners, until they are loaded", range(3, 12)),
    "sequences": ("a RunManager of two learners, each in its own resources", range(13, 15)),
    "tasks": ("a SlurmExecutor of three tasks", range(15, 16)),
}


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """The time of all cells, and of its three runs."""
    ours: dict[str, list[float]] = defaultdict(list)
    peer: dict[str, list[float]] = defaultdict(list)
    with cluster() as slurm:
        for _ in range(rounds):
            with side("ours"):
                add(
                    ours, drive(slurm, sys.executable, PROGRAM, cells=cells_for_both(), timeout=400)
                )
            if with_peer:
                python = peer_python(in_jobs=True)
                with side("the peer"):
                    add(peer, drive(slurm, python, PROGRAM, cells=cells_for_both(), timeout=400))
    yield Figure(
        "notebook", f"{len(cells_for_both())} cells as written for adaptive-scheduler 2", "s",
        ours["all"], peer["all"], at_most(0.5, "ratio"), PEER,
    )  # fmt: skip
    for name, (what, _) in PARTS.items():
        yield Figure(
            f"notebook-{name}", f"of these: {what}", "s", ours[name], peer[name], peer_name=PEER
        )


def add(figures: dict[str, list[float]], told: dict[str, list[float]]) -> None:
    """Add the seconds of one run of the cells."""
    seconds = told["seconds"]
    figures["all"].append(sum(seconds))
    for name, (_, cells) in PARTS.items():
        figures[name].append(sum(seconds[cell - 1] for cell in cells))
