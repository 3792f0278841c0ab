"""Lets what a call prints go to a file of its own."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any


class _LateFile(io.TextIOBase):
    """A file that is there when something was written: thousands of calls print nothing."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: Any = None

    def write(self, text: str) -> int:
        if self._file is None:
            Path(self._path).parent.mkdir(parents=True, exist_ok=True)
            self._file = Path(self._path).open("a", buffering=1)  # noqa: SIM115  closed below
        self._file.write(text)
        return len(text)

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        super().close()


def with_log(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of a log's path and the parameters; a plain one, which is pickled once."""

    def call(log: str, /, **parameters: Any) -> Any:
        with _LateFile(log) as file, redirect_stdout(file), redirect_stderr(file):
            return function(**parameters)

    return call
