"""Values of parameters: which there are, and when two are the same one."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from adaptive_scheduler.errors import InputError

#: Lists in lists in a value.
_DEEPEST = 20
#: Bits of a whole number: Python writes none that has more than 4,300 digits.
_MOST_BITS = 10_000


def as_text(value: Any) -> str:
    """Return a text that is the same only for the same value: 1, 1.0, True and "1" are four."""
    return json.dumps(value, sort_keys=True)


def digest(value: Any, size: int = 8) -> str:
    """Return a short name of a value, of `size` bytes."""
    return hashlib.blake2b(as_text(value).encode(), digest_size=size).hexdigest()


def check_value(value: Any, what: str, depth: int = 0) -> Any:
    """Return a value of a parameter if it is one.

    Raises
    ------
    InputError
        It is something else, has what no program can be given, or contains itself.
    """
    if depth > _DEEPEST:
        raise InputError(f"{what} has too many lists in lists, or contains itself.")
    if isinstance(value, str):
        _check_text(value, what)
    elif isinstance(value, int):
        _check_length(value, what)
    elif isinstance(value, list):
        for one in value:
            check_value(one, what, depth + 1)
    elif isinstance(value, dict):
        check_value([check_name(key, what) for key in value], what, depth)
        check_value(list(value.values()), what, depth)
    elif value is not None and not isinstance(value, float):
        raise InputError(
            f"{what}: {value!r:.80} is no number, text or truth value: put quotes around it."
        )
    return value


def _check_text(value: str, what: str) -> None:
    try:
        has_nul = b"\0" in value.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{what}: {value!r:.80} is no Unicode text ({error.reason}).") from error
    if has_nul:
        raise InputError(f"{what}: {value!r:.80} has a NUL, which no program can be given.")


def _check_length(value: int, what: str) -> None:
    if value.bit_length() > _MOST_BITS:
        raise InputError(f"{what}: the number is too long. For a text put quotes around it.")


def check_name(name: Any, what: str) -> str:
    """Return a name if it is a text.

    Raises
    ------
    InputError
        YAML has read it as something else, as it does with ``on``, ``no`` and ``1``.
    """
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"{what}: the name {name!r} is no text for YAML: put quotes around it.")
    _check_text(name, what)
    return name
