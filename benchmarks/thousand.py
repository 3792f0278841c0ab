"""`thousand`: 1,000 learners, whose points cost nothing, on the private Slurm."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.figures import Figure, at_most
from benchmarks.makespan import makespans

THOUSAND = {
    "learners": 1000, "points": 50, "seconds": 0, "cores": 2, "jobs": 8, "timeout": 500,
    "ledger": False,
}  # fmt: skip


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """1,000 learners × 50 points that cost nothing, in at most 8 jobs."""
    yield Figure(
        "thousand", "1,000 learners × 50 free points, at most 8 jobs", "s",
        makespans(rounds, THOUSAND), bar=at_most(45),
        note="the peer: about 20 minutes, extrapolated in the issue from 80 s for 64 learners",
    )  # fmt: skip
