"""How functions that were sent by value arrive in another process.

Imports only the standard library and cloudpickle, as `worker` does.
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

#: What mpi4py.futures names the user's script in a worker rank (its ``_core.MAIN_RUN_NAME``).
USERS_MAIN = "__worker__"

#: In the globals of each module that came by value: the names that keep the values they have.
SETTLED = "__adaptive_scheduler_settled__"

#: Classes that came to a worker in this process, for what a client reads beside it (threads).
_settled: WeakKeyDictionary[type, frozenset[str]] = WeakKeyDictionary()
_codes: dict[bytes, Any] = {}
_arriving = threading.local()


# ----------------------------------------------------------------------- functions by value


class Modules:
    """The user's modules in a worker: what came by value of one module shares its globals.

    So an initializer sets them for the functions that come after it, as it would where all are
    written.
    """

    def __init__(self) -> None:
        self._known: dict[str, ModuleType] = {}
        #: Classes that came by value, with the names of the attributes that keep their values.
        self._classes: dict[type, frozenset[str]] = {}

    def loads(self, data: bytes) -> Any:
        """Unpickle functions into these modules."""
        _arriving.modules, _arriving.classes = self._known, self._classes
        try:
            return pickle.loads(data)
        finally:
            _arriving.modules = _arriving.classes = None

    def settle(self) -> None:
        """From now on what comes changes no global that there is: initializers may have set it."""
        for one in self._known.values():
            vars(one)[SETTLED] = frozenset(vars(one))
        for kind in self._classes:
            self._classes[kind] = _settled[kind] = frozenset(vars(kind))


def make_module(name: str, attributes: dict[str, Any]) -> ModuleType:
    """The module of functions that come by value: one for each pickle, or that of `Modules`."""
    known: dict[str, ModuleType] | None = getattr(_arriving, "modules", None)
    if known is not None and name in known:
        return known[name]
    made = ModuleType(name)
    vars(made).update(attributes)
    vars(made)[SETTLED] = frozenset()
    if known is not None:
        known[name] = made
    return made


def same_module(one: ModuleType) -> ModuleType:
    """Return it: a pickle's way to say that a module is the one of its functions."""
    return one


def fill_module(one: ModuleType, names: dict[str, Any]) -> None:
    """Give a module that came by value what it defines."""
    settled = vars(one)[SETTLED]
    vars(one).update({name: value for name, value in names.items() if name not in settled})


def set_function_state(function: FunctionType, state: Any) -> None:
    """Give a function its state, and its module the globals that the function uses."""
    own, slots = state
    settled = function.__globals__.get(SETTLED)
    if settled:
        names = {key: v for key, v in slots["__globals__"].items() if key not in settled}
        slots = slots | {"__globals__": names}
    _function_setstate(function, (own, slots))


def set_class_state(kind: type, state: Any) -> type:
    """Give a class its attributes, but those that initializers may have set."""
    known: dict[type, frozenset[str]] | None = getattr(_arriving, "classes", None)
    keep = _settled.get(kind) if known is None else known.setdefault(kind, frozenset())
    if keep:
        attributes, slots = state
        own = {name: v for name, v in attributes.items() if name not in keep or name == "_abc_impl"}
        state = own, slots
    _class_setstate(kind, state)
    return kind


# ----------------------------------------------------------------------- their source

#: Lines of files as they were where the functions come from; None: what is here is as good.
_sources: dict[str, list[str] | None] = {}
_shows_sources = False


def show_sources() -> None:
    """Let tracebacks of this process show the lines that come with functions.

    Not in the user's own process: the files there are newer.
    """
    global _shows_sources
    _shows_sources = True


def make_code(parts: tuple[Any, ...], filename: str, first: int, text: str) -> CodeType:
    """The code of a function that came by value, with its file's name and its lines."""
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
    # without a time: `linecache.checkcache` leaves it alone
    linecache.cache[filename] = (sum(map(len, lines)), None, lines, filename)


def _is_here(filename: str) -> bool:
    """Whether this process has the file itself: it was imported, or read before."""
    files = [getattr(one, "__file__", None) for one in list(sys.modules.values())]
    return filename in files or filename in linecache.cache


# ----------------------------------------------------------------------- by name and by value


def resolve(module: str, name: str, key: bytes, blob: bytes) -> Any:
    """Find what `io.pickling.by_value.dumps_with_code` sent: imported here already, or else by value.

    So a rank that has imported the user's module uses that one's functions and globals, and
    one that has not need not import it.

    Raises
    ------
    ImportError, AttributeError
        It was sent by name only, and there is none of that name.
    """
    if not blob:
        return attrgetter(name)(importlib.import_module(module))
    with suppress(AttributeError):
        return attrgetter(name)(_imported(module))
    if key not in _codes:
        _codes[key] = pickle.loads(blob)
        _answer_by_value()
    return _codes[key]


def _imported(module: str) -> ModuleType | None:
    """A module that this rank has; its ``__main__`` counts where mpi4py has put the user's."""
    found = sys.modules.get(module)
    is_launcher = module == "__main__" and getattr(found, "__name__", "") != USERS_MAIN
    return None if is_launcher else found


def _answer_by_value() -> None:
    """Let this rank's values be of classes that came by value, which have no module here."""
    from mpi4py import MPI

    MPI.pickle.__init__(_dumps_answer, pickle.loads)  # type: ignore[misc]


def _dumps_answer(obj: object) -> bytes:
    with io.BytesIO() as file:
        _AnswerPickler(file, protocol=pickle.HIGHEST_PROTOCOL).dump(obj)
        return file.getvalue()


class _AnswerPickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Names what came by value: who sent it has it, and a copy would overwrite its attributes."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, FunctionType | type) and _came_by_value(obj):
            return resolve, (obj.__module__, obj.__qualname__, b"", b"")
        return super().reducer_override(obj)


def _came_by_value(obj: Any) -> bool:
    module = obj.__module__
    if "<" in obj.__qualname__ or not isinstance(module, str):
        return False
    if module in sys.modules and module != "__main__":
        return False
    with suppress(KeyError, AttributeError):
        return attrgetter(obj.__qualname__)(sys.modules[module]) is not obj
    return True
