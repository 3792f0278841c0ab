"""A function that any process can call, whatever it was made of."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.pickling.by_value import dumps_by_value, loads

#: Functions of this process, by the digest of their pickle.
_functions: dict[str, Callable[..., Any]] = {}
MODES = ("memory", "random_id", "file")


class WrappedFunction:
    """A function that is pickled by value, and unpickled once in each process.

    `RunManager`, `Executor` and `Runner` need none: they send functions by value themselves.

    Parameters
    ----------
    function : callable
    mode : {"random_id", "memory", "file"}
        ``"file"`` keeps the pickle in a temporary file of yours, and this object has its path. With the others
        this object has the pickle itself.

    Raises
    ------
    InputError
        There is no such mode.
    """

    def __init__(self, function: Callable[..., Any], *, mode: str = "random_id") -> None:
        if mode not in MODES:
            raise InputError(f"mode={mode!r} must be one of {', '.join(map(repr, MODES))}.")
        data = dumps_by_value(function)
        self.mode = mode
        self._key = hashlib.sha256(data).hexdigest()
        self._source: bytes | str = data if mode != "file" else _written(data)
        _functions[self._key] = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.stands_for(*args, **kwargs)

    @property
    def stands_for(self) -> Callable[..., Any]:
        """The function, which counts where this is hashed or compared, in whatever way it travels."""
        if self._key not in _functions:
            data = self._source
            _functions[self._key] = loads(
                files.read_private(Path(data)) if isinstance(data, str) else data
            )
        return _functions[self._key]


def _written(data: bytes) -> str:
    with tempfile.NamedTemporaryFile(
        prefix="adaptive-scheduler-", suffix=".pickle", delete=False
    ) as file:
        file.write(data)
    return file.name
