"""`walltime`: core-seconds of jobs of one minute that do not become points."""

from __future__ import annotations

import datetime as dt
import sys
from collections import defaultdict
from collections.abc import Iterator

from benchmarks.cluster import cluster, drive
from benchmarks.figures import Figure, at_most

POINT = 10.0
WORKERS = 4
TASK = {
    "learners": 1, "points": 60, "seconds": POINT, "cores": WORKERS + 1, "jobs": 1,
    "timeout": 400, "partition": "minute",
}  # fmt: skip


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """Points of 10 s on 4 worker ranks; from a job's first evaluation to its client's exit.

    The client's own rank is not counted: it evaluates nothing by design.
    """
    shares = []
    with cluster() as slurm:
        for _ in range(max(1, rounds // 3)):
            told = drive(slurm, sys.executable, "run_program.py", **TASK)
            shares.append(100 * wasted(told))
    yield Figure(
        "walltime", "points of 10 s, jobs of 60 s: worker-seconds held without a point", "%",
        shares, bar=at_most(10), note="the peer keeps what its last save had",
    )  # fmt: skip


def wasted(told: dict) -> float:
    """Share of the worker-seconds without a point that was kept."""
    jobs = defaultdict(list)
    for _, job, begin, _end in told["ledger"]:
        jobs[str(int(job))].append(begin)
    ends = {job.split("_")[0]: moment(time) for job, time in told["ended"].items()}
    held = sum(WORKERS * (ends[job] - min(begins)) for job, begins in jobs.items() if job in ends)
    if set(jobs) - set(ends):
        raise RuntimeError(f"clients of jobs {set(jobs) - set(ends)} left no last word")
    return 1 - told["points"] * POINT / held


def moment(text: str) -> float:
    """The time of a log line, in seconds since 1970."""
    return dt.datetime.fromisoformat(text).timestamp()
