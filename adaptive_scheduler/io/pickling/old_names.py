"""Reads pickles that name modules and functions as older versions of this package did."""

from __future__ import annotations

import importlib
import pickle
import sys
from typing import Any

#: Modules that were moved since version 0.2.0.
_MODULES = {
    "adaptive_scheduler.io.sharing": "adaptive_scheduler.io.pickling.shared",
    "adaptive_scheduler.executors.arrival": "adaptive_scheduler.executors.received_code",
}
#: Functions in them that were renamed.
_FUNCTIONS = {
    "module": "make_module",
    "same": "same_module",
    "fill": "fill_module",
    "complete": "set_function_state",
    "complete_class": "set_class_state",
    "code": "make_code",
}


class Unpickler(pickle.Unpickler):
    """An unpickler for run folders of this version and of older ones."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a pickle names."""
        if module not in _MODULES:
            return super().find_class(module, name)
        moved = importlib.import_module(_MODULES[module])
        # a learner's state may hold pickles of its own, which know no `Unpickler`
        sys.modules.setdefault(module, moved)
        return getattr(moved, _FUNCTIONS.get(name, name))
