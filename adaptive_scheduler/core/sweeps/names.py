"""Names of a sweep's tasks, and so of their folders: by the rule of mlrunner, but never the same for two."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adaptive_scheduler.core.sweeps.values import digest

#: Letters of a text that a name keeps, its last ones.
LONGEST_VALUE = 100
#: Bytes of a name: a file name has at most 255, and that of a log has more than the name.
LONGEST_NAME = 180
#: Of a task without parameters of its own.
NO_PARAMETERS = "default"


def name_of(parameters: Mapping[str, Any], exists: Callable[[str], bool]) -> str:
    """Return the name of a parameter set, which may be that of another one, too.

    Parameters
    ----------
    parameters : mapping
        As the document has them, in its order.
    exists : callable
        Whether a text is the path of something that is there.
    """
    parts = [f"{_key(key)}_{_value(value, exists)}" for key, value in parameters.items()]
    return "-".join(parts).replace("/", "_") or NO_PARAMETERS


def _key(name: str) -> str:
    """``a_snake_case_name`` or ``a-snake-case-name`` as ``aSnCaName``."""
    parts = name.split("-") if "-" in name else name.split("_")
    short = [part[:2].title() if len(part) > 2 else part for part in parts[:-1]]
    return "".join([*short, parts[-1].title()])


def _value(value: Any, exists: Callable[[str], bool]) -> str:
    if isinstance(value, str):
        # of "data/" it is "", as for mlrunner
        text = os.path.basename(value) if exists(value) else re.sub("^[/.]*", "", value)  # noqa: PTH119
        return text.replace("/", "_")[-LONGEST_VALUE:]
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, int | float):
        try:
            return f"{value:g}"
        except OverflowError:  # an int that no float can hold
            return str(value)[-LONGEST_VALUE:]
    return str(value)


def unique_names(sets: Sequence[Mapping[str, Any]], exists: Callable[[str], bool]) -> list[str]:
    """Return a name for each of several different parameter sets, all of them different.

    Those that have one name get six digits of what they are, so that their names do not depend on
    which others there are beside them; so does a name that is too long for a file.
    """
    plain = [name_of(one, exists) for one in sets]
    several = Counter(plain)
    found = [
        name
        if several[name] == 1 and len(name.encode()) <= LONGEST_NAME
        else _with_digits(name, one)
        for name, one in zip(plain, sets, strict=True)
    ]
    if len(set(found)) == len(found):
        return found
    return [_with_digits(name, one, 8) for name, one in zip(plain, sets, strict=True)]


def _with_digits(name: str, parameters: Mapping[str, Any], size: int = 3) -> str:
    digits = digest(parameters, size)
    start = name.encode()[: LONGEST_NAME - 2 * size - 1].decode(errors="ignore")
    return f"{start}-{digits}"
