"""Sets up the process of a client: a faster import of adaptive, Python's collector and threads."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

#: Modules that adaptive imports for other learners than Learner1D, for `to_dataframe` and for its own
#: developers. They take three quarters of the 1.25 s of CPU of its import (measured).
SELDOM_USED = (
    "scipy.stats", "scipy.interpolate", "scipy.spatial", "scipy.linalg", "pandas", "versioningit",
)  # fmt: skip
#: What adaptive takes out of these while it is imported, and only calls, by module. `Delaunay` is also
#: the base of a class, `FakeDelaunay`, that nothing in adaptive uses.
CALLED = {
    "scipy.spatial": frozenset({"Delaunay"}),
    "scipy.interpolate": frozenset({"CloughTocher2DInterpolator", "LinearNDInterpolator"}),
    "scipy.linalg": frozenset({"norm"}),
}
#: New objects between two passes of Python's garbage collector. Each point in flight is a future of
#: six objects: at the default of 700, passes took a sixth of a runner's time with 10,000 of them.
COLLECT_AFTER = 20_000
#: Seconds after which a thread that waits for the interpreter's lock gets it. The pool's thread needs it
#: about five times for a message. With the default of 0.005, a fast Learner1D over MPI waited for its
#: values 0.5 s of 1.7; with 0.001 0.2 s; with 0.0003 0.06 s; with 0.0001 switching costs more than that.
SWITCH_AFTER = 0.0003
#: After an item that ran for more seconds, a full pass of the collector is a small part of its time.
LONG = 1.0

_withdrawing = threading.Lock()


def prepare_process() -> None:
    """Import adaptive, and set up Python for a process that runs learners.

    Objects that exist after the import live as long as the process. The collector does not go
    through them again (`gc.freeze`), which took a third of the runner's time. Call
    `collect_garbage` after each item.
    """
    sys.setswitchinterval(SWITCH_AFTER)
    gc.disable()  # also during the import
    try:
        with postponed(*SELDOM_USED):
            import adaptive  # noqa: F401

        gc.freeze()
        gc.set_threshold(COLLECT_AFTER)
    finally:
        gc.enable()


def collect_garbage(seconds: float) -> None:
    """Free the memory of an item that ran for `seconds`: its objects refer to each other.

    A full pass takes some 25 ms where the user's modules are large, so it is made only after a
    long run. What a short one leaves is still among the youngest objects.
    """
    gc.collect(2 if seconds > LONG else 1)


class LazyModule(ModuleType):
    """Placeholder that imports the real module, and forwards to it, when an attribute is accessed.

    While it stands in for the module it gives a `LazyCall` for what is in `CALLED`, and does not
    import it.
    """

    def __getattr__(self, name: str) -> Any:
        if self.__name__ in CALLED and sys.modules.get(self.__name__) is self:
            if name in CALLED[self.__name__]:
                return LazyCall(self.__name__, name)
            if name == "__path__":  # asked for by every `from ... import`
                raise AttributeError(name)
        _withdraw(self)
        return getattr(import_module(self.__name__), name)

    def __reduce__(self) -> tuple[Any, ...]:
        return import_module, (self.__name__,)


class LazyCall:
    """Placeholder for a function or a class, which imports its module when it is called."""

    def __init__(self, module: str, name: str) -> None:
        self._module = module
        self._name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the real one."""
        return getattr(import_module(self._module), self._name)(*args, **kwargs)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        """A class that is made of it has no such base, see `CALLED`."""
        return ()


@contextmanager
def postponed(*names: str) -> Iterator[None]:
    """Delay the import of these modules until an attribute of them is accessed.

    Only for imports inside of the ``with``. A module that is not installed cannot be imported, as
    usual; one that is installed but broken raises at the first access.

    Parameters
    ----------
    *names : str
        Full names of modules that are used as ``name.attribute``, and not yet while the module
        that uses them is being imported. A submodule only if its package imports it when it is
        accessed, as scipy does.
    """
    placeholders = [LazyModule(name) for name in names if find_spec(name) is not None]
    for placeholder in placeholders:  # if another thread imports it just now, it stays
        sys.modules.setdefault(placeholder.__name__, placeholder)
    try:
        yield
    finally:
        for placeholder in placeholders:
            _withdraw(placeholder)


def _withdraw(placeholder: LazyModule) -> None:
    """Remove a placeholder: later imports get the real module."""
    with _withdrawing:
        if sys.modules.get(placeholder.__name__) is placeholder:
            del sys.modules[placeholder.__name__]
