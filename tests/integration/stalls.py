"""How much too late this machine was: what comes late then is nobody's fault."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Self

#: Seconds between two measurements, and how late one may be.
PAUSE, USUAL = 0.02, 0.05


class Stalls(threading.Thread):
    """Waits a moment and writes a byte, again and again, as a client does with its points.

    Use it in a ``with``.

    Parameters
    ----------
    folder : Path
        On the disk in question. (It is not synced: a kill takes nothing that was written.)
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
            end = time.monotonic()
            if end - begin > PAUSE + USUAL:
                self._found.append((begin + PAUSE + USUAL, end))
            begin = end
        os.close(file)

    def between(self, begin: float, end: float) -> float:
        """Seconds within this time in which it was late."""
        return sum(max(0.0, min(last, end) - max(first, begin)) for first, last in self._found)

    def __str__(self) -> str:
        lengths = [last - first for first, last in self._found]
        return (
            f"the machine was late {len(lengths)} times, at most by {max(lengths, default=0):.2f} s"
        )


def note_own_stalls(folder: Path) -> None:
    """Note in a file, as long as this process lives, when it stood still: it may be killed at any moment."""
    threading.Thread(target=_note, args=(folder / f"stalls-{os.getpid()}",), daemon=True).start()


def _note(path: Path) -> None:
    """The file begins with the last moment at which this process was seen to run; each stall is a line."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    begin, size = time.monotonic(), 32
    while True:
        os.pwrite(file, f"{begin:<31.6f}\n".encode(), 0)
        time.sleep(PAUSE)
        end = time.monotonic()
        if end - begin > PAUSE + USUAL:
            size += os.pwrite(file, f"{begin + PAUSE + USUAL:.6f} {end:.6f}\n".encode(), size)
        begin = end


def seconds_stalled(folder: Path, pid: int, begin: float, end: float) -> float:
    """How long a process stood still within this time, by its own notes; it was killed at the end."""
    path = folder / f"stalls-{pid}"
    last, *stalls = (path.read_text() if path.exists() else "").splitlines() or [""]
    if not last:  # it was killed before its first point
        return 0.0
    times = [(float(first), float(second)) for first, second in map(str.split, stalls)]
    times.append((float(last) + PAUSE + USUAL, end))
    return sum(max(0.0, min(last, end) - max(first, begin)) for first, last in times)
