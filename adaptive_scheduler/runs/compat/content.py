"""Hashes a value by its content: equal values have equal hashes in every process, others do not.

The hash of a value made of texts, numbers, lists and dicts is the MD5 of its pickle, as in
adaptive-scheduler 2, so that files that are named by it are found. What makes pickles of equal values
differ is mended before: objects that are there twice, the order of dicts and sets, views of arrays.
"""

from __future__ import annotations

import ast
import copyreg
import hashlib
import inspect
import pickle
import textwrap
from collections.abc import Callable, Iterable
from types import CodeType, FunctionType, ModuleType
from typing import Any

#: Of all Pythons alike, whatever the default of one is.
_PROTOCOL = 4
#: Plain values that a pickle holds as they are.
_NUMBERS = (int, float, bool, type(None))


def hash_anything(x: Any) -> str:
    """Return a hash of a value's content, of 32 characters.

    Parameters
    ----------
    x : object
        Bytes, or anything made of numbers, texts, arrays, lists, dicts, sets, functions and
        objects that can be pickled. A function is known by its source and what it closes over.

    Returns
    -------
    str
        Equal for equal values of equal types, in every process.
    """
    if isinstance(x, (bytes, bytearray)):
        return _md5(x)
    return _md5(pickle.dumps(_Content().of(x), protocol=_PROTOCOL))


def _md5(data: bytes | bytearray) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


class _Content:
    """Rebuilds a value of plain parts, such that equal values have equal pickles."""

    def __init__(self) -> None:
        #: A pickle refers back to an object that was there before: so equal texts are made one.
        self._texts: dict[tuple[type, Any], Any] = {}
        #: Objects around the present one, by id: one that holds itself ends.
        self._around: dict[int, int] = {}

    def of(self, x: Any) -> Any:
        kind = type(x)
        if kind in _NUMBERS:
            return x
        if kind in (str, bytes):
            return self._texts.setdefault((kind, x), x)
        if id(x) in self._around:
            return self._tagged("itself", self._around[id(x)])
        self._around[id(x)] = len(self._around)
        try:
            return self._compound(x)
        finally:
            del self._around[id(x)]

    def _compound(self, x: Any) -> Any:
        if type(x) in (list, tuple):
            return type(x)([self.of(one) for one in x])
        if type(x) is dict:
            return dict(self._ordered((self.of(key), self.of(value)) for key, value in x.items()))
        if isinstance(x, (set, frozenset)):
            return self._tagged(type(x).__qualname__, self._ordered(self.of(one) for one in x))
        if isinstance(x, type):  # also one of arrays
            return self._tagged("name", *_name(x))
        if hasattr(x, "tobytes") and hasattr(x, "dtype") and hasattr(x, "shape"):
            return self._array(x)
        return self._object(x)

    def _tagged(self, *parts: Any) -> tuple[Any, ...]:
        """A kind and what it holds; no plain value has the mark."""
        return (self.of("adaptive_scheduler content"), *(self._known(part) for part in parts))

    def _known(self, part: Any) -> Any:
        return self.of(part) if isinstance(part, str) else part

    def _ordered(self, parts: Iterable[Any]) -> list[Any]:
        """Sort what has no order of its own: by the content of the keys, texts as texts."""
        listed = list(parts)
        try:
            return sorted(listed)
        except TypeError:  # keys of several kinds, or values that have no order
            return sorted(listed, key=lambda one: pickle.dumps(_Content().of(one), _PROTOCOL))

    def _array(self, x: Any) -> Any:
        if hasattr(type(x), "__array_finalize__") and type(x).__module__ != "numpy":
            return self._object(x.copy(order="C"))  # of a class with more: a unit, a mask
        if x.dtype.hasobject:
            content: Any = self.of(x.tolist())
        else:
            content = x.tobytes()  # in C order, whatever the memory's
        return self._tagged("array", str(x.dtype.descr), tuple(x.shape), content)

    def _object(self, x: Any) -> Any:
        if isinstance(x, FunctionType):
            return self._function(x)
        if isinstance(x, CodeType):
            return self._code(x)
        if isinstance(x, ModuleType):
            return self._tagged("name", *_name(x))
        if hasattr(type(x), "stands_for"):  # of ours: a function around a function
            return self._tagged("object", self.of(type(x)), self.of(x.stands_for))
        reduce = copyreg.dispatch_table.get(type(x))
        reduced: Any = reduce(x) if reduce else x.__reduce_ex__(_PROTOCOL)
        if isinstance(reduced, str):  # a global
            return self._tagged("name", pickle.whichmodule(x, reduced), reduced)  # type: ignore[attr-defined]
        make, arguments, *more = reduced
        state, items, pairs = [*more[:3], None, None, None][:3]
        return self._tagged(
            "object",
            *(self.of(part) for part in (type(x), make, arguments, state)),
            self.of(list(items or ())),
            self.of(dict(pairs or ())),
        )

    def _function(self, function: FunctionType) -> Any:
        source = _source(function)
        return self._tagged(
            "function",
            *_name(function),
            source or self.of(function.__code__),
            self.of(function.__defaults__),
            self.of(function.__kwdefaults__),
            self.of([cell.cell_contents for cell in function.__closure__ or () if _is_set(cell)]),
        )

    def _code(self, code: CodeType) -> Any:
        constants = [one for one in code.co_consts if one != code.co_name]
        return self._tagged(
            "code",
            code.co_code,
            self.of(code.co_names),
            self.of(code.co_varnames),
            self.of(constants),
        )


def _name(x: Any) -> tuple[str, str]:
    return str(getattr(x, "__module__", "")), str(getattr(x, "__qualname__", x.__name__))


def _is_set(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:  # of a variable that has no value yet
        return False
    return True


def _source(function: Callable[..., Any]) -> str:
    """Return a function's source without comments and layout; "" of a lambda, and where there is none.

    Other than compiled code it is the same in another version of Python.
    """
    if function.__name__ == "<lambda>":  # its line may hold others
        return ""
    try:
        return ast.unparse(ast.parse(textwrap.dedent(inspect.getsource(function))))
    except (OSError, TypeError, SyntaxError):
        return ""
