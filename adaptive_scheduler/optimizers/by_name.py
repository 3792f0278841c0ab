"""A function as one of a learner's points calls it; workers need no more to run it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any


class OfPoint:
    """Calls a function for a point ``(number, values)``.

    Parameters
    ----------
    function : callable
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def argument(self, point: tuple[int, tuple[Any, ...]]) -> Any:
        """Return what the function is given for a point."""
        raise NotImplementedError

    def __call__(self, point: tuple[int, tuple[Any, ...]]) -> Any:
        """Return the value of a point."""
        return self.function(self.argument(point))


class ByName(OfPoint):
    """Calls ``function(**parameters)``.

    Parameters
    ----------
    function : callable
    names : tuple of str
        Of the parameters, in the order of the values.
    """

    def __init__(self, function: Callable[..., Any], names: tuple[str, ...]) -> None:
        super().__init__(function)
        self.names = names

    def argument(self, point: tuple[int, tuple[Any, ...]]) -> dict[str, Any]:
        """Return the parameters by name."""
        return dict(zip(self.names, point[1], strict=True))

    def __call__(self, point: tuple[int, tuple[Any, ...]]) -> Any:
        """Return the value of a point."""
        return self.function(**self.argument(point))


class ByVector(OfPoint):
    """Calls ``function([1.0, 2.0])``, or with an array."""

    def __init__(self, function: Callable[..., Any], is_array: bool) -> None:
        super().__init__(function)
        self._is_array = is_array

    def argument(self, point: tuple[int, tuple[Any, ...]]) -> Any:
        """Return the vector."""
        if not self._is_array:
            return list(point[1])
        import numpy as np

        return np.array(point[1])


class ByNumber(OfPoint):
    """Calls ``function(1.0)``."""

    def argument(self, point: tuple[int, tuple[Any, ...]]) -> Any:
        """Return the number."""
        return point[1][0]


async def await_value(call: OfPoint, point: tuple[int, tuple[Any, ...]]) -> Any:
    """Return the value of a point, if the function is an ``async def``."""
    return await call(point)


def recognised(call: OfPoint) -> Callable[[Any], Any]:
    """Return the same; of an ``async def`` a function that runners know as one."""
    return partial(await_value, call) if is_async(call.function) else call


def is_async(function: Callable[..., Any]) -> bool:
    """Whether a function is an ``async def``, or an object that is called by one."""
    own = getattr(function, "__call__", None)  # noqa: B004  the method itself
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(own)
