"""`large-function`: time to the first point of a function with a large table, over MPI."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from adaptive_scheduler.schedulers.base import default_mpiexec
from benchmarks.environment import run
from benchmarks.figures import Figure, at_most

RANKS, SIZE = 3, 60_000_000


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """One learner whose function is a partial with 60 MB, on ranks that have worked before."""
    yield Figure(
        "large-function", "first point of partial(f, table=60 MB), 3 MPI ranks", "s",
        [world() for _ in range(rounds)], bar=at_most(1.5),
    )  # fmt: skip


def world() -> float:
    """Start an MPI world; returns the seconds from the loaded learner to its first point."""
    launcher = default_mpiexec(sys.executable)
    argv = [*launcher, "-n", str(RANKS), sys.executable, "-m", "mpi4py.futures"]
    printed = run([*argv, "-m", "benchmarks.large_function"], timeout=120)
    return float(json.loads(printed.strip().splitlines()[-1]))


def looked_up(table: bytes, x: int) -> int:
    """A function that uses its whole table."""
    return table[x] + len(table)


def main() -> None:
    """Run one small learner, then the one with the table, as a client does."""
    import adaptive

    from adaptive_scheduler.evaluation.learners.run import LearnerWork, run_learner
    from adaptive_scheduler.executors.mpi import MPI4Py

    pool = MPI4Py().open(RANKS)
    with tempfile.TemporaryDirectory() as folder:
        more = {"programs": Path(folder, "programs")}
        for number, size in enumerate((10, SIZE)):
            learner = adaptive.SequenceLearner(partial(looked_up, os.urandom(size)), [1, 2])
            begin = time.perf_counter()
            work = LearnerWork(learner, f"{folder}/{number}", None, pool, RANKS - 1, **more)
            outcome = run_learner(work)
            assert outcome.error is None, outcome.error
            seconds = time.perf_counter() - begin
    print(json.dumps(seconds), flush=True)
    pool.shutdown(wait=False)


if __name__ == "__main__":
    main()
