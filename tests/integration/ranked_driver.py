"""A ranked queue in a process of its own, which tests kill: ``python -m tests.integration.ranked_driver HOME``."""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from adaptive_scheduler import Executor, RankingLearner, Runner
from adaptive_scheduler.scheduler import LocalScheduler
from tests.integration.noted import allowed, note, noted_in

#: Candidates, values between two fits, and calls after which others wait.
N, REFIT_EVERY, GATE = 90, 15, 35


class Nearest:
    """A model that expects of each the value of the nearest one; it takes `seconds` to be fitted."""

    def __init__(self, seconds: float = 0.0, ledger: str = "") -> None:
        self._seconds, self._ledger = seconds, ledger

    def fit(self, x: Any, y: Any) -> None:
        if self._ledger:
            note(self._ledger, f"fit {len(y)} begin {time.time()}")
        time.sleep(self._seconds)
        self._x, self._y = x, y
        if self._ledger:
            note(self._ledger, f"fit {len(y)} end {time.time()}")

    def predict(self, x: Any, return_std: bool) -> Any:
        away = np.linalg.norm(x[:, None] - self._x[None], axis=2)
        return self._y[away.argmin(axis=1)], away.min(axis=1)


def sphere(home: str, seconds: float, gate: int, x: Any) -> float:
    """Take a while, and note that; smallest at 0.

    After `gate` have ended, others wait, until `noted.allow` allows more, or all may end: there is a file `go`.
    """
    ledger = f"{home}/ledger"
    note(ledger, f"begin {[float(part) for part in x]}")
    while not Path(home, "go").exists() and len(noted_in(ledger, "end")) >= allowed(ledger, gate):
        time.sleep(0.02)
    time.sleep(seconds)
    note(ledger, f"end {[float(part) for part in x]}")
    return float(sum(part * part for part in x))


class Sorted(RankingLearner):
    """Notes each time that it has sorted its candidates."""

    ledger: str

    def sort_by(self, promise: Any) -> None:
        super().sort_by(promise)
        note(self.ledger, "sorted")


def candidates(n: int = N) -> Any:
    """Return points of a square, and those that are best."""
    return np.random.default_rng(1).uniform(-1, 1, (n, 2))


def main(home: str) -> None:
    """Rank in jobs that outlive this process."""
    batch = LocalScheduler(cores=2, max_cores=2, kill_wait=5, state=Path(home) / "batch")
    learner = Sorted(
        partial(sphere, home, 0.02, GATE), candidates(),
        Nearest(0.1, f"{home}/fits"), "lcb", REFIT_EVERY,
    )  # fmt: skip
    learner.ledger = f"{home}/fits"
    with Executor(batch, Path(home) / "run", max_jobs=1, interval=1, idle=5) as executor:
        outcome = Runner(learner, executor).run()
        print(outcome.new_points, learner.npoints, learner.refits, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
