"""How far a learner is while it runs."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from adaptive_scheduler.evaluation.learners.no_store import NoStore
from adaptive_scheduler.evaluation.learners.store import LearnerStore
from adaptive_scheduler.evaluation.runner import PointRunner
from adaptive_scheduler.io.learner_data import adaptive_private

#: The share of the time that computing a loss may take.
LOSS_SHARE = 1 / 20


class ProgressMeter:
    """Figures of one run of a learner; in its own thread, as learners are not safe to use in two.

    Parameters
    ----------
    learner : adaptive.BaseLearner
    store : LearnerStore or NoStore
    begin : float
        `time.monotonic` at which the run began.
    workers : int
        Points that are evaluated at a time.
    """

    def __init__(
        self, learner: Any, store: LearnerStore | NoStore, begin: float, workers: int
    ) -> None:
        self._learner = learner
        self._store = store
        self._begin = begin
        self._workers = workers
        self._loss: float | None = None
        self._loss_due = 0.0
        self._n_new, self._last_point = 0, begin

    def figures(self, runner: PointRunner) -> dict[str, Any]:
        """Figures of now; the loss is as old as its cost demands."""
        now = time.monotonic()
        elapsed = now - self._begin
        if runner.n_new != self._n_new:
            self._n_new, self._last_point = runner.n_new, now
        evaluator = runner.evaluator
        return {
            "npoints": adaptive_private.npoints(self._learner),
            "new_points": runner.n_new,
            "loss": self._loss_of_now(),
            "points_per_second": runner.n_new / max(elapsed, 1e-9),
            "overhead": float(runner.overhead()),
            "elapsed": elapsed,
            "idle_since": now - self._last_point,
            "kept_aside": ", ".join(map(str, self._store.report.kept_aside)),
            "in_flight": evaluator.n_in_flight,
            "busy": round(min(1.0, evaluator.n_in_flight / max(1, self._workers)), 3),
            "p95": evaluator.durations.p95,
            "unwritten": self._store.n_unwritten,
            "problem": self._store.problem,
        }

    def _loss_of_now(self) -> float | None:
        begin = time.monotonic()
        if begin >= self._loss_due:
            self._loss = loss_of(self._learner)
            end = time.monotonic()
            self._loss_due = end + (end - begin) / LOSS_SHARE
        return self._loss


def loss_of(learner: Any) -> float | None:
    """The loss; None where it is not defined yet, or where the user's own raises."""
    with suppress(BaseException):
        return float(learner.loss())
    return None


def npoints_of(learner: Any) -> tuple[int, BaseException | None]:
    """The number of points, or 0 and what the user's own learner raised."""
    try:
        return adaptive_private.npoints(learner), None
    except BaseException as error:  # noqa: BLE001  the border to the user's own learner
        return 0, error
