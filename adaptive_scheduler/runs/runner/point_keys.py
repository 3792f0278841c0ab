"""Keys of tasks that are points of a learner: what a driver that was killed finds its points by."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from adaptive_scheduler.optimizers.by_name import OfPoint

#: Letters of a key; a point of more has none.
LONGEST = 5000


class PointKeys:
    """Makes the keys of one learner's points, and reads them.

    A key is ``name:function:point#n``: the learner's name, that of its function, the point as JSON,
    and how often the point was tried before in vain. A point that is no number, text or tuple of these
    has no key.

    Parameters
    ----------
    name : str
        Of the learner.
    """

    def __init__(self, name: str) -> None:
        self.prefix = f"{name}:"
        self._tried: Counter[str] = Counter()

    def stem(self, function: Callable[..., Any], x: Any) -> str:
        """Return the key of a point without the number of its try; "" if it has none."""
        text = _json(x)
        stem = f"{self.prefix}{_name(function)}:{text}"
        return stem if text and len(stem) <= LONGEST else ""

    def key(self, stem: str) -> str:
        """Return the key of the next try of a point."""
        return f"{stem}#{self._tried[stem]}" if stem else ""

    def note_in_vain(self, key: str) -> None:
        """A task of this key has failed or was cancelled: the next try needs another one."""
        stem, _, number = key.rpartition("#")
        self._tried[stem] = max(self._tried[stem], int(number) + 1)

    def read(self, key: str) -> tuple[str, Any] | None:
        """Return stem and point of a key of this learner; None of any other key."""
        stem, _, number = key.rpartition("#")
        if not (key.startswith(self.prefix) and number.isdecimal()):
            return None
        _, _, text = stem.removeprefix(self.prefix).partition(":")
        try:
            return stem, _tuples(msgspec.json.decode(text))
        except msgspec.DecodeError:
            return None


def _name(function: Callable[..., Any]) -> str:
    while isinstance(function, functools.partial | OfPoint):
        function = function.func if isinstance(function, functools.partial) else function.function
    name: str = getattr(function, "__qualname__", type(function).__qualname__)
    return name


def _json(x: Any) -> str:
    """Return a point as JSON; "" if reading it would not give the same point."""
    try:
        text = _encode(x).decode()
        return text if _tuples(msgspec.json.decode(text)) == x else ""
    except (TypeError, ValueError, AttributeError):  # of objects, and of arrays
        return ""


#: NumPy's numbers have `item`.
_encode = msgspec.json.Encoder(enc_hook=lambda number: number.item()).encode


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
