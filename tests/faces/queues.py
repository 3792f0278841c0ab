"""Runs whose jobs wait in the queue of a private Slurm, and what is said of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import adaptive

from adaptive_scheduler.core.reasons.explanation import Explanation
from adaptive_scheduler.scheduler import SLURM
from adaptive_scheduler.server_support import RunManager
from tests.clusters.slurm import PrivateSlurm
from tests.integration.engine_here import EngineHere

PATIENCE = 180.0


def until(is_so: Callable[[], Any]) -> Any:
    """Wait until something is so, and return it."""
    end = time.monotonic() + PATIENCE
    while not (found := is_so()):
        assert time.monotonic() < end, f"not within {PATIENCE:g} s"
        time.sleep(0.1)
    return found


def square(x: float) -> float:
    time.sleep(0.2)
    return x**2


def run_of(folder: Path, options: list[dict[str, Any]], setup: str = "", **more: Any) -> EngineHere:
    """A run with a learner for each request; `setup` comes first in each job's script."""
    names = {name: None for one in options for name in one}
    each = {name: tuple(one.get(name) for one in options) for name in names}
    if "extra_scheduler" in each:
        each["extra_scheduler"] = tuple(one or [] for one in each["extra_scheduler"])
    scheduler = SLURM(cores=(1,) * len(options), executor_type="process-pool", setup=setup, **each)
    learners = [adaptive.Learner1D(square, (-1, 1)) for _ in options]
    run = RunManager(
        scheduler, learners, [folder / "data" / str(n) for n in range(len(options))],
        folder=folder / "run", goal=10_000, interval=1, **more,
    )  # fmt: skip
    return EngineHere(run, beat=0.5, grace=3.0)


def blocker(cluster: PrivateSlurm, *options: str, timeout: float = 60) -> str:
    """A job of somebody else."""
    job = ["--parsable", "--output=/dev/null", *options, "--wrap=sleep 7200"]
    done = cluster.run("sbatch", *job, timeout=timeout)
    return done.stdout.strip()


def says(run: RunManager, learner: int, cause: str) -> Explanation:
    """Wait until this is the cause for a learner; its job says the same."""
    end = time.monotonic() + PATIENCE
    while (found := run[learner].explain()).cause != cause:
        assert time.monotonic() < end, f"{cause}: {found}\n{run.status().text}"
        time.sleep(0.2)
    print(f"\n{found}")
    return found
