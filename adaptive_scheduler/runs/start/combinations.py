"""Refuses nested learners that adaptive cannot run, before they fail in a job.

`tests/contract/test_combinations.py` shows that adaptive 1.5 fails with each of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from adaptive_scheduler.errors import InputError


def refuse_impossible(learners: Sequence[Any]) -> None:
    """Raise InputError, with a remedy, if a learner would fail in its job."""
    from adaptive import BalancingLearner, DataSaver

    for place, learner in enumerate(learners):
        if isinstance(learner, (BalancingLearner, DataSaver)):
            _check(learner, f"learners[{place}]")


def _check(learner: Any, where: str) -> None:
    from adaptive import BalancingLearner, DataSaver, SequenceLearner

    is_saver = isinstance(learner, DataSaver)
    inner = _innermost(learner)
    if isinstance(inner, BalancingLearner):
        _check_children(inner, where)
        for index, child in enumerate(inner.learners):
            _check(child, f"{where}.learners[{index}]")
            if is_saver and isinstance(_innermost(child), SequenceLearner):
                _check_entries(_innermost(child), where)
    elif is_saver and isinstance(inner, SequenceLearner):
        _check_entries(inner, where)


def _innermost(learner: Any) -> Any:
    """Return the learner inside its DataSavers."""
    from adaptive_scheduler.io.learner_data.adaptive_load import innermost

    return innermost(learner)


def _check_children(learner: Any, where: str) -> None:
    """Refuse learners that adaptive's BalancingLearner cannot choose points from."""
    from adaptive import BalancingLearner, IntegratorLearner, LearnerND

    children = [_innermost(child) for child in learner.learners]
    what = f"{where} is a BalancingLearner of"
    if not children:
        raise InputError(f"{what} no learners: give it some, or leave it out of `learners`.")
    alone = "Give each of them in `learners`, with an fname of its own."
    if any(isinstance(child, IntegratorLearner) for child in children):
        raise InputError(
            f"{what} IntegratorLearners: adaptive cannot balance them, because an "
            f"IntegratorLearner takes points only in its own order. {alone}"
        )
    if any(isinstance(child, BalancingLearner) for child in children):
        raise InputError(
            f"{what} BalancingLearners: adaptive asks those for the same points again and again. "
            "Make one BalancingLearner of all their learners, or give each in `learners`."
        )
    if learner.strategy != "loss_improvements" and any(
        isinstance(child, LearnerND) for child in children
    ):
        raise InputError(
            f"{what} LearnerNDs with strategy={learner.strategy!r}, which adaptive cannot choose "
            f"points for (\"Point already in triangulation\"). Use strategy='loss_improvements'. "
            f"Or: {alone}"
        )
    if len({_is_async(child) for child in children}) > 1:
        raise InputError(
            f"{what} some functions that are `async def` and some that are not. Make all of them "
            f"one or the other. Or: {alone}"
        )


def _is_async(learner: Any) -> bool:
    from adaptive import SequenceLearner

    function = learner.function
    if isinstance(learner, SequenceLearner):
        function = function.function  # adaptive wraps it
    return inspect.iscoroutinefunction(function)


def _check_entries(learner: Any, where: str) -> None:
    """Refuse entries that are not hashable: a DataSaver keeps its results in a dict by entry."""
    for entry in learner.sequence[:1] if len(learner.sequence) else ():
        try:
            hash(entry)
        except TypeError as error:
            raise InputError(
                f"{where} is a DataSaver of a SequenceLearner whose entries cannot be keys of a "
                f"dictionary ({error}), which a DataSaver needs. Give tuples in place of lists and "
                "arrays, or a sequence of numbers that your function looks up."
            ) from error
