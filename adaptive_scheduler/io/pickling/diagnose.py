"""Finds which part of an object cannot be pickled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from types import FunctionType, MethodType
from typing import Any

import cloudpickle

from adaptive_scheduler.errors import USER_RAISES

_DEPTH = 6


def explain_unpicklable(obj: Any, name: str, known: str, error: BaseException) -> str:
    """Return a text: which object cannot be pickled, which part of it is the cause, what to do.

    Parameters
    ----------
    obj : object
    name : str
        Name of the object for the user, such as ``learners[3]``.
    known : str
        More about it, in brackets, such as its fname.
    error : Exception
        The exception that pickling raised.
    """
    path, culprit = _find(obj, name, _DEPTH)
    cause = "it" if path == name else f"its part {path}, a {type(culprit).__qualname__},"
    return (
        f"{name}{known} cannot be pickled, so no job can load it: {cause} raises "
        f"{type(error).__name__}: {error}. Make that part inside the function instead "
        "(files, locks, connections), or give a plain value."
    )


def _find(obj: Any, path: str, depth: int) -> tuple[str, Any]:
    if depth:
        for child_path, child in _children(obj, path):
            if not _can_be_pickled(child):
                return _find(child, child_path, depth - 1)
    return path, obj


def _can_be_pickled(obj: Any) -> bool:
    try:
        cloudpickle.dumps(obj)
    except USER_RAISES:
        return False
    return True


def _children(obj: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(obj, dict):
        yield from ((f"{path}[{key!r}]", value) for key, value in obj.items())
    elif isinstance(obj, (list, tuple, set, frozenset)):
        yield from ((f"{path}[{index}]", value) for index, value in enumerate(obj))
    elif isinstance(obj, partial):
        yield f"{path}.func", obj.func
        yield f"{path}.args", obj.args
        yield from ((f"{path}.keywords[{key!r}]", v) for key, v in obj.keywords.items())
    elif isinstance(obj, MethodType):
        yield f"{path}.__self__", obj.__self__
    elif isinstance(obj, FunctionType):
        yield from _of_function(obj, path)
    elif not isinstance(obj, type):
        yield from ((f"{path}.{key}", value) for key, value in getattr(obj, "__dict__", {}).items())


def _of_function(function: FunctionType, path: str) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        with suppress(ValueError):  # an empty cell
            yield f"{path}: variable {name!r}", cell.cell_contents
    for name in function.__code__.co_names:
        if name in function.__globals__:
            yield f"{path}: global {name!r}", function.__globals__[name]
    yield f"{path}.__defaults__", function.__defaults__
