"""Every learner of adaptive 1.5 and our own, small: how to make it, and when it is done."""

from __future__ import annotations

from functools import partial

import adaptive
import numpy as np

from adaptive_scheduler import OptimizerLearner, RankingLearner


def _scalar(x):
    return x * x


def _plane(xy):
    return xy[0] * xy[1]


def _noisy(seed_x):
    seed, x = seed_x
    return x + ((seed * 7919) % 101 - 50) / 100


def _seeded(seed):
    return ((seed * 7919) % 101 - 50) / 100


def _wide(x):
    return {"y": x * x, "extra": [x]}


def _picked(result):
    return result["y"]


def _cusp(x):
    return abs(x - 0.3) ** 0.5


class Nearest:
    """A model that expects of each the value of the nearest one."""

    def fit(self, x, y):
        self._x, self._y = x, y

    def predict(self, x, return_std):
        away = np.linalg.norm(x[:, None] - self._x[None], axis=2)
        return self._y[away.argmin(axis=1)], away.min(axis=1)


def npoints(n, learner):
    return learner.npoints >= n


def _is_done(learner):
    return learner.done()


def _nothing(learner):
    return False


def kinds(wrap=lambda function: function):
    """name -> (make a learner, goal). `wrap` goes around each function."""
    f, plane, noisy, seeded, wide, cusp = map(
        wrap, (_scalar, _plane, _noisy, _seeded, _wide, _cusp)
    )
    return {
        "Learner1D": (lambda: adaptive.Learner1D(f, (-1, 1)), partial(npoints, 40)),
        "Learner2D": (
            lambda: adaptive.Learner2D(plane, [(-1, 1), (-1, 1)]),
            partial(npoints, 30),
        ),
        "LearnerND": (
            lambda: adaptive.LearnerND(plane, [(-1, 1), (-1, 1)]),
            partial(npoints, 30),
        ),
        "AverageLearner": (
            lambda: adaptive.AverageLearner(seeded, atol=0.01),
            partial(npoints, 60),
        ),
        "AverageLearner1D": (
            lambda: adaptive.AverageLearner1D(noisy, (-1, 1), min_samples=5, max_samples=20),
            partial(npoints, 8),
        ),
        "SequenceLearner": (lambda: adaptive.SequenceLearner(f, range(60)), None),
        "IntegratorLearner": (
            lambda: adaptive.IntegratorLearner(cusp, (-1, 1), tol=1e-4),
            _is_done,
        ),
        "BalancingLearner": (
            lambda: adaptive.BalancingLearner([adaptive.Learner1D(f, (-1, b)) for b in (1, 2, 3)]),
            partial(npoints, 60),
        ),
        "BalancingSequences": (
            lambda: adaptive.BalancingLearner(
                [adaptive.SequenceLearner(f, range(n)) for n in (3, 30, 5)]
            ),
            None,
        ),
        "DataSaver": (
            lambda: adaptive.DataSaver(adaptive.Learner1D(wide, (-1, 1)), _picked),
            partial(npoints, 40),
        ),
        "OptimizerLearner": (
            lambda: OptimizerLearner(f, {"x": (-1.0, 1.0)}),
            partial(npoints, 40),
        ),
        "RankingLearner": (
            lambda: RankingLearner(f, np.linspace(-1, 1, 80), Nearest(), refit_every=10),
            partial(npoints, 40),
        ),
        "RankingVectors": (
            lambda: RankingLearner(
                plane,
                [[a / 9, b / 9] for a in range(9) for b in range(9)],
                Nearest(),
                refit_every=7,
            ),
            partial(npoints, 40),
        ),
        "BalancingOptimizers": (
            lambda: adaptive.BalancingLearner(
                [OptimizerLearner(f, {"x": (-1.0, b)}, seed=b) for b in (1, 2, 3)]
            ),
            partial(npoints, 60),
        ),
    }


def fname_of(name, folder):
    """Where a learner of this kind keeps its data: a list for a BalancingLearner."""
    if name.startswith("Balancing"):
        return [str(folder / f"{name}-{i}.pickle") for i in range(3)]
    return str(folder / f"{name}.pickle")


def count(learner):
    """How many evaluations the learner's data hold."""
    return learner.nsamples if isinstance(learner, adaptive.AverageLearner1D) else learner.npoints
