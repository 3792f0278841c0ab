"""Pickles objects together with the code of the user's modules that they need."""

from __future__ import annotations

import hashlib
import io
import linecache
import os
import pickle
import site
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from operator import attrgetter, is_
from types import CodeType, FunctionType, ModuleType
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import cloudpickle
from cloudpickle.cloudpickle import _class_setstate, _should_pickle_by_reference

from adaptive_scheduler.errors import USER_RAISES
from adaptive_scheduler.executors import received_code
from adaptive_scheduler.executors.received_code import resolve
from adaptive_scheduler.io.pickling.old_names import Unpickler

#: Bytes of code that `dumps_with_code` may add to each message.
MAX_CODE = 2**18

#: Lines of source sent with one function, at most.
_MAX_SOURCE_LINES = 5_000

#: What folders are called into which packages are installed; the second by Debian.
_PACKAGE_FOLDERS = ("site-packages", "dist-packages")

_registering = threading.Lock()
#: Names and modules that were checked last, and those of them that are not installed. Kept,
#: because a client has 1,300 modules and asks twice for each learner.
_checked_modules: list[Any] = []
_not_installed: list[ModuleType] = []


def dumps_by_value(obj: object, *, with_source: bool = True) -> bytes:
    """Pickle an object; functions and classes of modules that are not installed go by value.

    So a worker needs neither the user's ``learners_file.py`` nor its imports. A module is
    installed if it is in the standard library, in a ``site-packages`` of this environment, or in
    an entry of ``sys.path`` that is called ``site-packages`` or ``dist-packages``, whoever put it
    there (``PYTHONPATH``, a ``.pth`` file): jobs have these entries too. (Editable installs are
    not: their sources are edited while jobs wait.)

    Parameters
    ----------
    obj : object
    with_source : bool
        Add the source of functions, for tracebacks.
    """
    with user_modules_by_value(), io.BytesIO() as file:
        ByValuePickler(file, Sources() if with_source else None).dump(obj)
        return file.getvalue()


class _ModuleStub:
    """Pickled in place of the module of functions that go by value."""

    def __init__(self, name: str, own: dict[str, Any]) -> None:
        kept = ("__package__", "__path__", "__file__")
        self._made = name, {key: own[key] for key in kept if key in own}

    def __reduce__(self) -> tuple[Any, ...]:
        return received_code.make_module, self._made


class _GlobalsStub:
    """Pickled in place of the globals of such functions."""

    def __init__(self, home: _ModuleStub) -> None:
        self.home = home

    def __reduce__(self) -> tuple[Any, ...]:
        return vars, (self.home,)


class ByValuePickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """cloudpickle's pickler, but functions of one module share one module where they are loaded.

    Code keeps the name of its file, with its source (`Sources`).
    """

    def __init__(self, file: io.BytesIO, sources: Sources | None) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._sources = sources
        self._stubs: dict[str, _ModuleStub] = {}
        #: Lines of each file that were written last; they include those of nested functions.
        self._written: dict[str, range] = {}

    def dump(self, obj: Any) -> None:
        """Pickle one object."""
        self._written.clear()
        super().dump(obj)

    def reducer_override(self, obj: Any) -> Any:
        """Reduce code, functions and modules so that `received_code` can rebuild them."""
        kind = type(obj)
        if kind is CodeType:
            return self._reduced_code(obj)
        if kind is FunctionType:
            return self._reduced_function(obj)
        if kind is ModuleType:
            return self._reduced_module(obj)
        reduced = super().reducer_override(obj)
        if isinstance(reduced, tuple) and reduced[5:] == (_class_setstate,):
            return (*reduced[:5], received_code.set_class_state)
        return reduced

    def _reduced_code(self, code: CodeType) -> Any:
        _, parts = cloudpickle.Pickler.dispatch_table[CodeType](code)
        return received_code.make_code, (
            parts,
            code.co_filename,
            code.co_firstlineno,
            self._text(code),
        )

    def _text(self, code: CodeType) -> str:
        if self._sources is None:
            return ""
        lines, written = self._sources.lines(code), self._written.get(code.co_filename, range(0))
        if lines.start in written and lines.stop <= written.stop:
            return ""
        self._written[code.co_filename] = lines
        return self._sources.text(code.co_filename, lines)

    def _reduced_function(self, function: FunctionType) -> Any:
        names = function.__globals__
        home = self._stub(names)
        if home is not None:
            self.globals_ref.setdefault(id(names), _GlobalsStub(home))
        reduced = super().reducer_override(function)
        return (
            reduced
            if reduced is NotImplemented
            else (*reduced[:5], received_code.set_function_state)
        )

    def _reduced_module(self, module: ModuleType) -> Any:
        home = None if _should_pickle_by_reference(module) else self._stub(vars(module))
        if home is None:
            return NotImplemented
        hidden = ("__builtins__", received_code.SETTLED)
        names = {key: value for key, value in vars(module).items() if key not in hidden}
        return received_code.same_module, (home,), names, None, None, received_code.fill_module

    def _stub(self, names: dict[str, Any]) -> _ModuleStub | None:
        """The stub for the module with these globals; None if they belong to no module."""
        name = names.get("__name__")
        if not isinstance(name, str):
            return None
        module = sys.modules.get(name)
        if received_code.SETTLED not in names and getattr(module, "__dict__", None) is not names:
            return None
        if name not in self._stubs:
            self._stubs[name] = _ModuleStub(name, names)
        return self._stubs[name]


class Sources:
    """Reads source code as tracebacks do: of files, notebook cells, functions sent by value."""

    def __init__(self) -> None:
        self._files: dict[str, list[str]] = {}
        self._texts: dict[tuple[str, range], str] = {}

    def lines(self, code: CodeType) -> range:
        """The lines of a function's code, including functions defined in it."""
        first = code.co_firstlineno
        last = min(max(first, _last_line(code)), first + _MAX_SOURCE_LINES)
        return range(first, last + 1)

    def text(self, filename: str, lines: range) -> str:
        """The text of these lines, the same object each time; "" if it is not known."""
        key = filename, lines
        if key not in self._texts:
            known = self._of(filename)[max(0, lines.start - 1) : lines.stop - 1]
            self._texts[key] = "".join(known)
        return self._texts[key]

    def _of(self, filename: str) -> list[str]:
        if filename not in self._files:
            linecache.checkcache(filename)
            self._files[filename] = linecache.getlines(filename)
        return self._files[filename]


def _last_line(code: CodeType) -> int:
    own = [end for _, end, _, _ in code.co_positions() if end is not None]
    inner = [_last_line(one) for one in code.co_consts if isinstance(one, CodeType)]
    return max([code.co_firstlineno, *own, *inner])


@contextmanager
def user_modules_by_value() -> Iterator[None]:
    """Within this context cloudpickle pickles modules that are not installed by value."""
    with _registering, _registered_by_value(_not_installed_modules()):
        yield


def dumps_with_code(obj: object) -> bytes:
    """Pickle a message for an MPI rank, so that it need not import the user's modules.

    Functions and classes of modules that are not installed go by name and by value; `resolve`
    prefers what the rank has imported already, as pickle would. They go by name alone if they
    cannot be pickled by value, or have more than `MAX_CODE` bytes, which each message would
    repeat. So does a pool's initializer: what it sets in its module is for the functions there.
    """
    is_setup = type(obj) is dict and obj.get("initializer") is not None  # mpi4py.futures._core
    with io.BytesIO() as file:
        _CodePickler(file, is_setup).dump(obj)
        return file.getvalue()


class _CodePickler(cloudpickle.Pickler):  # type: ignore[misc]
    #: Function or class -> digest and pickle of it; (b"", b"") if it goes by name only.
    _known: ClassVar[WeakKeyDictionary[Any, tuple[bytes, bytes]]] = WeakKeyDictionary()

    def __init__(self, file: io.BytesIO, is_setup: bool) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._is_setup = is_setup
        self._carried = 0

    def reducer_override(self, obj: Any) -> Any:
        if not (isinstance(obj, FunctionType | type) and _is_importable_from_user_module(obj)):
            return super().reducer_override(obj)
        module = obj.__module__
        key, blob = b"", b""
        if module == "__main__" or not self._is_setup:
            key, blob = self._code(obj)
        self._carried += len(blob)
        if self._carried > MAX_CODE:
            key, blob = b"", b""
        return resolve, (module, obj.__qualname__, key, blob)

    def _code(self, obj: Any) -> tuple[bytes, bytes]:
        if obj not in self._known:
            self._known[obj] = _by_value_if_short(obj)
        return self._known[obj]


def _by_value_if_short(obj: Any) -> tuple[bytes, bytes]:
    try:
        blob = dumps_by_value(obj, with_source=False)  # it would be in each message
    except USER_RAISES:  # the border to the user's code: an object with a lock, for example
        return b"", b""
    if len(blob) > MAX_CODE:
        return b"", b""
    return hashlib.blake2b(blob, digest_size=16).digest(), blob


def _is_importable_from_user_module(obj: Any) -> bool:
    """Whether it can be imported by its name, from a module that is not installed."""
    name = obj.__module__
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or (name != "__main__" and _is_installed(name, file)):
        return False
    with suppress(AttributeError):
        return attrgetter(obj.__qualname__)(module) is obj
    return False


def loads(data: bytes) -> Any:
    """Unpickle what `dumps_by_value` made; only for bytes from this user."""
    return Unpickler(io.BytesIO(data)).load()


def _not_installed_modules() -> list[ModuleType]:
    now = [*sys.modules, *sys.modules.values()]
    if len(now) != len(_checked_modules) or not all(map(is_, now, _checked_modules)):
        _checked_modules[:] = now
        modules = list(sys.modules.items())
        _not_installed[:] = [module for name, module in modules if _is_user_module(name, module)]
    return _not_installed


def _is_user_module(name: str, module: Any) -> bool:
    file = getattr(module, "__file__", None)
    return (
        isinstance(file, str)
        and isinstance(module, ModuleType)
        and module.__name__ == name
        and name not in ("__main__", "__mp_main__")
        and not _is_installed(name, file)
    )


@cache
def _is_installed(name: str, file: str) -> bool:
    top = name.partition(".")[0]
    if top == "adaptive_scheduler" or top in sys.stdlib_module_names:
        return True
    folders = _installed_folders(tuple(filter(_is_for_packages, sys.path)))
    return (
        os.path.abspath(file).startswith(folders)  # noqa: PTH100  links are not resolved
        or os.path.realpath(file).startswith(folders)  # last: it asks the file system
    )


def _is_for_packages(entry: str) -> bool:
    """Whether pip installs into a folder of this name: here, or where `PYTHONPATH` or a .pth leads."""
    return os.path.basename(os.path.normpath(entry)) in _PACKAGE_FOLDERS  # noqa: PTH119  "" stays ""


@cache
def _installed_folders(entries: tuple[str, ...]) -> tuple[str, ...]:
    paths = {sysconfig.get_path(key) for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths.update([*site.getsitepackages(), site.getusersitepackages(), *entries])
    return tuple(
        form(path).rstrip(os.sep) + os.sep
        for path in paths
        for form in (os.path.realpath, os.path.abspath)
    )


@contextmanager
def _registered_by_value(modules: list[ModuleType]) -> Iterator[None]:
    already = cloudpickle.list_registry_pickle_by_value()
    mine = [module for module in modules if module.__name__ not in already]
    for module in mine:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in mine:
            cloudpickle.unregister_pickle_by_value(module)
