"""A function that notes each of its calls in a file before it returns."""

from __future__ import annotations

import os
from pathlib import Path


class Ledger:
    """Appends ``repr(x)`` to a file, then returns ``function(x)``."""

    def __init__(self, path, function):
        self.path = os.fspath(path)
        self.function = function

    def __call__(self, x):
        value = self.function(x)
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(fd, f"{x!r}\n".encode())
        os.close(fd)
        return value

    def lines(self):
        try:
            return Path(self.path).read_text().splitlines()
        except FileNotFoundError:
            return []
