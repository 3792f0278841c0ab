"""Goals: when a learner is done."""

from __future__ import annotations

import numbers
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from adaptive_scheduler.core.times import parse_text, seconds
from adaptive_scheduler.errors import InputError

GoalKind = Literal["npoints", "loss", "duration", "until", "callable", "exhausted"]


class Goal(msgspec.Struct, frozen=True):
    """A goal as plain data; a callable is pickled separately.

    Attributes
    ----------
    kind : str
        ``npoints`` (points), ``loss``, ``duration`` (seconds of work),
        ``until`` (seconds since 1970), ``callable``, or ``exhausted``: until
        the learner has no more points to ask for.
    value : float
        In the unit of the kind; 0 for ``callable`` and ``exhausted``.
    """

    kind: GoalKind
    value: float = 0.0


class NPoints(msgspec.Struct, frozen=True):
    """A goal function that is met at `n` points; the runner reads `n` to ask for no more."""

    n: int

    def __call__(self, learner: Any) -> bool:
        """Return whether the learner has at least `n` points."""
        return bool(learner.npoints >= self.n)


def parse_goal(goal: object) -> Goal:
    """Turn what users give as a goal into a `Goal`.

    Parameters
    ----------
    goal : callable, int, float, timedelta, str, datetime or None
        An int is a number of points, a float a loss, a timedelta or a text such as ``"2h"``
        the time that clients worked on the learner, a datetime a moment.

    Raises
    ------
    InputError
        The goal is of another type, or cannot be reached.
    """
    if goal is None:
        return Goal("exhausted")
    if isinstance(goal, bool):
        raise InputError(f"goal={goal!r} is neither a number of points nor a function.")
    if isinstance(goal, timedelta) or (isinstance(goal, str) and parse_text(goal) is not None):
        return Goal("duration", seconds(goal, "goal"))
    if isinstance(goal, datetime):
        return Goal("until", goal.timestamp())
    if isinstance(goal, numbers.Integral):
        return Goal("npoints", _positive(int(goal), goal))
    if isinstance(goal, numbers.Real):
        return Goal("loss", _positive(float(goal), goal))
    if callable(goal):
        return Goal("callable")
    raise InputError(
        f"goal={goal!r} is of type {type(goal).__name__}{_hint(goal)}. Give a function of the learner, "
        "a number of points (int), a loss (float), a time worked on each learner (a timedelta, or a "
        "text such as '2h' or '12:00:00'), a datetime or None."
    )


def _hint(goal: object) -> str:
    """What to write instead of a number that is a text."""
    text = goal.strip() if isinstance(goal, str) else ""
    if not (re.fullmatch(r"[0-9]*\.?[0-9]+(e-?[0-9]+)?", text, re.IGNORECASE) and float(text)):
        return ""
    what = f"{text} points" if text.isdigit() else f"a loss of {text}"
    return f": for {what} write goal={text}"


def unparse_goal(goal: Goal) -> int | float | timedelta | datetime | None:
    """Return what `parse_goal` would turn into this goal; None for a callable, which it lacks."""
    match goal.kind:
        case "npoints":
            return int(goal.value)
        case "loss":
            return goal.value
        case "duration":
            return timedelta(seconds=goal.value)
        case "until":
            return datetime.fromtimestamp(goal.value).astimezone()
        case _:
            return None


def has_passed(goal: Goal, now: float) -> bool:
    """Return whether the goal is a moment before `now` (seconds since 1970)."""
    return goal.kind == "until" and goal.value <= now


def refuse_passed(goal: Goal, now: float) -> None:
    """Refuse a moment in the past; InputError names it with its time zone."""
    if has_passed(goal, now):
        raise InputError(
            f"goal={unparse_goal(goal)!s} has passed: it is {datetime.fromtimestamp(now).astimezone()!s}. "
            "Not one point would be evaluated. Give a moment in the future, or a timedelta of work."
        )


def _positive(value: float, goal: object) -> float:
    if not value > 0:
        raise InputError(f"goal={goal!r} must be greater than zero.")
    return value


def predicate(
    goal: Goal,
    function: Callable[[Any], bool] | None,
    worked: Callable[[], float],
    now: Callable[[], float],
) -> Callable[[Any], bool] | None:
    """Return the goal as a function of the learner, which a runner calls.

    Parameters
    ----------
    goal : Goal
    function : callable, optional
        The user's own function, for a goal of kind ``callable``.
    worked : callable
        Returns the seconds that all clients have worked on this learner so far.
    now : callable
        Returns the seconds since 1970.

    Returns
    -------
    callable or None
        ``learner -> bool``; None: run until the learner has no more points.
    """
    tests: dict[str, Callable[[Any], bool] | None] = {
        "npoints": NPoints(int(goal.value)),
        "loss": lambda learner: bool(learner.loss() <= goal.value),
        "duration": lambda _: worked() >= goal.value,
        "until": lambda _: now() >= goal.value,
        "callable": function,
        "exhausted": None,
    }
    return tests[goal.kind]
