"""Six small learners on one batch system: ``run_driver FOLDER SYSTEM EXECUTOR``."""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path

import adaptive

from adaptive_scheduler import scheduler
from adaptive_scheduler.server_support import RunManager

OPTIONS = {
    "slurm": (scheduler.SLURM, {}),
    "pbs": (scheduler.PBS, {"walltime": 300}),
    "local": (scheduler.LocalScheduler, {"max_cores": 6}),
}


def slow_square(offset, x):
    time.sleep(0.01)
    return (x - offset) ** 2


if __name__ == "__main__":
    folder, system, executor = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    kind, options = OPTIONS[system]
    run_manager = RunManager(
        kind(cores=3, executor_type=executor, **options),
        [adaptive.Learner1D(partial(slow_square, i), (-1, 1)) for i in range(6)],
        [str(folder / "data" / f"learner $HOME {i}") for i in range(6)],
        goal=50, folder=folder / "run", name="odd name: $x", max_jobs=2,
        interval=2,
    )  # fmt: skip
    run_manager.start()
    run_manager.wait(timeout=240)
    print(run_manager.status())
    run_manager.load_learners(progress=False)
    assert all(learner.npoints >= 50 for learner in run_manager.learners)
    assert run_manager.snapshot().jobs == []
