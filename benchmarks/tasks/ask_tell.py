"""`ask-tell`: points that a random search asks for, evaluates and is told, each durable, beside optuna's journal."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from adaptive_scheduler import Executor, OptimizerLearner, Search
from adaptive_scheduler.scheduler import Here
from benchmarks.figures import Figure
from benchmarks.tasks.bars import BARS
from benchmarks.tasks.pool import SLOTS

POINTS, PEER_POINTS, AT_ONCE = 20_000, 1_000, 1_000
SPACE = {"x": (0.0, 1.0), "y": (0.0, 1.0), "kind": ["a", "b", "c"]}


def nothing(x: float, y: float, kind: str) -> float:
    return x


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """From the first question to the last answer, asked in a driver and evaluated in two workers."""
    ours, peers = [], []
    for _ in range(rounds):
        ours.append(rate())
        if with_peer:
            peers.append(peer_rate())
    yield Figure(
        "ask-tell", "points asked, evaluated (no-op) and told, two workers, durable", "points/s", ours,
        peers or None, BARS["ask-tell"], "optuna's journal storage: ask and tell alone, nothing is sent",
    )  # fmt: skip


def rate() -> float:
    """Points per second of a search that draws at random."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Executor(Here(slots=SLOTS), Path(folder, "run")) as executor,
    ):
        executor.submit(nothing, 0.0, 0.0, "a").result(60)  # the workers are there
        learner = OptimizerLearner(nothing, SPACE)
        begin = time.perf_counter()
        Search(learner, executor, POINTS, initial=AT_ONCE, output=folder).run()
        seconds = time.perf_counter() - begin
        assert learner.npoints == POINTS
    return POINTS / seconds


def peer_rate() -> float:
    """Points per second of optuna's random sampler, its study in a journal file; evaluated in this process."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    axes = {
        "x": optuna.distributions.FloatDistribution(0, 1), "y": optuna.distributions.FloatDistribution(0, 1),
        "kind": optuna.distributions.CategoricalDistribution(("a", "b", "c")),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        file = optuna.storages.journal.JournalFileBackend(f"{folder}/journal")
        study = optuna.create_study(
            storage=optuna.storages.JournalStorage(file),
            sampler=optuna.samplers.RandomSampler(seed=0),
        )
        begin = time.perf_counter()
        for _ in range(PEER_POINTS):
            trial = study.ask(axes)
            study.tell(trial, nothing(**trial.params))
        return PEER_POINTS / (time.perf_counter() - begin)
