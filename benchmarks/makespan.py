"""`campaign`: how long 200 small learners take on the private Slurm."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from benchmarks.cluster import cluster, drive
from benchmarks.figures import Figure, at_most

CAMPAIGN = {"learners": 200, "points": 50, "seconds": 0.01, "cores": 5, "jobs": 4, "timeout": 300}


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """200 learners × 50 points that sleep 10 ms in 4 jobs of 1 + 4 ranks."""
    yield Figure(
        "campaign", "200 learners × 50 points of 10 ms, 4 jobs of 5 ranks (ideal: 6.3 s)", "s",
        makespans(rounds, CAMPAIGN), bar=at_most(20),
        note="the peer: about 4 minutes, extrapolated in the issue",
    )  # fmt: skip


def makespans(rounds: int, task: dict) -> list[float]:
    """Seconds from `start()` until the last learner is DONE in the database."""
    seconds = []
    with cluster() as slurm:
        for _ in range(rounds):
            told = drive(slurm, sys.executable, "run_program.py", **task)
            if told["phases"] != {"done": task["learners"]}:
                raise RuntimeError(f"it did not end: {told['phases']}")
            seconds.append(told["done"] - told["start"])
    return seconds
