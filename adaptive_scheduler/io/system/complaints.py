"""Writes and reads what clients say that cannot reach a manager: their network may be the fault."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from adaptive_scheduler.core.jobs.outputs import IsOver
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.texts import natural
from adaptive_scheduler.errors import FileError
from adaptive_scheduler.io.disk import files

#: Seconds of silence before the first complaint: a manager that is started anew is no fault.
FIRST = 5.0
#: Seconds between two complaints of one job: each is a write to a shared file system.
AGAIN = 60.0
#: Most of them that are read: one cause mostly stops all jobs.
MOST = 20
#: Characters of each.
_LENGTH = 300


class Complaint:
    """What the client of one job says where `status` and `explain` find it.

    Parameters
    ----------
    folder : RunFolder
    job : str
    """

    def __init__(self, folder: RunFolder, job: str) -> None:
        self._path = folder.complaint(job)
        self._written = float("-inf")
        self._is_there = True  # perhaps of a former client of this job

    def make(self, text: str, silence: float) -> None:
        """Write it, unless it is too soon.

        Parameters
        ----------
        text : str
            Why the manager is not reached.
        silence : float
            For how many seconds it has not been.
        """
        if silence < FIRST or time.monotonic() < self._written + AGAIN:
            return
        self._written, self._is_there = time.monotonic(), True
        with suppress(FileError, OSError):  # there is nobody to report it to
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            line = f"{time.strftime('%F %T')} host {os.uname().nodename}: {text}\n"
            files.write_atomically(self._path, line.encode(), mode=0o600)

    def withdraw(self) -> None:
        """The manager has answered."""
        if self._is_there:
            self._is_there, self._written = False, float("-inf")
            with suppress(OSError):
                self._path.unlink()


def _in_order(folder: RunFolder) -> list[Path]:
    return sorted(files.finished_files(folder.complaints), key=lambda path: natural(path.name))


def _never(_job: str, _written: float) -> bool:
    return False


def read_complaints(
    folder: RunFolder, is_over: IsOver = _never, first: str = "", *, removes: bool = False
) -> dict[str, str]:
    """Return what clients complain of, by their jobs: of the first `MOST` jobs.

    Parameters
    ----------
    folder : RunFolder
    is_over : callable
        Says which of them mean nothing any more: these are left out.
    first : str, optional
        A job whose complaint comes before those of all others.
    removes : bool
        Remove what is over.
    """
    try:
        found = _in_order(folder)
    except OSError:  # nobody complains
        return {}
    found.sort(key=lambda path: path.name != first)
    complaints: dict[str, str] = {}
    for path in found:
        if len(complaints) == MOST:
            break
        with suppress(OSError):  # its client has reached the manager just now
            if not is_over(path.name, path.stat().st_mtime):
                complaints[path.name] = path.read_text(errors="replace")[:_LENGTH].strip()
            elif removes:
                path.unlink()
    return complaints
