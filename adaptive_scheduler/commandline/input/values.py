"""Typed texts turned into goals, lengths of time and pairs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from adaptive_scheduler.core import times
from adaptive_scheduler.errors import InputError

_NAME = re.compile(r"[A-Za-z_][\w.]*(:[A-Za-z_]\w*)?")


def parse_goal_text(text: str) -> int | float | timedelta | datetime | str:
    """Read a goal: points, loss, duration, moment, or the name of a function.

    Parameters
    ----------
    text : str
        ``200`` is a number of points, ``0.01`` a loss, ``10m`` or ``2h`` the time
        worked on each learner, ``2026-12-01T08:00`` a moment, and ``name`` or
        ``module:name`` a function, which is returned as its name.

    Raises
    ------
    InputError
        It is none of these.
    """
    text = text.strip()
    length = times.parse_text(text)
    if length is not None:
        return timedelta(seconds=times.seconds(text, "--goal"))
    for read in (int, float, datetime.fromisoformat):
        try:
            return read(text)
        except ValueError:
            continue
    if _NAME.fullmatch(text):
        return text
    raise InputError(
        f"--goal {text!r} is not understood. Write a number of points (200), a loss (0.01), a "
        "duration (10m, 2h), a moment (2026-12-01T08:00), or a function (name or module:name)."
    )


def parse_pairs(texts: Iterable[str], option: str) -> Mapping[str, str]:
    """Read ``KEY=VALUE`` texts; the value is literal."""
    pairs: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"{option} {text!r} is not of the form KEY=VALUE.")
        pairs[key] = value
    return pairs


def seconds(text: str, option: str) -> float:
    """Read a length of time (`core.times`); a bare number is seconds.

    Raises
    ------
    InputError
        It is neither.
    """
    return times.seconds(times.number_or_text(text), option)
