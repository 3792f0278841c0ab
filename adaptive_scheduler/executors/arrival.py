"""How functions that were sent by name and by value arrive in a worker rank.

Imports only the standard library and cloudpickle, as `worker` does.
"""

from __future__ import annotations

import importlib
import io
import pickle
import sys
from contextlib import suppress
from operator import attrgetter
from types import FunctionType, ModuleType
from typing import Any

import cloudpickle

#: What mpi4py.futures names the user's script in a worker rank (its ``_core.MAIN_RUN_NAME``).
USERS_MAIN = "__worker__"

_codes: dict[bytes, Any] = {}


def resolve(module: str, name: str, key: bytes, blob: bytes) -> Any:
    """Find what `io.pickles.dumps_with_code` sent: imported here already, or else by value.

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
