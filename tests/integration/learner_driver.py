"""A driver of a learner in a process of its own, which tests kill: ``python -m tests.integration.learner_driver HOME``."""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import adaptive

from adaptive_scheduler import Executor, Runner
from adaptive_scheduler.scheduler import LocalScheduler

#: Points of the goal, and seconds that each takes.
N, SECONDS = 36, 0.1


def noted(seconds: float, ledger: str, point: Any) -> float:
    """Write down that a point has begun, and that it has ended; return a value."""
    note(ledger, f"begin {point!r}")
    time.sleep(seconds)
    note(ledger, f"end {point!r}")
    x, y = point if isinstance(point, tuple) else (point, 0.0)
    return float(x * x + y)


def note(ledger: str, line: str) -> None:
    """Append a line at once, whoever else does so."""
    file = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{line}\n".encode())
    os.close(file)


def noted_in(ledger: str, what: str) -> list[str]:
    """The points of which a ledger says so."""
    try:
        lines = Path(ledger).read_text().splitlines()
    except FileNotFoundError:
        return []
    return [line.removeprefix(f"{what} ") for line in lines if line.startswith(f"{what} ")]


def main(home: str) -> None:
    """Run a learner to its goal in jobs that outlive this process."""
    batch = LocalScheduler(cores=2, max_cores=4, kill_wait=5, state=Path(home) / "batch")
    learner = adaptive.Learner1D(partial(noted, SECONDS, f"{home}/ledger"), (-1, 1))
    with Executor(batch, Path(home) / "run", max_jobs=1, interval=1, idle=5) as executor:
        outcome = Runner(learner, executor, N).run()
        print(outcome.new_points, learner.npoints, flush=True)
        Path(home, "data").write_text("\n".join(repr(x) for x in learner.data))


if __name__ == "__main__":
    main(sys.argv[1])
