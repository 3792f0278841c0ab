"""Values of parameters: which there are, and when two are the same one."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from adaptive_scheduler.errors import InputError

#: Lists in lists in a value.
_DEEPEST = 20


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
        It is something else, has a NUL, or contains itself.
    """
    if isinstance(value, str) and "\0" in value:
        raise InputError(f"{what}: {value!r:.80} has a NUL, which no program can be given.")
    if depth > _DEEPEST:
        raise InputError(f"{what} has too many lists in lists, or contains itself.")
    if isinstance(value, list):
        for one in value:
            check_value(one, what, depth + 1)
    elif isinstance(value, dict):
        for key, one in value.items():
            check_value(check_name(key, what), what)
            check_value(one, what, depth + 1)
    elif value is not None and not isinstance(value, str | int | float | bool):
        raise InputError(
            f"{what}: {value!r:.80} is no number, text or truth value: put quotes around it."
        )
    return value


def check_name(name: Any, what: str) -> str:
    """Return a name if it is a text.

    Raises
    ------
    InputError
        YAML has read it as something else, as it does with ``on``, ``no`` and ``1``.
    """
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"{what}: the name {name!r} is no text for YAML: put quotes around it.")
    return name
