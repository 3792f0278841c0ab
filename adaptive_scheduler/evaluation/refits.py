"""Has the model of a ranking learner fitted beside its run, and sorts by it what waits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from adaptive_scheduler.evaluation.messages import Evaluator
from adaptive_scheduler.io.learner_data.adaptive_load import innermost
from adaptive_scheduler.optimizers.ranking.learner import RankingLearner
from adaptive_scheduler.optimizers.ranking.model import RankingModel

#: Begins a fit: given the model, numbers of candidates and their values; returns at once. Its result is
#: what each candidate promises.
Fit = Callable[[RankingModel, list[int], list[float]], "Future[Any]"]


def is_ranking(learner: Any) -> bool:
    """Whether a learner has candidates that a model sorts."""
    return isinstance(innermost(learner), RankingLearner)


def has_all(learner: Any) -> bool:
    """Whether all candidates have a value: the goal of a ranking learner that is given none."""
    return bool(innermost(learner).done())


class Refits:
    """Fits of the model of one learner, one at a time; nothing of any other kind of learner.

    The learner is asked and told as ever meanwhile: no point waits for a fit.

    Parameters
    ----------
    learner : adaptive.BaseLearner
    fit : callable, optional
        Default: a thread fits.
    wake : callable
        Called, in any thread, when a fit has ended.
    """

    def __init__(self, learner: Any, fit: Fit | None, wake: Callable[[], None]) -> None:
        inner = innermost(learner)
        self._learner = inner if isinstance(inner, RankingLearner) else None
        self._fit, self._wake = fit or fit_in_thread, wake
        self._fitting: Future[Any] | None = None
        if self._learner is not None:
            self._learner.is_refitted_beside = True

    def step(self, evaluator: Evaluator) -> None:
        """Sort by a fit that has ended, and begin one that is due; raises what the model has raised."""
        if self._learner is None:
            return
        if self._fitting is not None and self._fitting.done():
            ended, self._fitting = self._fitting, None
            if (
                not ended.cancelled()
            ):  # as somebody may do with a task: the order stays until the next one
                self._sort(ended.result(), evaluator)
        if self._fitting is None and self._learner.is_refit_due:
            self._fitting = self._fit(self._learner.model, *self._learner.refit_with())
            self._fitting.add_done_callback(lambda _: self._wake())

    def _sort(self, promise: Any, evaluator: Evaluator) -> None:
        assert self._learner is not None
        self._learner.sort_by(promise)
        waiting = evaluator.waiting()
        for task in waiting:
            task.gain = self._learner.gain(task.x)
        evaluator.exchange(waiting, [])

    def close(self) -> None:
        """Wait for no fit; the learner has its model fitted by itself again."""
        if self._learner is not None:
            self._learner.is_refitted_beside = False
        if self._fitting is not None:
            self._fitting.cancel()


def fit_in_thread(model: RankingModel, numbers: list[int], values: list[float]) -> Future[Any]:
    """Fit in a thread; when the program ends, it is not waited for."""
    future: Future[Any] = Future()

    def fit() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(model(numbers, values))
        except BaseException as error:  # noqa: BLE001  the top of a thread, and anybody's model
            future.set_exception(error)

    threading.Thread(target=fit, name="refit", daemon=True).start()
    return future
