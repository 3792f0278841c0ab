"""Sizes of memory as people write them: the one grammar of all arguments and options."""

from __future__ import annotations

import math
import operator
import re

from adaptive_scheduler.errors import InputError

#: What is accepted, for errors and for ``--help``.
FORMS = "'500M', '4GB', '4GiB', '1.5T'"
MIB = 2**20
#: As batch systems count: K, KB and KiB are all 1024 bytes.
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "P": 2**50}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGTP]?)(?:I?B)?", re.IGNORECASE)
_PLAIN = re.compile(r"[0-9]+(?:\.[0-9]+)?")

#: What an argument that is a size may be.
SizeLike = int | str


def size(value: object, name: str, unit: int = 1) -> int:
    """Return the bytes that a number or a text means, rounded up.

    Parameters
    ----------
    value : int or str
        A number, also as a text of digits alone, counts in `unit`. Texts are those of `FORMS`.
    name : str
        The argument's name, for the error.
    unit : int
        Bytes, `MIB` for memory as Slurm and PBS take it.

    Raises
    ------
    InputError
        It is neither, or not larger than zero.
    """
    found = _bytes(value, unit)
    if found is None or not 0 < found < 2**63:
        number = "a number of MiB" if unit == MIB else "a number of bytes"
        raise InputError(
            f"{name}={value!r} is not understood. Write {number}, or a text such as {FORMS}."
        )
    return math.ceil(found)


def _bytes(value: object, unit: int) -> float | None:
    if isinstance(value, str):
        text = value.strip()
        if _PLAIN.fullmatch(text):
            return float(text) * unit
        match = _SIZE.fullmatch(text)
        return float(match[1]) * _UNITS[match[2].upper()] if match else None
    try:
        return None if isinstance(value, bool) else operator.index(value) * unit  # type: ignore[arg-type]
    except TypeError:
        return None
