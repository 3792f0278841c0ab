"""Prepares the process of a client: imports adaptive in less time, sets Python up for the runner."""

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

#: What adaptive imports for `AverageLearner1D`, `to_dataframe` and its own developers: half of its
#: 1.8 s of CPU and 114 MB (measured).
SELDOM_USED = ("scipy.stats", "pandas", "versioningit")
#: New objects between two passes of Python's collector over the youngest. Each point in flight is a
#: future of six objects: at the default of 700, passes took a sixth of a runner with 10,000 of them.
COLLECT_AFTER = 20_000
#: Seconds that the runner keeps the interpreter's lock while the pool's thread waits for it. A message
#: costs that thread some five waits: at the default of 0.005 a fast Learner1D over MPI waited for its
#: values 0.5 s of 1.7, at 0.001 0.2 s, at 0.0003 0.06 s; at 0.0001 the threads' turns cost more than that.
SWITCH_AFTER = 0.0003
#: Seconds after which a full pass of the collector is a small part of what a learner took.
LONG = 1.0

_withdrawing = threading.Lock()


def prepare_process() -> None:
    """Import adaptive, and set Python for a process that runs learners.

    What is imported by now lives as long as the process: a collector that goes through it again
    and again took a third of the runner's time. Call `collect_garbage` after each learner.
    """
    sys.setswitchinterval(SWITCH_AFTER)
    gc.disable()  # nor while it is being imported
    try:
        with postponed(*SELDOM_USED):
            import adaptive  # noqa: F401

        gc.freeze()
        gc.set_threshold(COLLECT_AFTER)
    finally:
        gc.enable()


def collect_garbage(seconds: float) -> None:
    """Collect a learner that ran for `seconds` and its runner, which refer to each other.

    A full pass takes some 25 ms where the user's modules are large: only after a long run. What
    a short one leaves behind is still among the youngest objects.
    """
    gc.collect(2 if seconds > LONG else 1)


class LazyModule(ModuleType):
    """What those have who imported a module too early: asked for anything, it asks the module."""

    def __getattr__(self, name: str) -> Any:
        _withdraw(self)
        return getattr(import_module(self.__name__), name)

    def __reduce__(self) -> tuple[Any, ...]:
        return import_module, (self.__name__,)


@contextmanager
def postponed(*names: str) -> Iterator[None]:
    """Let imports of these modules cost nothing, until one of them is asked for something.

    Outside of the ``with`` they are imported as ever; one that is not installed is missing as ever.
    One that is installed but broken says so when it is asked.

    Parameters
    ----------
    *names : str
        In full, of modules whose importers use them as ``name.attribute`` and not yet while
        they are imported themselves. Of a package's modules only those that the package
        itself imports when it is asked for them, as scipy does.
    """
    stand_ins = [LazyModule(name) for name in names if find_spec(name) is not None]
    for stand_in in stand_ins:  # another thread may be importing it just now: then it stays
        sys.modules.setdefault(stand_in.__name__, stand_in)
    try:
        yield
    finally:
        for stand_in in stand_ins:
            _withdraw(stand_in)


def _withdraw(stand_in: LazyModule) -> None:
    """Whoever imports it from now on gets the module itself."""
    with _withdrawing:
        if sys.modules.get(stand_in.__name__) is stand_in:
            del sys.modules[stand_in.__name__]
