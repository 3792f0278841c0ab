"""`runner-scale`: one learner on 10,000 simulated workers, which only wait.

The simulation is part of what is measured: its thread, and the evaluation itself, share the
interpreter's lock with the runner. Of the runner's thread with 1,000 points pending 73 % was the
learner's own ask and tell (py-spy); the rest is one message, with a future, for each point.
At Python's usual threshold its garbage collector took a sixth of the workers' time: see
`client.learners.process_setup`, which sets it as here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from benchmarks.figures import Figure, at_least
from benchmarks.runners import bare, drive, drive_adaptive, line, sequence
from benchmarks.simulated import SimulatedPool, call, call_ours

SECONDS = 10.0
WORKERS = 10_000


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """Share of the workers' time that is used, and Learner1D's speed with many points pending."""
    shares = [share(drive, WORKERS, call_ours) for _ in range(rounds)]
    peer = [share(drive_adaptive, WORKERS, call) for _ in range(rounds if with_peer else 0)]
    yield Figure(
        "runner-scale", f"share of {WORKERS:,} simulated workers used, functions of 1 s", "",
        shares, peer, at_least(0.95), "adaptive.AsyncRunner",
    )  # fmt: skip
    for pending in (1_000, 10_000):
        pairs = [pending_rates(pending) for _ in range(rounds)]
        yield Figure(
            f"runner-scale-1d-{pending}", f"a Learner1D with {pending:,} points pending",
            "points/s", [ours for ours, _ in pairs], [alone for _, alone in pairs],
            at_least(0.8, "ratio"), "its bare ask and tell",
        )  # fmt: skip


def share(run: Any, workers: int, finish: Any) -> float:
    """Share of the possible evaluation time that was used within 10 s."""
    pool = SimulatedPool(workers, 1.0, finish)
    begin = time.monotonic()
    taken: list[float] = []

    def goal(_: Any) -> bool:
        if time.monotonic() - begin < SECONDS:
            return False
        taken.append(pool.worked)
        return True

    run(sequence(100 * workers), goal, pool, workers)
    pool.shutdown()
    return taken[0] / (workers * (SECONDS - 1.0))


def pending_rates(pending: int, n: int = 20_000) -> tuple[float, float]:
    """Points per second of a saturated runner, and of the learner alone."""
    pool = SimulatedPool(pending, pending / 20_000, call_ours)  # workers faster than the learner
    begin: list[float] = []
    learner = line()

    def goal(one: Any) -> bool:
        if one.npoints >= pending and not begin:
            begin.append(time.perf_counter())
        return one.npoints >= pending + n

    drive(learner, goal, pool, pending, grace=0.0)
    seconds = time.perf_counter() - begin[0]
    pool.shutdown()
    alone = line()
    bare(alone, pending, pending=pending)
    return (learner.npoints - pending) / seconds, bare(alone, n, ask=1)
