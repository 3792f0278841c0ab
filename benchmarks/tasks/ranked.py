"""`ranked`: 750 candidates on three pools of 33 workers that sleep, sorted by a Gaussian process, beside FIFO."""

from __future__ import annotations

import heapq
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from adaptive_scheduler import Executor, RankingLearner, Runner
from adaptive_scheduler.scheduler import Here
from benchmarks.figures import Figure
from benchmarks.tasks.ackley import ackley, delay, slow_ackley
from benchmarks.tasks.bars import BARS
from benchmarks.tasks.pool import PATIENCE, leave, sleep

CANDIDATES, DIMENSIONS, EDGE, REFIT_EVERY = 750, 4, 32.768, 50
POOLS, WORKERS = 3, 33
#: The best 1 %.
BEST = 7
#: Each has its own candidates; medians of five say enough, however many rounds are asked for.
SEEDS = range(5)
#: Seconds of a call while workers start.
WARM_SECONDS = 1.0


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """One run for each seed, in the same warm workers."""
    used, found, fifo, alone = [], [], [], []
    home = Path(tempfile.mkdtemp(prefix="as-bench-"))
    executor = Executor(Here(slots=WORKERS), folder=home / "run")
    try:
        for _ in range(POOLS - 1):
            executor.add_pool(Here(slots=WORKERS))
        warm(executor)
        for seed in SEEDS:
            points = np.random.default_rng(seed).uniform(-EDGE, EDGE, (CANDIDATES, DIMENSIONS))
            rows = ranked(executor, points.tolist(), seed)
            share, whole = share_used(rows)
            used.append(share)
            alone.append(whole)
            found.append(float(until_best(points.tolist(), ended_in(rows))))
            fifo.append(float(until_best(points.tolist(), fifo_order(points.tolist()))))
        executor.shutdown()
    finally:
        leave(executor)
        shutil.rmtree(home, ignore_errors=True)
    note = "the workers are processes of this machine that sleep"
    yield Figure(
        "ranked", f"share of {POOLS * WORKERS} workers used while candidates wait, a model fitted after each "
        f"{REFIT_EVERY}", "", used, bar=BARS["ranked"], note=note,
    )  # fmt: skip
    yield Figure(
        "ranked-evaluations", f"evaluations until the best {BEST} of {CANDIDATES} candidates are there", "evaluations",
        found, fifo, BARS["ranked-evaluations"], "FIFO with the same delays, reckoned",
    )  # fmt: skip
    yield Figure("ranked-whole", "the share, until the last one has ended", "", alone)


def warm(executor: Executor) -> None:
    """Wait until all workers have evaluated something."""
    deadline = time.monotonic() + 3 * PATIENCE
    seen: set[int] = set()
    while len(seen) < POOLS * WORKERS:
        if time.monotonic() > deadline:
            raise RuntimeError(
                f"{len(seen)} of {POOLS * WORKERS} workers after {3 * PATIENCE:.0f} s"
            )
        calls = executor.submit_many(sleep, [WARM_SECONDS] * POOLS * WORKERS)
        for call in calls:
            call.result(PATIENCE)
        seen |= {call.pid for call in calls if call.pid}


def ranked(executor: Executor, points: list[list[float]], seed: int) -> list[dict[str, Any]]:
    """Evaluate all candidates; return the rows of their tasks."""
    learner = RankingLearner(slow_ackley, points, refit_every=REFIT_EVERY)
    tag = f"seed {seed}"
    Runner(learner, executor.options(tag=tag), name=tag).run()
    assert learner.npoints == CANDIDATES
    return executor.tasks(tag=tag)


def share_used(rows: list[dict[str, Any]]) -> tuple[float, float]:
    """Return the share of the workers' time in which they evaluated: until the last one begins, and ends."""
    first = min(row["begun"] for row in rows)

    def share(end: float) -> float:
        busy = sum(min(row["ended"], end) - row["begun"] for row in rows)
        return busy / ((end - first) * POOLS * WORKERS)

    return share(max(row["begun"] for row in rows)), share(max(row["ended"] for row in rows))


def ended_in(rows: list[dict[str, Any]]) -> list[int]:
    """Return the numbers of the candidates in the order in which they ended."""
    in_order = sorted(rows, key=lambda row: row["ended"])
    return [number_of(row["key"]) for row in in_order]


def number_of(key: str) -> int:
    """Return the number in the key of a candidate: ``seed 0:slow_ackley:[17,"5f..."]#0``."""
    return int(key.split("[")[1].split(",", maxsplit=1)[0])


def fifo_order(points: list[list[float]]) -> list[int]:
    """Return the order in which they end if they begin as they are given."""
    free = [0.0] * (POOLS * WORKERS)
    ends = []
    for number, x in enumerate(points):
        end = heapq.heappop(free) + delay(x)
        heapq.heappush(free, end)
        ends.append((end, number))
    return [number for _, number in sorted(ends)]


def until_best(points: list[list[float]], order: list[int]) -> int:
    """Return how many have been evaluated when the best ones are there."""
    best = set(np.argsort([ackley(x) for x in points])[:BEST].tolist())
    return max(order.index(number) for number in best) + 1
