"""Takes over the points that a former driver of the same learner has submitted."""

from __future__ import annotations

from concurrent.futures import wait
from typing import Any

from adaptive_scheduler.core.rows.row import Phase
from adaptive_scheduler.evaluation.messages import PointTask
from adaptive_scheduler.io.learner_data import adaptive_private
from adaptive_scheduler.io.learner_data.adaptive_load import tell_journalled
from adaptive_scheduler.runs.runner.point_keys import PointKeys
from adaptive_scheduler.runs.runner.run_tasks import AnyFuture, Tasks
from adaptive_scheduler.runs.runner.task_evaluator import TaskEvaluator

#: Seconds between two looks whether this program is to end.
LOOK = 0.2


def take_over(
    learner: Any, tasks: Tasks, keys: PointKeys, evaluator: TaskEvaluator
) -> dict[Any, Any]:
    """Tell what has ended meanwhile, and wait for what is still in flight.

    Points that failed or were cancelled are forgotten: they are tried again if the learner asks
    for them.

    Returns
    -------
    dict
        Values of points that the learner does not take before it asks for them.
    """
    ended: list[tuple[Any, AnyFuture]] = []
    in_flight: list[tuple[PointTask, str, AnyFuture]] = []
    for key, phase, future in tasks.earlier(lambda key: keys.read(key) is not None):
        task = _point(learner, keys, key)
        if task is None:
            continue
        if future is None:
            keys.note_in_vain(key)
        elif phase is Phase.DONE:
            ended.append((adaptive_private.compact(learner, task.x), future))
        else:
            in_flight.append((task, key, future))
    _wait([future for _, future in ended], tasks, evaluator)
    memo = _tell(learner, ended)
    for task, key, future in in_flight:
        # one that the learner cannot take now it asks for by itself, and has it by its key
        if adaptive_private.can_tell(learner, task.x) and not adaptive_private.is_known(
            learner, task.x
        ):
            adaptive_private.innermost(learner).tell_pending(task.x)
            evaluator.adopt(task, key, future)
    return memo


def _wait(futures: list[AnyFuture], tasks: Tasks, evaluator: TaskEvaluator) -> None:
    """Wait for values that are on their way, unless this program is to end before they are here."""
    while wait(futures, LOOK).not_done and not (tasks.is_closed or evaluator.is_leaving):
        continue


def _point(learner: Any, keys: PointKeys, key: str) -> PointTask | None:
    """Return the point of a key; None if it is of another function, or of another learner."""
    stem, short = keys.read(key) or ("", None)
    try:
        x = adaptive_private.expand(learner, short)
        task = PointTask(x, *adaptive_private.target(learner.function, x))
    except (LookupError, TypeError):
        return None
    return task if keys.stem(task.function, short) == stem else None


def _tell(learner: Any, ended: list[tuple[Any, AnyFuture]]) -> dict[Any, Any]:
    """Tell values; those that cannot be loaded here are asked for again, and say why."""
    here = [(short, future) for short, future in ended if future.done()]
    values = [(short, future.result()) for short, future in here if future.exception() is None]
    return tell_journalled(learner, values).memo
