"""Reads what clients wrote that could not reach a manager."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.texts import natural

#: Most of them that are read: one cause mostly stops all jobs.
MOST = 20
#: Characters of each.
_LENGTH = 300


def _in_order(folder: RunFolder) -> list[Path]:
    return sorted(folder.complaints.iterdir(), key=lambda path: natural(path.name))


def read_complaints(folder: RunFolder, job: str = "") -> dict[str, str]:
    """Return what clients complain of, by their jobs.

    Parameters
    ----------
    folder : RunFolder
    job : str, optional
        That of this job alone; default: of the first jobs.
    """
    try:
        found = [folder.complaint(job)] if job else _in_order(folder)
    except OSError:  # nobody complains
        return {}
    complaints = {}
    for path in found[:MOST]:
        with suppress(OSError):  # its client has reached the manager just now
            complaints[job or path.name] = path.read_text(errors="replace")[:_LENGTH].strip()
    return complaints
