"""Reads what clients wrote that could not reach a manager."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from adaptive_scheduler.core.jobs.outputs import IsOver
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.texts import natural

#: Most of them that are read: one cause mostly stops all jobs.
MOST = 20
#: Characters of each.
_LENGTH = 300


def _in_order(folder: RunFolder) -> list[Path]:
    return sorted(folder.complaints.iterdir(), key=lambda path: natural(path.name))


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
