"""A function of named parameters as one of a learner's points; workers need no more to run it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

Named = Callable[..., Any]


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


async def await_by_name(
    function: Named, names: tuple[str, ...], point: tuple[int, tuple[Any, ...]]
) -> Any:
    """Return the value of a point, if the function is an ``async def``."""
    return await function(**dict(zip(names, point[1], strict=True)))


def by_name(function: Named, names: tuple[str, ...]) -> Callable[[Any], Any]:
    """Return a function of points; of an ``async def`` one that runners recognise as such."""
    return (partial(await_by_name, function, names) if is_async(function)
            else ByName(function, names))  # fmt: skip


def is_async(function: Named) -> bool:
    """Whether a function is an ``async def``, or an object that is called by one."""
    own = getattr(function, "__call__", None)  # noqa: B004  the method itself
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(own)
