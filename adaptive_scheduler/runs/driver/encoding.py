"""Pickles functions and arguments of tasks."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType
from typing import Any
from weakref import WeakKeyDictionary

from adaptive_scheduler.errors import USER_RAISES, UnpicklableError
from adaptive_scheduler.executors.worker import Program
from adaptive_scheduler.io.pickling.by_value import dumps_by_value
from adaptive_scheduler.io.pickling.diagnose import explain_unpicklable


class _NotPlainError(Exception):
    """An object has a class, which may have to travel with it."""


class _PlainPickler(pickle.Pickler):
    """Pickles numbers, texts and containers of them, which is most of all, in a microsecond."""

    def reducer_override(self, _obj: Any) -> Any:
        raise _NotPlainError


def encode_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """Pickle the arguments of a call; classes that are not installed go along.

    Raises
    ------
    UnpicklableError
        Names the argument.
    """
    with io.BytesIO() as file:
        try:
            _PlainPickler(file, pickle.HIGHEST_PROTOCOL).dump((args, kwargs))
            return file.getvalue()
        except _NotPlainError:
            pass
        except USER_RAISES:  # too deep, for example: the other one names it
            pass
    try:
        return dumps_by_value((args, kwargs), with_source=False)
    except USER_RAISES as error:  # the border to the user's code: anybody's __reduce__
        raise _named(args, kwargs, error) from error


def _named(args: tuple[Any, ...], kwargs: dict[str, Any], error: BaseException) -> UnpicklableError:
    for name, value in [*((f"argument {n}", one) for n, one in enumerate(args)), *kwargs.items()]:
        try:
            dumps_by_value(value, with_source=False)
        except USER_RAISES as own:  # the border to the user's code
            return UnpicklableError(explain_unpicklable(value, name, "", own))
    return UnpicklableError(explain_unpicklable((args, kwargs), "arguments", "", error))


class FunctionKeys:
    """Pickles functions, each once.

    Parameters
    ----------
    put : callable
        Given key and pickle of each.
    initializers : list of callable
        Each worker calls them before its first task.
    """

    def __init__(self, put: Callable[[str, bytes], None], initializers: list[Any]) -> None:
        self._put = put
        self._initializers = dumps_by_value(initializers) if initializers else b""
        self._keys: WeakKeyDictionary[Any, str] = WeakKeyDictionary()

    def key_of(self, function: Callable[..., Any]) -> str:
        """Return the digest of a function's pickle.

        Raises
        ------
        UnpicklableError
            Names it.
        """
        is_fixed = isinstance(function, FunctionType | BuiltinFunctionType)
        if is_fixed and (known := self._keys.get(function)) is not None:
            return known
        try:
            pickled = dumps_by_value(function)
        except USER_RAISES as error:  # the border to the user's code
            name = getattr(function, "__qualname__", type(function).__qualname__)
            raise UnpicklableError(
                explain_unpicklable(function, f"function {name}", "", error)
            ) from error
        group = hashlib.blake2b(self._initializers, digest_size=16).digest()
        program = Program(os.getcwd(), tuple(sys.path), group, self._initializers, pickled)
        data = pickle.dumps(program)
        key = hashlib.blake2b(data, digest_size=16).hexdigest()
        self._put(key, data)
        if is_fixed:
            self._keys[function] = key
        return key
