"""What an error means, when it comes and what to do: read from the docstring of its class."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from adaptive_scheduler import errors
from adaptive_scheduler.core.suggestions import close_names
from adaptive_scheduler.errors import AdaptiveSchedulerError, InputError

#: Special cases that have classes of their own, which are not public, and the error that each is.
SPECIAL_CASES: Mapping[str, str] = {
    "ChangedError": "DataFileError",
    "HeadGoneError": "RunError",
    "LeaseLostError": "DataFileError",
    "MaxRestartsReachedError": "RunError",
    "NotPickledError": "UnpicklableError",
}


@dataclass(frozen=True)
class ErrorHelp:
    """What is known of one error.

    Attributes
    ----------
    name : str
    is_a : str
        The errors that ``except`` catches it by, the nearest first.
    meaning : str
    when : str
    remedy : str
    example : str
        Text of such an error.
    """

    name: str
    is_a: str
    meaning: str
    when: str
    remedy: str
    example: str


def all_errors() -> list[ErrorHelp]:
    """Return help on each error, in the order of the file in which they are."""
    found = [thing for thing in vars(errors).values() if _is_error(thing)]
    return [_read(kind) for kind in found]


def error_help(typed: str, commands: Iterable[str] = ()) -> ErrorHelp:
    """Return help on an error, named as in a traceback; case does not matter.

    Parameters
    ----------
    typed : str
    commands : iterable of str
        Names that may have been meant as well.

    Raises
    ------
    InputError
        There is no such error; the text names the nearest.
    """
    known = {one.name: one for one in all_errors()}
    bare = typed.strip().rstrip(":").rpartition(".")[2]
    by_lower = {name.lower(): name for name in (*known, *SPECIAL_CASES)}
    name = by_lower.get(bare.lower())
    if name is None:
        others = {one: one for one in commands}
        raise InputError(
            f"There is no error or command {typed!r}.{_nearest(bare, by_lower | others)}"
        )
    return known[SPECIAL_CASES.get(name, name)]


def _nearest(bare: str, by_lower: Mapping[str, str]) -> str:
    close = close_names(bare.lower(), by_lower) or [one for one in by_lower if bare.lower() in one]
    names = [by_lower[one] for one in close[:2]]
    if not names:
        return f" These have help: {', '.join(sorted(by_lower.values()))}."
    return f" Did you mean {' or '.join(names)}?"


def _is_error(thing: object) -> bool:
    return isinstance(thing, type) and issubclass(thing, AdaptiveSchedulerError)


def _read(kind: type[AdaptiveSchedulerError]) -> ErrorHelp:
    paragraphs = [" ".join(one.split()) for one in (inspect.getdoc(kind) or "").split("\n\n")]
    parts = dict(one.split(": ", 1) for one in paragraphs if ": " in one)
    return ErrorHelp(
        name=kind.__name__,
        is_a=", ".join(one.__name__ for one in kind.__mro__[1:-2]),
        meaning=paragraphs[0],
        when=parts.get("When", ""),
        remedy=parts.get("Remedy", ""),
        example=parts.get("Example", ""),
    )
