"""Makes a function of the learner of whatever can be a goal."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

from adaptive_scheduler.core.goals import parse_goal, predicate
from adaptive_scheduler.runs.start.plan import has_end, is_exhausted

GoalTypes = Callable[[Any], bool] | int | float | str | datetime | timedelta | None


def smart_goal(goal: GoalTypes, learners: Sequence[Any]) -> Callable[[Any], bool]:
    """Return a goal as a function of the learner.

    Parameters
    ----------
    goal : callable, int, float, timedelta, str, datetime or None
        As in `RunManager`. A duration counts for each learner from when it is first asked about in
        this process. None: until the learner has no more points to ask for, whatever kind it is.
    learners : sequence
        Those that it is for, of any kinds.

    Returns
    -------
    callable
        ``learner -> bool``.

    Raises
    ------
    InputError
        The goal is of another type, or cannot be reached.
    """
    parsed = parse_goal(goal)
    if parsed.kind == "callable":
        return goal  # type: ignore[return-value]
    if parsed.kind == "exhausted":
        return _until_exhausted(learners)
    if parsed.kind == "duration":
        return WorkedLong(parsed.value)
    test = predicate(parsed, None, lambda: 0.0, time.time)
    return test or is_exhausted


def _until_exhausted(learners: Sequence[Any]) -> Callable[[Any], bool]:
    endless = {type(one).__name__ for one in learners if not has_end(one)}
    if endless:
        warnings.warn(
            f"goal=None: learners of the kind {', '.join(sorted(endless))} never have all their "
            "points, so they go on for ever. Give a goal.",
            stacklevel=3,
        )
    return is_done


def is_done(learner: Any) -> bool:
    """Whether a learner has all its points; one that never has is never done."""
    return has_end(learner) and is_exhausted(learner)


class WorkedLong:
    """A goal that is met a time after each learner was first asked about here.

    Parameters
    ----------
    seconds : float
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._starts: WeakKeyDictionary[Any, float] = WeakKeyDictionary()

    def __call__(self, learner: Any) -> bool:
        """Return whether the time of this learner has passed."""
        now = time.monotonic()
        return now - self._starts.setdefault(learner, now) >= self.seconds

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave out the starts: in another process the learners are others."""
        return WorkedLong, (self.seconds,)
