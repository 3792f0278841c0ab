"""Lengths of time as people write them: the one grammar of all arguments and options."""

from __future__ import annotations

import math
import numbers
import re
from datetime import timedelta

from adaptive_scheduler.errors import InputError

#: What is accepted, for errors and for ``--help``.
FORMS = "'90s', '30m', '12h', '2d', '1h30m', '30:00' (MM:SS), '12:00:00', '2-00:00:00', '0-03:00' (D-HH:MM)"
#: The longest time that is accepted, in seconds: a hundred years.
LONGEST = 100 * 365.25 * 86400

_NUMBER = r"([0-9]+(?:\.[0-9]+)?)\s*"
#: From the largest unit to the smallest, each at most once.
_UNITS = re.compile(
    rf"(?:{_NUMBER}(?:d|days?)\s*)?(?:{_NUMBER}(?:h|hrs?|hours?)\s*)?"
    rf"(?:{_NUMBER}(?:m|mins?|minutes?)\s*)?(?:{_NUMBER}(?:s|secs?|seconds?))?",
    re.IGNORECASE,
)
_UNIT_SECONDS = (86400, 3600, 60, 1)
#: sbatch(1), --time: "minutes:seconds", "hours:minutes:seconds", "days-hours",
#: "days-hours:minutes" and "days-hours:minutes:seconds". Numbers may be large ("90:00", "1-30").
_CLOCK = re.compile(r"(?:([0-9]+):)?([0-9]+):([0-9]+)")
_DAYS = re.compile(r"([0-9]+)-([0-9]+)(?::([0-9]+))?(?::([0-9]+))?")
_PLAIN = re.compile(r"[0-9]+(?:\.[0-9]*)?")
_ZERO = re.compile(r"0+(?:\.0*)?")


#: What an argument that is a length of time may be.
TimeLike = float | str | timedelta


def seconds(value: object, name: str, *, zero: bool = False) -> float:
    """Return the seconds that a number, a text or a timedelta means.

    Parameters
    ----------
    value : int, float, str or timedelta
        A number is seconds. Texts are those of `FORMS`; the forms with a colon or a dash are
        read as SLURM reads them. A text of digits alone is refused: SLURM reads it as
        minutes, PBS as seconds.
    name : str
        The argument's name, for the error.
    zero : bool
        Whether zero is accepted.

    Raises
    ------
    InputError
        It is none of these, or zero, negative or infinite.
    """
    length = _length(value, name)
    if not (length > 0 or (zero and length == 0)):
        least = "zero seconds or longer" if zero else "longer than zero seconds"
        raise InputError(f"{name}={value!r} must be {least}{_no_limit(name)}.")
    if not length <= LONGEST:
        raise InputError(f"{name}={value!r} must have an end, within a hundred years.")
    return length


def optional_seconds(value: object, name: str, *, zero: bool = False) -> float | None:
    """Return the seconds of a length of time, or None for None."""
    return None if value is None else seconds(value, name, zero=zero)


def number_or_text(text: str) -> float | str:
    """Return a float for a bare number, for options whose bare numbers are seconds."""
    return float(text) if _PLAIN.fullmatch(text.strip()) else text


def length_text(length: float) -> str:
    """Return a length of time as a text that is accepted: ``"24h"``, ``"5m"``, ``"1.5s"``."""
    for unit, size in (("h", 3600), ("m", 60)):
        if length >= size and length % size == 0:
            return f"{length / size:g}{unit}"
    return f"{length:g}s"


def duration_text(length: float) -> str:
    """Return a length of time for people: ``7 s``, ``12 min``, ``3 h 05 min``, ``2 d 04 h``."""
    whole = max(0, round(length))
    if whole < 120:
        return f"{whole} s"
    minutes, hours = whole // 60, whole // 3600
    if minutes < 120:
        return f"{minutes} min"
    if hours < 48:
        return f"{hours} h {minutes % 60:02d} min"
    return f"{hours // 24} d {hours % 24:02d} h"


def rate_text(a_second: float) -> str:
    """``1,234``, ``42.5``, ``0.31``, ``0.000278``, one in an hour: a slow rate is not 0."""
    return f"{a_second:,.0f}" if a_second >= 999.5 else f"{a_second:.3g}"


def parse_text(text: str) -> float | None:
    """Return the seconds that one of the `FORMS` means; None for any other text."""
    text = text.strip()
    if match := _CLOCK.fullmatch(text):
        return _sum(match.groups(), (3600, 60, 1))
    if match := _DAYS.fullmatch(text):
        return _sum(match.groups(), _UNIT_SECONDS)
    match = _UNITS.fullmatch(text)
    return _sum(match.groups(), _UNIT_SECONDS) if text and match else None


def _sum(parts: tuple[str | None, ...], units: tuple[int, ...]) -> float:
    return sum(float(part or 0) * unit for part, unit in zip(parts, units, strict=True))


def _length(value: object, name: str) -> float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    is_timedelta64 = getattr(getattr(value, "dtype", None), "kind", "") == "m"  # in any unit
    if isinstance(value, numbers.Real) and not (isinstance(value, bool) or is_timedelta64):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    found = parse_text(value) if isinstance(value, str) else None
    if found is None and isinstance(value, str) and _ZERO.fullmatch(value.strip()):
        found = 0.0  # the same in every unit
    if found is None:
        raise InputError(f"{name}={value!r} is not understood{_hint(value)}. {_ADVICE}")
    return found


_ADVICE = f"Write a number of seconds, a timedelta, or a text such as {FORMS}."


def _hint(value: object) -> str:
    """Return advice about a text that other programs accept, or "" for any other."""
    text = value.strip() if isinstance(value, str) else ""
    if _PLAIN.fullmatch(text):
        return (
            f": SLURM reads it as minutes, PBS as seconds: write {text + 'm'!r} or {text + 's'!r}"
        )
    return ": leave it out for no limit" if text.lower() in ("unlimited", "infinite") else ""


def _no_limit(name: str) -> str:
    """What to write instead of a zero that is meant as "no limit", as SLURM's time limit is."""
    return ": leave it out for no limit" if "walltime" in name or "timeout" in name else ""
