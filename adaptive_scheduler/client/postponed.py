"""Modules that are loaded when somebody asks them for something, if anybody does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any


class _StandIn(ModuleType):
    """What those have who imported a module too early: asked for anything, it asks the module."""

    def __getattr__(self, name: str) -> Any:
        _withdraw(self)
        return getattr(import_module(self.__name__), name)


@contextmanager
def postponed(*names: str) -> Iterator[None]:
    """Let imports of these modules cost nothing, until one of them is asked for something.

    Outside of the ``with`` they are imported as ever; one that is not installed is missing as ever.

    Parameters
    ----------
    *names : str
        In full, of modules whose importers use them as ``name.attribute`` and not yet while
        they are imported themselves.
    """
    absent = [name for name in names if name not in sys.modules and find_spec(name) is not None]
    stand_ins = [_StandIn(name) for name in absent]
    sys.modules.update(zip(absent, stand_ins, strict=True))
    try:
        yield
    finally:
        for stand_in in stand_ins:
            _withdraw(stand_in)


def _withdraw(stand_in: _StandIn) -> None:
    """Whoever imports it from now on gets the module itself."""
    if sys.modules.get(stand_in.__name__) is stand_in:
        del sys.modules[stand_in.__name__]
