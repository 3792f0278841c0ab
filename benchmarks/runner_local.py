"""`runner-local`: points per second on a process pool of 2.

Where the time of a Learner1D goes (py-spy, 30,000 points, the runner's thread): 77 % is the
learner's own ask and tell, 11 % is the wake-up of the pool's thread for each message (it takes
the interpreter's lock, and the runner waits for it), 3 % is the learner's tidying at the end,
the rest is ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from adaptive_scheduler.executors.process_pools import ProcessPool
from benchmarks.figures import Figure, at_least
from benchmarks.runners import bare, drive, drive_adaptive, line, sequence

POINTS, FEW = 20_000, 2_000
WORKERS = 2


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """A SequenceLearner and a Learner1D with functions that cost nothing, and the bare learner."""
    free, lines, alone, peer_free, peer_lines = [], [], [], [], []
    ours = ProcessPool()
    pool = ours.open(WORKERS)
    theirs = ProcessPoolExecutor(WORKERS)
    drive(line(), lambda one: one.npoints >= FEW, pool, WORKERS)  # starts the workers
    for _ in range(rounds):
        free.append(POINTS / drive(sequence(POINTS), None, pool, WORKERS))
        lines.append(rate(drive, pool, POINTS))
        alone.append(bare(line(), POINTS))
        if with_peer:
            peer_free.append(
                FEW / drive_adaptive(sequence(FEW), lambda one: one.done(), theirs, WORKERS)
            )
            peer_lines.append(rate(drive_adaptive, theirs, FEW))
    ours.close(pool, 5)
    theirs.shutdown()
    yield from figures(
        "runner-local", "process pool of 2", free, peer_free, lines, peer_lines, alone
    )


def rate(run, pool, n) -> float:
    """Points per second of a Learner1D."""
    learner = line()
    seconds = run(learner, lambda one: one.npoints >= n, pool, WORKERS)
    return learner.npoints / seconds


def figures(name, where, free, peer_free, lines, peer_lines, alone) -> Iterator[Figure]:
    """The rows of one kind of pool."""
    yield Figure(
        name, f"SequenceLearner, free points, {where}", "points/s", free, peer_free,
        at_least(40_000), "adaptive.AsyncRunner",
    )  # fmt: skip
    yield Figure(
        f"{name}-1d", f"Learner1D, free points, {where}", "points/s", lines, alone,
        at_least(0.75, "ratio"), "its bare ask(16) and tell",
    )  # fmt: skip
    if peer_lines:
        yield Figure(
            f"{name}-1d-peer", f"Learner1D, free points, {where}", "points/s", lines, peer_lines,
            peer_name="adaptive.AsyncRunner",
        )  # fmt: skip
