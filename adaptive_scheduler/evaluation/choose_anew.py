"""Exchanges points that wait for those that a learner chooses when it knows more."""

from __future__ import annotations

from typing import Any

from adaptive_scheduler.evaluation.messages import Evaluator, PointTask
from adaptive_scheduler.io.learner_data import adaptive_private


def choose_anew(learner: Any, evaluator: Evaluator, kept_back: list[PointTask]) -> list[PointTask]:
    """Let a learner choose anew the points that wait; returns those that are new.

    A point that it chooses again keeps its place in flight, and gets its new gain. The others are
    taken back, unless they begin meanwhile: then their values are told as any.

    Parameters
    ----------
    learner : adaptive.BaseLearner
    evaluator : Evaluator
    kept_back : list of PointTask
        Points that are not in flight, and that it is not to choose again: those that failed.
    """
    waiting = evaluator.waiting() if adaptive_private.can_choose_anew(learner) else []
    if not waiting:
        return []
    by_point = {task.x: task for task in waiting}
    pending = [x for _, x in evaluator.in_flight() if x not in by_point]
    pending += [task.x for task in kept_back]
    kept, new = [], []
    for x, gain in adaptive_private.choose_anew(learner, pending, len(waiting)):
        task = by_point.pop(x, None)
        if task is None:
            target = adaptive_private.target(learner.function, x)
            new.append(PointTask(x, *target, gain=gain))
        else:
            task.gain = gain
            kept.append(task)
    evaluator.exchange(kept, list(by_point.values()))
    return new
