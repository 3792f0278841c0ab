"""A driver of a learner in a process of its own, which tests kill: ``python -m tests.integration.learner_driver HOME``."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import adaptive

from adaptive_scheduler import Executor, Runner
from adaptive_scheduler.evaluation import runner
from adaptive_scheduler.scheduler import LocalScheduler
from tests.integration.noted import noted

#: Points of the goal, and seconds that each takes.
N, SECONDS = 36, 0.1


def main(home: str) -> None:
    """Run a learner to its goal in jobs that outlive this process."""
    runner.LATE = 100.0  # the last point may be late: no other one instead
    batch = LocalScheduler(cores=2, max_cores=4, kill_wait=5, state=Path(home) / "batch")
    learner = adaptive.Learner1D(partial(noted, SECONDS, f"{home}/ledger"), (-1, 1))
    with Executor(batch, Path(home) / "run", max_jobs=1, interval=1, idle=5) as executor:
        outcome = Runner(learner, executor, N).run()
        print(outcome.new_points, learner.npoints, flush=True)
        Path(home, "data").write_text("\n".join(repr(x) for x in learner.data))


if __name__ == "__main__":
    main(sys.argv[1])
