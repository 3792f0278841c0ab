"""Pickles learners with references to shared records: functions, large objects, long source."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from types import FunctionType
from typing import Any, Protocol

from cloudpickle.cloudpickle import _should_pickle_by_reference

from adaptive_scheduler.io.pickling.by_value import ByValuePickler, Sources

#: Bytes from which an object that a function refers to becomes a shared record.
_LARGE = 16_384
#: Characters from which the source of a function does.
_LONG_SOURCE = 200
_PLAIN = frozenset({bool, int, float, str, type(None)})
#: Types of which any object may be shared; of other types, only objects in `_apart`.
_SHAREABLE = frozenset({FunctionType, partial})


class Output(Protocol):
    """Where records are written."""

    def write(self, data: bytes) -> tuple[int, int]:
        """Append; returns offset and length."""


class Shared:
    """The shared records of a file: each is written when first met, then referred to by number."""

    def __init__(self, out: Output, learners: Sequence[Any]) -> None:
        self._out = out
        self.places: list[tuple[int, int]] = []
        self._numbers: dict[int, int | None] = {}
        self._apart: set[int] = set()
        self._named: set[int] = set()  # functions and classes that are pickled by name
        self.sources = _SharedSources(self)
        self._buffer = io.BytesIO()
        self._pickler = _Pickler(self._buffer, self, None)
        #: Objects whose id is used above; kept alive, because ids are reused.
        self._alive: list[Any] = list(learners)
        seen: set[int] = set()
        for function in (f for learner in learners for f in _functions(learner)):
            (self._apart if id(function) in seen else seen).add(id(function))
            self._alive.append(function)

    def dumps(self, learner: Any) -> bytes:
        """Pickle a learner, with shared objects as their numbers."""
        self._buffer.seek(0)
        self._buffer.truncate()
        self._pickler.clear_memo()
        self._pickler.dump(learner)
        return self._buffer.getvalue()

    def _dumps_apart(self, obj: Any) -> bytes:
        """Pickle a shared object; other shared objects within it go as their numbers."""
        buffer = io.BytesIO()
        _Pickler(buffer, self, obj).dump(obj)
        return buffer.getvalue()

    def number(self, obj: Any) -> int | None:
        """The number of the record of `obj`; None if it is not shared."""
        key = id(obj)
        if key not in self._apart and not isinstance(obj, FunctionType):
            return None
        if key not in self._numbers:
            self._alive.append(obj)
            self._numbers[key] = None  # while it is being written: no record refers to itself
            if not (isinstance(obj, FunctionType) and _should_pickle_by_reference(obj)):
                self.share_large_values(obj)
                self.places.append(self._out.write(self._dumps_apart(obj)))
                self._numbers[key] = len(self.places) - 1
        return self._numbers[key]

    def is_inline(self, obj: Any) -> bool:
        """Whether `obj` is surely not shared, as nearly all objects; called for each object."""
        return type(obj) not in _SHAREABLE and id(obj) not in self._apart

    def is_named(self, obj: Any) -> bool:
        """Whether `obj` is known to be pickled by name."""
        return id(obj) in self._named

    def note_named(self, obj: Any) -> None:
        """Remember that it is: finding out takes longer than the rest of a learner."""
        self._named.add(id(obj))
        self._alive.append(obj)

    def share(self, obj: Any) -> None:
        """Make `obj` a shared record from now on."""
        self._apart.add(id(obj))
        self._alive.append(obj)

    def share_large_values(self, function: Any) -> None:
        """Share the large objects that a function or a partial refers to."""
        for value in _held(function):
            if _size(value) >= _LARGE and id(value) not in self._apart:
                self.share(value)


class _SharedSources(Sources):
    """Shares long source texts, so that functions made in a loop have one copy."""

    def __init__(self, shared: Shared) -> None:
        super().__init__()
        self._shared = shared

    def text(self, filename: str, lines: range) -> str:
        """The text of these lines; a long one is shared."""
        is_new = (filename, lines) not in self._texts
        text = super().text(filename, lines)
        if is_new and len(text) > _LONG_SOURCE:
            self._shared.share(text)
        return text


class _Pickler(ByValuePickler):
    """Pickles shared objects as their numbers."""

    def __init__(self, buffer: io.BytesIO, shared: Shared, root: Any) -> None:
        super().__init__(buffer, shared.sources)
        self._shared = shared
        self._root = root

    def persistent_id(self, obj: Any) -> int | None:
        """The number of the shared record; None pickles the object in place.

        Within a shared function, other functions are pickled in place: two functions that call
        each other could not be loaded otherwise.
        """
        if self._shared.is_inline(obj):
            return None
        if type(obj) is partial:
            self._shared.share_large_values(obj)
        if obj is self._root:
            return None
        if isinstance(obj, FunctionType) and isinstance(self._root, FunctionType):
            return None
        return self._shared.number(obj)

    def reducer_override(self, obj: Any) -> Any:
        """Reduce a learner to its parts: adaptive's own pickle hides the function in bytes."""
        if self._shared.is_named(obj):
            return NotImplemented
        if _is_learner(obj):
            return _apart(obj)
        reduced = super().reducer_override(obj)
        if reduced is NotImplemented and isinstance(obj, (type, FunctionType)):
            self._shared.note_named(obj)
        return reduced


def _is_learner(obj: Any) -> bool:
    kind = type(obj)
    return (
        hasattr(kind, "ask")
        and hasattr(kind, "tell")
        and hasattr(kind, "__setstate__")
        and kind.__reduce__ is object.__reduce__  # type: ignore[comparison-overlap]
        and "function" in vars(obj)
        and not {"learner", "learners"}
        & vars(obj).keys()  # their state is the state of their parts
    )


def _apart(learner: Any) -> tuple[Any, ...]:
    """A learner as (function that rebuilds it, its parts).

    Plain settings are added, because adaptive 1.5 does not pickle all of them: an AverageLearner1D
    is loaded with the default ``delta``.
    """
    own = vars(learner)
    functions = {key: own[key] for key in ("function", "_original_function") if key in own}
    plain = {key: value for key, value in own.items() if type(value) in _PLAIN}
    hollow = object.__new__(type(learner))
    vars(hollow).update(own | dict.fromkeys(functions, _hole))
    return _together, (type(learner), hollow.__getstate__(), plain, functions)


#: The names of this function and the next are in the pickles of run folders.
def _together(kind: type[Any], state: Any, plain: dict[str, Any], functions: dict[str, Any]) -> Any:
    learner = object.__new__(kind)
    learner.__setstate__(state)
    vars(learner).update(plain)
    vars(learner).update(functions)
    return learner


def _hole(*_: object) -> None:
    """Placeholder of the function in a learner's state."""


def _functions(learner: Any) -> Iterator[Any]:
    """The functions of a learner and of the learners in it (BalancingLearner, DataSaver)."""
    own = vars(learner) if hasattr(learner, "__dict__") else {}
    if own.get("function") is not None:
        yield own["function"]
    inner = own.get("learners")
    for part in inner if isinstance(inner, list) else [own.get("learner")]:
        if part is not None:
            yield from _functions(part)


def _held(obj: Any) -> list[Any]:
    if isinstance(obj, partial):
        return [*obj.args, *obj.keywords.values()]
    if not isinstance(obj, FunctionType):
        return []
    cells = []
    for cell in obj.__closure__ or ():
        with suppress(ValueError):  # an empty cell
            cells.append(cell.cell_contents)
    names = (obj.__globals__.get(name) for name in obj.__code__.co_names)
    return [*cells, *(obj.__defaults__ or ()), *(obj.__kwdefaults__ or {}).values(), *names]


def _size(value: Any) -> int:
    if isinstance(value, (bytes, bytearray, str)):
        return len(value)
    size = getattr(value, "nbytes", 0)
    return size if isinstance(size, int) else 0
