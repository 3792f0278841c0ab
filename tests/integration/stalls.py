"""How long this machine stood still: what comes late then is nobody's fault."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Self

#: Seconds between two measurements, and how late one may be.
PAUSE, USUAL = 0.02, 0.05


class Stalls(threading.Thread):
    """Waits a moment and syncs a byte, again and again, as a client does with its points.

    Use it in a ``with``.

    Parameters
    ----------
    folder : Path
        On the disk in question.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self._path = folder / "stalls"
        self._stopped = threading.Event()
        self._found: list[tuple[float, float]] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self.join()

    def run(self) -> None:
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT)
        begin = time.monotonic()
        while not self._stopped.wait(PAUSE):
            os.pwrite(file, b".", 0)
            os.fdatasync(file)
            end = time.monotonic()
            if end - begin > PAUSE + USUAL:
                self._found.append((begin, end))
            begin = end
        os.close(file)

    def between(self, begin: float, end: float) -> float:
        """Seconds of the stalls that fell, in part at least, into this time."""
        return sum(last - first for first, last in self._found if first < end and last > begin)

    def __str__(self) -> str:
        lengths = [last - first for first, last in self._found]
        return (
            f"the machine stood still {len(lengths)} times, at most {max(lengths, default=0):.2f} s"
        )
