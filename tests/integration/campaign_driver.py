"""Start forty learners of all kinds on one private Slurm: ``campaign_driver FOLDER LAUNCHER``."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import adaptive

WORKERS = 3
#: Seconds of one evaluation, and evaluations: 4 of three minutes on three workers, the others 1-10 s.
LONG = (1.0, 540)
SHORT = [(0.1, 30), (0.2, 60), (0.3, 40), (0.5, 60), (0.05, 100), (0.4, 40)]


class Timed:
    """Sleeps, notes the call in a ledger before it returns."""

    def __init__(self, ledger, seconds, target, kind, part=""):
        self.ledger, self.seconds, self.target, self.kind = ledger, seconds, target, kind
        self.part = part

    def of(self, part):
        """The same for one child of a BalancingLearner: equal points of two children differ."""
        return Timed(self.ledger, self.seconds, self.target, self.kind, f"{part}: ")

    def __call__(self, x):
        time.sleep(self.seconds)
        y = value_of(self.kind, x)
        line = f"{self.part}{x!r}\t{time.time():.3f}\t{os.getpid()}\n".encode()
        fd = os.open(self.ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(fd, line)
        os.close(fd)
        return y


def value_of(kind, x):
    if kind in ("Learner2D", "LearnerND"):
        return x[0] * x[1]
    if kind == "AverageLearner":
        return ((x * 7919) % 101 - 50) / 100
    if kind == "AverageLearner1D":
        seed, x = x
        return x + ((seed * 7919) % 101 - 50) / 100
    if kind == "DataSaver":
        return {"y": x * x, "extra": [x]}
    return abs(x - 0.3) ** 0.5 if kind == "IntegratorLearner" else x * x


def picked(result):
    return result["y"]


def make(kind, function):
    n = function.target
    box = [(-1, 1), (-1, 1)]
    return {
        "Learner1D": lambda: adaptive.Learner1D(function, (-1, 1)),
        "Learner2D": lambda: adaptive.Learner2D(function, box),
        "LearnerND": lambda: adaptive.LearnerND(function, box),
        "AverageLearner": lambda: adaptive.AverageLearner(function, atol=1e-6),
        "AverageLearner1D": lambda: adaptive.AverageLearner1D(
            function, (-1, 1), min_samples=5, max_samples=20
        ),
        "SequenceLearner": lambda: adaptive.SequenceLearner(function, range(n)),
        "IntegratorLearner": lambda: adaptive.IntegratorLearner(function, (-1, 1), tol=1e-8),
        "BalancingLearner": lambda: adaptive.BalancingLearner(
            [adaptive.Learner1D(function.of(b), (-1, b)) for b in (1, 2, 3)]
        ),
        "DataSaver": lambda: adaptive.DataSaver(adaptive.Learner1D(function, (-1, 1)), picked),
    }[kind]()


KINDS = [
    "Learner1D", "Learner2D", "LearnerND", "AverageLearner", "AverageLearner1D",
    "SequenceLearner", "IntegratorLearner", "BalancingLearner", "DataSaver",
]  # fmt: skip


def count(learner):
    if isinstance(learner, adaptive.AverageLearner1D):
        return learner.nsamples
    return learner.npoints


def function_of(learner):
    if isinstance(learner, adaptive.BalancingLearner):
        learner = learner.learners[0]
    function = learner.function
    return getattr(function, "function", function)  # a SequenceLearner wraps it


def goal(learner):
    if isinstance(learner, adaptive.SequenceLearner):
        return learner.done()
    return count(learner) >= function_of(learner).target


def campaign(folder: Path, n: int = 40):
    """Learners, fnames, and the ledger of each."""
    learners, fnames, ledgers = [], [], []
    for i in range(n):
        kind = "SequenceLearner" if i < 4 else KINDS[i % len(KINDS)]
        seconds, target = LONG if i < 4 else SHORT[i % len(SHORT)]
        ledger = str(folder / f"ledger-{i}")
        learners.append(make(kind, Timed(ledger, seconds, target, kind)))
        name = f"data/{i} {kind}"
        fnames.append([f"{name}.{j}" for j in range(3)] if kind == "BalancingLearner" else name)
        ledgers.append(ledger)
    return learners, [_in(folder, f) for f in fnames], ledgers


def _in(folder, fname):
    return [str(folder / f) for f in fname] if isinstance(fname, list) else str(folder / fname)


if __name__ == "__main__":
    from adaptive_scheduler.scheduler import SLURM
    from adaptive_scheduler.server_support import RunManager

    folder, launcher = Path(sys.argv[1]), sys.argv[2]
    scheduler = SLURM(
        cores=WORKERS + 1,
        partition="minute",
        walltime=60,
        mpiexec_executable="srun --mpi=pmi2" if launcher == "srun" else None,
        python_executable=sys.executable,
    )
    learners, fnames, _ = campaign(folder)
    run_manager = RunManager(
        scheduler, learners, fnames, goal=goal, folder=folder / "run", name="campaign",
        max_jobs=6, interval=5, save_interval=20,
    )  # fmt: skip
    run_manager.start()
