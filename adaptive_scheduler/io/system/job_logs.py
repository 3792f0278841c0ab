"""Logs of jobs: files of one JSON object a line."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.storage import files

#: Lines of a job's output that tell of its death: Python's stack, and what a launcher says below.
OUTPUT_LINES = 60


def log_files(where: str | Path | Iterable[str | Path]) -> list[Path]:
    """Find the ``.log`` files of folders, or take files as they are named.

    Raises
    ------
    InputError
        One is neither a file nor a folder.
    """
    named = [where] if isinstance(where, (str, Path)) else list(where)
    found: list[Path] = []
    for one in named:
        path = Path(one).expanduser()
        if path.is_dir():
            found += sorted(path.glob("*.log"))
        elif path.is_file():
            found.append(path)
        else:
            raise InputError(f"{path} is neither a log file nor a folder of log files.")
    return found


def output_tail(folder: str | Path, job: str, lines: int = 15) -> str:
    """Return the last lines that a job printed; "" if nothing is known."""
    return printed(folder, job, lines) or ""


def printed(folder: str | Path, job: str, lines: int = 15) -> str | None:
    """Return the last lines that a job printed; None if there is no file of it."""
    path = Path(folder, f"{job}.out")
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 400 * lines))
            text = file.read().decode(errors="replace")
    except OSError:  # not there (yet), or not for us to read: no output is no answer
        return None
    return "\n".join(text.splitlines()[-lines:]).strip()


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """Read the events of one file; a line that is no JSON object comes as the event ``unreadable``.

    Raises
    ------
    FileError
        It cannot be read.
    """
    with files.naming(path):
        lines = path.read_text(errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            yield msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.MsgspecError as error:  # e.g. the torn last line of a job that was killed
            yield {"event": "unreadable", "line": number, "text": line, "reason": str(error)}
