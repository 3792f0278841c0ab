"""Exchanges points that wait for those that a learner chooses when it knows more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from adaptive_scheduler.evaluation.messages import Evaluator, PointTask
from adaptive_scheduler.io.learner_data import adaptive_private


@dataclass
class Choice:
    """What a learner wants of the points that wait.

    Attributes
    ----------
    new, kept, gone : list of PointTask
        Points to submit; those that it has chosen again, with their new gains; those that it has not.
    """

    new: list[PointTask] = field(default_factory=list)
    kept: list[PointTask] = field(default_factory=list)
    gone: list[PointTask] = field(default_factory=list)


def choose_anew(learner: Any, evaluator: Evaluator, kept_back: list[PointTask]) -> Choice:
    """Let a learner choose anew the points that wait; nothing is submitted or taken back yet.

    Parameters
    ----------
    learner : adaptive.BaseLearner
    evaluator : Evaluator
    kept_back : list of PointTask
        Points that are not in flight, and that it is not to choose again: those that failed.
    """
    waiting = evaluator.waiting() if adaptive_private.can_choose_anew(learner) else []
    if not waiting:
        return Choice()
    by_point = {task.x: task for task in waiting}
    pending = [x for _, x in evaluator.in_flight() if x not in by_point]
    pending += [task.x for task in kept_back]
    choice = Choice()
    for x, gain in adaptive_private.choose_anew(learner, pending, len(waiting)):
        task = by_point.pop(x, None)
        if task is None:
            target = adaptive_private.target(learner.function, x)
            choice.new.append(PointTask(x, *target, gain=gain))
        else:
            task.gain = gain
            choice.kept.append(task)
    choice.gone = list(by_point.values())
    return choice
