"""Postpones imports of modules that other packages import and that are seldom used."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_withdrawing = threading.Lock()


class LazyModule(ModuleType):
    """Placeholder that imports the real module, and forwards to it, when an attribute is accessed.

    While it stands in for the module it gives a `LazyCall` for each name in `called`, and does not
    import it.
    """

    def __init__(self, name: str, called: Set[str] = frozenset()) -> None:
        super().__init__(name)
        self.__dict__["_called"] = called

    def __getattr__(self, name: str) -> Any:
        called: Set[str] = self.__dict__["_called"]
        if called and sys.modules.get(self.__name__) is self:
            if name in called:
                return LazyCall(self.__name__, name)
            if name == "__path__":  # asked for by every `from ... import`
                raise AttributeError(name)
        _withdraw(self)
        return getattr(import_module(self.__name__), name)

    def __reduce__(self) -> tuple[Any, ...]:
        return import_module, (self.__name__,)


class LazyCall:
    """Placeholder for a function or a class, which imports its module when it is called or looked at."""

    def __init__(self, module: str, name: str) -> None:
        self._module = module
        self._name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the real one."""
        return self._real()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what Python itself looks for
            raise AttributeError(name)
        return getattr(self._real(), name)

    def _real(self) -> Any:
        placeholder = sys.modules.get(self._module)
        if isinstance(placeholder, LazyModule):  # it is wanted already now: not this again
            _withdraw(placeholder)
        return getattr(import_module(self._module), self._name)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        """A class that is made of it has no such base."""
        return ()


@contextmanager
def postponed(*names: str, called: Mapping[str, Set[str]] | None = None) -> Iterator[None]:
    """Delay the import of these modules until an attribute of them is accessed.

    Only for imports inside of the ``with``. A module that is not installed cannot be imported, as
    usual; one that is installed but broken raises at the first access.

    Parameters
    ----------
    *names : str
        Full names of modules that are used as ``name.attribute``, and not yet while the module
        that uses them is being imported.
    called : mapping, optional
        For some of these modules, functions and classes that are imported by ``from name import``,
        and are used only later: called, or looked at.
    """
    placeholders = [
        LazyModule(name, (called or {}).get(name, frozenset()))
        for name in names
        if find_spec(name) is not None
    ]
    for placeholder in placeholders:
        # if another thread imports it just now, it stays
        if sys.modules.setdefault(placeholder.__name__, placeholder) is placeholder:
            _show_in_package(placeholder)
    try:
        yield
    finally:
        for placeholder in placeholders:
            _withdraw(placeholder)


def _show_in_package(placeholder: LazyModule) -> None:
    """Make ``import a.b`` show it as ``a.b``, unless the package imports what is accessed, as scipy does."""
    package, _, name = placeholder.__name__.rpartition(".")
    found = sys.modules.get(package)
    if found is not None and "__getattr__" not in vars(found):
        vars(found).setdefault(name, placeholder)


def _withdraw(placeholder: LazyModule) -> None:
    """Remove a placeholder: later imports get the real module."""
    with _withdrawing:
        if sys.modules.get(placeholder.__name__) is placeholder:
            del sys.modules[placeholder.__name__]
