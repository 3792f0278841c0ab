"""What texts on the command line mean: durations, goals, pairs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from adaptive_scheduler.errors import InputError

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d)")
_NAME = re.compile(r"[A-Za-z_][\w.]*(:[A-Za-z_]\w*)?")


def parse_duration(text: str) -> timedelta | None:
    """Read ``90s``, ``10m``, ``2h``, ``1d``, ``1h30m``; None for anything else."""
    parts = _DURATION.findall(text.strip())
    if not parts or _DURATION.sub("", text).strip():
        return None
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))


def parse_walltime_text(text: str) -> timedelta | str:
    """Read a duration; any other text is left to the scheduler (``12:00:00``)."""
    return parse_duration(text) or text


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
    duration = parse_duration(text)
    if duration is not None:
        return duration
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
    """Read a duration in seconds; a bare number is seconds.

    Raises
    ------
    InputError
        It is neither.
    """
    duration = parse_duration(text)
    if duration is not None:
        return duration.total_seconds()
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not value > 0:
        raise InputError(f"{option} {text!r} is not understood. Write 90s, 10m, 2h or 1d.")
    return value
