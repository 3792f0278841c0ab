"""The program of `runner-mpi` in an MPI world: prints figures as one JSON line."""

from __future__ import annotations

import json
import sys

from benchmarks.runners import bare, drive, drive_adaptive, line, sequence, slow_peaks

POINTS, FEW = 20_000, 2_000
PAIRS, FUNCTIONS = 2, 40


def main(whose: str, turn: int) -> None:
    """Measure our runner, or adaptive's on a plain MPIPoolExecutor."""
    from mpi4py import MPI

    from adaptive_scheduler.executors.mpi import MPI4Py

    ranks = MPI.COMM_WORLD.Get_size()
    workers = ranks - 1
    run, n = (drive, POINTS) if whose == "ours" else (drive_adaptive, FEW)
    if whose == "ours":
        executor = MPI4Py()
        pool = executor.open(ranks)
    else:
        from mpi4py.futures import MPIPoolExecutor

        pool = MPIPoolExecutor(main=False)
        pool.bootup()
    run(line(), lambda one: one.npoints >= 200, pool, workers)  # the ranks have the function
    figures = {"free": [n / run(sequence(n), lambda one: one.done(), pool, workers)]}
    figures["line"], figures["bare"] = [], []
    for _ in range(PAIRS):  # in turn: the machine's speed changes from second to second
        learner = line()
        seconds = run(learner, lambda one: one.npoints >= n, pool, workers)
        figures["line"].append(learner.npoints / seconds)
        if whose == "ours":
            figures["bare"].append(bare(line(), n))
    figures["to_loss"] = []
    # many: one function takes 280 or 368 points, by which points come back first
    for seed in range(turn * FUNCTIONS, (turn + 1) * FUNCTIONS):
        learner = line(slow_peaks(seed))
        run(learner, lambda one: one.loss() < 0.01, pool, workers)
        figures["to_loss"].append(learner.npoints)
    print(json.dumps(figures), flush=True)
    pool.shutdown(wait=False)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
