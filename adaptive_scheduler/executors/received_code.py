"""Rebuilds functions, classes and modules that were pickled by value in another process.

The other half of `io.pickling.by_value`: pickles name the functions of this module. Imports only the
standard library and cloudpickle, as `worker` does.
"""

from __future__ import annotations

import importlib
import io
import linecache
import pickle
import sys
import threading
from contextlib import suppress
from operator import attrgetter
from types import CodeType, FunctionType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import cloudpickle
from cloudpickle.cloudpickle import _class_setstate, _function_setstate

#: Name that mpi4py.futures gives the user's script in a worker rank (``_core.MAIN_RUN_NAME``).
USERS_MAIN = "__worker__"

#: In the globals of each rebuilt module: the names that keep their values.
SETTLED = "__adaptive_scheduler_settled__"

#: Classes rebuilt by any `Modules`, for pickles that are loaded outside of one (pools of threads).
_settled: WeakKeyDictionary[type, frozenset[str]] = WeakKeyDictionary()
_codes: dict[bytes, Any] = {}
_loading = threading.local()


# ----------------------------------------------------------------------- functions by value


class Modules:
    """The user's modules in a worker: all code of one module shares its globals.

    So an initializer sets them for functions that are loaded later, as in the original module.
    """

    def __init__(self) -> None:
        self._known: dict[str, ModuleType] = {}
        #: Classes, with the names of the attributes that keep their values.
        self._classes: dict[type, frozenset[str]] = {}

    def loads(self, data: bytes) -> Any:
        """Unpickle, with functions and classes going into these modules."""
        _loading.modules, _loading.classes = self._known, self._classes
        try:
            return pickle.loads(data)
        finally:
            _loading.modules = _loading.classes = None

    def settle(self) -> None:
        """From now on keep all existing globals, which initializers may have set."""
        for one in self._known.values():
            vars(one)[SETTLED] = frozenset(vars(one))
        for kind in self._classes:
            self._classes[kind] = _settled[kind] = frozenset(vars(kind))


def make_module(name: str, attributes: dict[str, Any]) -> ModuleType:
    """The module for rebuilt functions: that of the current `Modules`, or a new one."""
    known: dict[str, ModuleType] | None = getattr(_loading, "modules", None)
    if known is not None and name in known:
        return known[name]
    made = ModuleType(name)
    vars(made).update(attributes)
    vars(made)[SETTLED] = frozenset()
    if known is not None:
        known[name] = made
    return made


def same_module(one: ModuleType) -> ModuleType:
    """Return the module itself; a pickle refers by it to the module of its functions."""
    return one


def fill_module(one: ModuleType, names: dict[str, Any]) -> None:
    """Set the globals of a rebuilt module, but those that keep their values."""
    settled = vars(one)[SETTLED]
    vars(one).update({name: value for name, value in names.items() if name not in settled})


def set_function_state(function: FunctionType, state: Any) -> None:
    """Set the state of a rebuilt function, and the globals that it uses in its module."""
    own, slots = state
    settled = function.__globals__.get(SETTLED)
    if settled:
        names = {key: v for key, v in slots["__globals__"].items() if key not in settled}
        slots = slots | {"__globals__": names}
    _function_setstate(function, (own, slots))


def set_class_state(kind: type, state: Any) -> type:
    """Set the attributes of a rebuilt class, but those that initializers may have set."""
    known: dict[type, frozenset[str]] | None = getattr(_loading, "classes", None)
    keep = _settled.get(kind) if known is None else known.setdefault(kind, frozenset())
    if keep:
        attributes, slots = state
        own = {name: v for name, v in attributes.items() if name not in keep or name == "_abc_impl"}
        state = own, slots
    _class_setstate(kind, state)
    return kind


# ----------------------------------------------------------------------- their source

#: Lines of files, as they were in the sending process; None: this process has the file.
_sources: dict[str, list[str] | None] = {}
_shows_sources = False


def show_sources() -> None:
    """Let tracebacks in this process show the source that was sent with functions.

    Not called in the user's own process, where the files may be newer.
    """
    global _shows_sources
    _shows_sources = True


def make_code(parts: tuple[Any, ...], filename: str, first: int, text: str) -> CodeType:
    """Rebuild code, with the name of its file and its source."""
    if text and _shows_sources:
        _remember(filename, first, text)
    return CodeType(*parts).replace(co_filename=filename)


def _remember(filename: str, first: int, text: str) -> None:
    if filename not in _sources:
        _sources[filename] = None if _is_here(filename) else []
    lines = _sources[filename]
    if lines is None:
        return
    new = io.StringIO(text).readlines()
    last = first - 1 + len(new)
    lines += ["\n"] * (last - len(lines))
    lines[first - 1 : last] = new
    # no modification time: `linecache.checkcache` keeps it
    linecache.cache[filename] = (sum(map(len, lines)), None, lines, filename)


def _is_here(filename: str) -> bool:
    """Whether this process has imported or read the file itself."""
    files = [getattr(one, "__file__", None) for one in list(sys.modules.values())]
    return filename in files or filename in linecache.cache


# ----------------------------------------------------------------------- by name and by value


def resolve(module: str, name: str, key: bytes, blob: bytes) -> Any:
    """Return what `io.pickling.by_value.dumps_with_code` sent: imported already, or rebuilt.

    A rank that has imported the user's module uses its functions and globals; one that has not
    need not import it.

    Raises
    ------
    ImportError, AttributeError
        It was sent by name only, and does not exist here.
    """
    if not blob:
        return attrgetter(name)(importlib.import_module(module))
    with suppress(AttributeError):
        return attrgetter(name)(_imported(module))
    if key not in _codes:
        _codes[key] = pickle.loads(blob)
        _reply_with_rebuilt_classes()
    return _codes[key]


def _imported(module: str) -> ModuleType | None:
    """A module that this rank has imported; ``__main__`` only if it is the user's script."""
    found = sys.modules.get(module)
    is_launcher = module == "__main__" and getattr(found, "__name__", "") != USERS_MAIN
    return None if is_launcher else found


def _reply_with_rebuilt_classes() -> None:
    """Let this rank send values of rebuilt classes, which no module here defines."""
    from mpi4py import MPI

    MPI.pickle.__init__(_dumps_reply, pickle.loads)  # type: ignore[misc]


def _dumps_reply(obj: object) -> bytes:
    with io.BytesIO() as file:
        _ReplyPickler(file, protocol=pickle.HIGHEST_PROTOCOL).dump(obj)
        return file.getvalue()


class _ReplyPickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles rebuilt classes by name: the receiver has them, a copy would overwrite attributes."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, FunctionType | type) and _is_rebuilt(obj):
            return resolve, (obj.__module__, obj.__qualname__, b"", b"")
        return super().reducer_override(obj)


def _is_rebuilt(obj: Any) -> bool:
    module = obj.__module__
    if "<" in obj.__qualname__ or not isinstance(module, str):
        return False
    if module in sys.modules and module != "__main__":
        return False
    with suppress(KeyError, AttributeError):
        return attrgetter(obj.__qualname__)(sys.modules[module]) is not obj
    return True
