"""Checks of one argument each: given a value and its name, return the value that is used."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable
from typing import Any

from adaptive_scheduler.core.goals import parse_goal
from adaptive_scheduler.core.texts import check_line
from adaptive_scheduler.core.times import seconds
from adaptive_scheduler.errors import InputError

Check = Callable[[Any, str], Any]


def count(least: int = 0) -> Check:
    """Make a check for whole numbers of at least `least`."""

    def check(value: Any, name: str) -> int:
        try:
            number = None if isinstance(value, bool) else operator.index(value)
        except TypeError:
            number = None
        if number is None or number < least:
            raise InputError(f"{name}={value!r} must be a whole number of at least {least}.")
        return number

    return check


def optional(check: Check) -> Check:
    """Make a check that also takes None."""
    return lambda value, name: None if value is None else check(value, name)


def as_given(value: Any, name: str) -> Any:  # noqa: ARG001  what a check takes
    """Check nothing: this takes the learners, and is done with them."""
    return value


def duration(value: Any, name: str) -> float:
    """Check a length of time, and return its seconds."""
    return seconds(value, name)


def flag(value: Any, name: str) -> bool:
    """Check True or False, also NumPy's."""
    if type(value).__name__ not in ("bool", "bool_"):
        raise InputError(f"{name}={value!r} must be True or False.")
    return bool(value)


def text(value: Any, name: str) -> str:
    """Check a text of one line that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{name}={value!r} must be a text that is not empty.")
    return check_line(value, name)


def path(value: Any, name: str) -> str:
    """Check a str or a path; it need not exist."""
    given = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(given, str) or not given:
        raise InputError(f"{name}={value!r} must be a str or a path, and not empty.")
    if "\0" in given:
        raise InputError(f"{name}={value!r} cannot be a path: it holds a NUL character.")
    return given


def goal(value: Any, name: str) -> Any:  # noqa: ARG001  what a check takes
    """Check that `parse_goal` takes it."""
    parse_goal(value)
    return value
