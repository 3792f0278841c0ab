"""Compares functions and values, to find out whether a user has edited them since the last start.

A function that was unpickled is never the object that a notebook cell defines again, so code,
defaults, closures and the globals that it uses are compared. The answer is True or False where
it is certain, and None where it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

#: Types that are compared by value alone.
_PLAIN = (int, float, complex, str, bytes, bool, type(None))
#: Types of a function's globals that are compared; others (tables that an initializer loads,
#: caches) may differ although nothing was edited.
_PROGRAM = (int, float, complex, str, bytes, FunctionType, partial, type, ModuleType)
_CODE = (
    "co_code", "co_names", "co_varnames", "co_freevars", "co_cellvars", "co_argcount",
    "co_posonlyargcount", "co_kwonlyargcount", "co_flags",
)  # fmt: skip
#: Levels of objects within objects that are compared.
_DEEPEST = 20


class Comparison:
    """Compares pairs of objects, and remembers the results."""

    def __init__(self) -> None:
        #: By ids. The objects are kept too, because ids are reused after an object is gone.
        self._known: dict[tuple[int, int], tuple[Any, Any, bool | None]] = {}
        #: Bytes of the arrays that are kept.
        self.kept = 0

    def same(self, old: Any, new: Any, depth: int = 0) -> bool | None:
        """Return True if they are certainly the same, False if certainly not, else None."""
        if old is new:
            return True
        if _name(type(old)) != _name(type(new)):
            return False
        if depth > _DEEPEST:
            return None
        if isinstance(old, _PLAIN):
            return bool(old == new) or repr(old) == repr(new)
        key = (id(old), id(new))
        if key not in self._known:
            self._known[key] = (old, new, True)  # for a reference to itself, found below
            self._known[key] = (old, new, self._comparer(old)(old, new, depth + 1))
        return self._known[key][2]

    def _comparer(self, old: Any) -> Callable[[Any, Any, int], bool | None]:
        comparers: tuple[tuple[Any, Callable[[Any, Any, int], bool | None]], ...] = (
            (FunctionType, self._functions),
            (CodeType, self._codes),
            (partial, self._partials),
            (MethodType, self._methods),
            (type, self._classes),
            (ModuleType, lambda old, new, _: _is(old.__name__ == new.__name__)),
            (Mapping, self._mappings),
            ((list, tuple), self._sequences),
        )
        return next((one for kind, one in comparers if isinstance(old, kind)), self._objects)

    def _all(self, pairs: Iterable[tuple[Any, Any]], depth: int) -> bool | None:
        found: bool | None = True
        for old, new in pairs:
            one = self.same(old, new, depth)
            if one is False:
                return False
            found = found and one
        return found

    # ------------------------------------------------------------------ programs

    def _functions(self, old: FunctionType, new: FunctionType, depth: int) -> bool | None:
        parts = [
            (_undocumented(old), _undocumented(new)),
            (old.__defaults__, new.__defaults__),
            (old.__kwdefaults__, new.__kwdefaults__),
            (_cells(old), _cells(new)),
        ]
        names = sorted(_names(old.__code__))
        used = [(old.__globals__.get(name), new.__globals__.get(name)) for name in names]
        parts += [pair for pair in used if all(isinstance(one, _PROGRAM) for one in pair)]
        return self._all(parts, depth)

    def _codes(self, old: CodeType, new: CodeType, depth: int) -> bool | None:
        if any(getattr(old, name) != getattr(new, name) for name in _CODE):
            return False
        return self.same(old.co_consts, new.co_consts, depth)

    def _partials(self, old: partial[Any], new: partial[Any], depth: int) -> bool | None:
        pairs = [(old.func, new.func), (old.args, new.args), (old.keywords, new.keywords)]
        return self._all(pairs, depth)

    def _methods(self, old: MethodType, new: MethodType, depth: int) -> bool | None:
        return self._all([(old.__func__, new.__func__), (old.__self__, new.__self__)], depth)

    def _classes(self, old: type, new: type, depth: int) -> bool | None:
        if _name(old) != _name(new):
            return False
        return self._mappings(_methods_of(old), _methods_of(new), depth)

    # -------------------------------------------------------------------- values

    def _mappings(self, old: Any, new: Any, depth: int) -> bool | None:
        if old.keys() != new.keys():
            return False
        return self._all(((old[key], new[key]) for key in old), depth)

    def _sequences(self, old: Any, new: Any, depth: int) -> bool | None:
        if len(old) != len(new):
            return False
        return self._all(zip(old, new, strict=True), depth)

    def _objects(self, old: Any, new: Any, depth: int) -> bool | None:
        if hasattr(type(old), "stands_for"):  # of ours: a function around a function
            return self.same(old.stands_for, new.stands_for, depth)
        if hasattr(old, "tobytes") and hasattr(old, "shape"):  # an array
            self.kept += old.nbytes + new.nbytes
            return _is(old.shape == new.shape and old.tobytes() == new.tobytes())
        if hasattr(old, "__dict__"):
            return self._all([(type(old), type(new)), (vars(old), vars(new))], depth)
        equal = old == new
        return True if equal is True else None


def _is(value: object) -> bool:
    return bool(value)


def _name(kind: type) -> tuple[str, str]:
    return kind.__module__, kind.__qualname__


def _undocumented(function: FunctionType) -> CodeType:
    """Return its code without the docstring."""
    code, doc = function.__code__, function.__doc__
    if doc is None or not code.co_consts or code.co_consts[0] != doc:
        return code
    return code.replace(co_consts=(None, *code.co_consts[1:]))


def _cells(function: FunctionType) -> list[Any]:
    cells = []
    for cell in function.__closure__ or ():
        try:
            cells.append(cell.cell_contents)
        except ValueError:  # an empty one
            cells.append(None)
    return cells


def _names(code: CodeType) -> set[str]:
    """Return the global names that a function uses, also in functions within it."""
    inner = [_names(part) for part in code.co_consts if isinstance(part, CodeType)]
    return set(code.co_names).union(*inner)


def _methods_of(kind: type) -> dict[str, Any]:
    return {name: part for name, part in vars(kind).items() if isinstance(part, FunctionType)}
