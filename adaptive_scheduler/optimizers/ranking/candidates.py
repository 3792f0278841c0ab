"""Candidates as a user has given them: vectors, numbers, or dicts by name."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from adaptive_scheduler.core.searches.space import Values, is_number
from adaptive_scheduler.errors import InputError

#: What a function is called with: names, a number, a list, an array.
NAMED, NUMBER, LIST, ARRAY = "named", "number", "list", "array"


@dataclass(frozen=True)
class Candidates:
    """Candidates, each with its number from 0. Two that are equal are two.

    Attributes
    ----------
    form : str
        ``named``, ``number``, ``list`` or ``array``: what the function is called with.
    names : tuple of str
        Of the parts of each.
    rows : tuple of tuple
        The parts of each, numbers.
    """

    form: str
    names: tuple[str, ...]
    rows: tuple[Values, ...]

    def matrix(self) -> np.ndarray[Any, Any]:
        """Return a row of floats for each."""
        return np.array(self.rows, dtype=float).reshape(len(self.rows), len(self.names))

    def digest(self, number: int) -> str:
        """Return a text that another candidate of this number does not have."""
        text = repr((self.names, self.rows[number])).encode()
        return hashlib.blake2b(text, digest_size=6).hexdigest()


def parse_candidates(given: Any, what: str = "candidates") -> Candidates:
    """Return the candidates that a user has given.

    Parameters
    ----------
    given : array, DataFrame, or sequence of vectors, dicts or numbers
    what : str
        What they are called in errors.

    Raises
    ------
    InputError
        There is none, they differ in length, or something in one is no finite number.
    """
    if hasattr(given, "to_dict") and hasattr(given, "columns"):  # a DataFrame, and no Series
        given = given.to_dict("records")
    form = _form(given, what)
    items = given.tolist() if isinstance(given, np.ndarray) else list(given)
    if not items:
        raise InputError(f"{what} is empty: give at least one vector, dict or number.")
    if form == "":
        form = _form_of(items[0], what)
    names = _names(form, items[0])
    if not names:
        raise InputError(f"{what}[0]={items[0]!r} has no parts: give at least one number.")
    rows = tuple(_row(form, names, one, f"{what}[{n}]") for n, one in enumerate(items))
    return Candidates(form, names, rows)


def _form(given: Any, what: str) -> str:
    """Return the form of an array; "" of other sequences, of which the first one says it."""
    if isinstance(given, np.ndarray):
        if given.ndim not in (1, 2) or given.dtype.kind not in "iuf":
            raise InputError(
                f"{what} is an array of shape {given.shape} of {given.dtype}: give one of numbers with a row for "
                "each candidate."
            )
        return NUMBER if given.ndim == 1 else ARRAY
    if isinstance(given, str | bytes | Mapping) or not hasattr(given, "__iter__"):
        raise InputError(
            f"{what}={given!r:.200}: give an array with a row for each candidate, a list of vectors, or a list of "
            "dicts."
        )
    return ""


def _form_of(first: Any, what: str) -> str:
    if isinstance(first, Mapping):
        return NAMED
    if _is_vector(first):
        return ARRAY if isinstance(first, np.ndarray) else LIST
    if is_number(_plain(first)):
        return NUMBER
    raise InputError(f"{what}[0]={first!r:.200} is no vector, dict or number.")


def _names(form: str, first: Any) -> tuple[str, ...]:
    if form == NAMED:
        return tuple(map(str, first))
    return ("x",) if form == NUMBER else tuple(f"x{n}" for n in range(len(first)))


def _row(form: str, names: tuple[str, ...], given: Any, where: str) -> Values:
    if form == NAMED:
        if not isinstance(given, Mapping) or set(given) != set(names):
            raise InputError(
                f"{where}={given!r:.200} must be a dict with {', '.join(names)}, as the first one."
            )
        parts = [given[name] for name in names]
    elif form == NUMBER:
        parts = [given]
    else:
        parts = list(given) if _is_vector(given) else [given]
    if len(parts) != len(names):
        raise InputError(f"{where} has {len(parts)} parts, but the first one {len(names)}.")
    return tuple(_number(part, where, name) for name, part in zip(names, parts, strict=True))


def _is_vector(given: Any) -> bool:
    if isinstance(given, np.ndarray):
        return given.ndim > 0
    return isinstance(given, Sequence) and not isinstance(given, str | bytes)


def _plain(value: Any) -> Any:
    """Return a number of NumPy's as one of Python's; arrays without dimensions are some, too."""
    is_one = isinstance(value, np.generic) or (isinstance(value, np.ndarray) and not value.ndim)
    return value.item() if is_one else value


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an int that no float can be
        return False


def _number(value: Any, where: str, name: str) -> Any:
    value = _plain(value)
    if not is_number(value) or not _is_finite(value):
        raise InputError(
            f"{where}: {name}={value!r:.200} is no finite number, and a model needs numbers. Encode what you choose "
            "from as numbers, and leave out what is not known."
        )
    return value
