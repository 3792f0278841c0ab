"""A function of named parameters as one of a learner's points; workers need no more to run it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class ByName:
    """Calls ``function(**parameters)`` for a point ``(number, values)``.

    Parameters
    ----------
    function : callable
    names : tuple of str
        Of the parameters, in the order of the values.
    """

    def __init__(self, function: Callable[..., Any], names: tuple[str, ...]) -> None:
        self.function, self.names = function, names

    def __call__(self, point: tuple[int, tuple[Any, ...]]) -> Any:
        """Return the value of a point."""
        return self.function(**dict(zip(self.names, point[1], strict=True)))
