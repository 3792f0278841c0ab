"""Reads logs (one JSON object a line) and what processes printed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from adaptive_scheduler.core.options.checks import path as as_path
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.disk import files

PathLike = str | os.PathLike[str]
#: Lines at the end of a job's output in which a crash shows: Python's stack, and below it what
#: the MPI launcher prints.
CRASH_LINES = 60
#: Bytes to read for each line that is asked for.
_LINE_BYTES = 400


def log_files(where: PathLike | Iterable[PathLike]) -> list[Path]:
    """Return the ``.log`` files of folders, and files as they are named.

    Raises
    ------
    InputError
        One is neither a file nor a folder.
    """
    named = list(where) if isinstance(where, Iterable) and not isinstance(where, str) else [where]
    found: list[Path] = []
    for one in named:
        path = Path(as_path(one, "logs")).expanduser()
        if path.is_dir():
            found += sorted(path.glob("*.log"))
        elif path.is_file():
            found.append(path)
        else:
            raise InputError(f"{path} is neither a log file nor a folder of log files.")
    return found


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """Read the events of a log; a line that is not a JSON object gives the event ``unreadable``.

    Raises
    ------
    FileError
        It cannot be read.
    """
    with files.naming(path), path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            text = line.removesuffix("\n")
            try:
                yield msgspec.json.decode(text, type=dict[str, Any])
            except msgspec.MsgspecError as error:  # such as the torn last line of a killed job
                yield {"event": "unreadable", "line": number, "text": text, "reason": str(error)}


def last_events(path: Path, lines: int) -> list[dict[str, Any]]:
    """Return the events in the last lines of a log, those that can be read; none if it is missing."""
    found = []
    for line in (tail(path, lines) or "").splitlines():
        with suppress(msgspec.MsgspecError):  # the first may be cut, the last be torn
            found.append(msgspec.json.decode(line, type=dict[str, Any]))
    return found


def tail(path: Path, lines: int = 15) -> str | None:
    """Return the last lines of a text file; None if it is missing or cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _LINE_BYTES * lines))
            text = file.read().decode(errors="replace")
    except OSError:
        return None
    return "\n".join(text.splitlines()[-lines:]).strip()


def job_output_tail(folder: str | Path, job: str, lines: int = 15) -> str | None:
    """Return the last lines that a job printed; None if there is no output of it."""
    return tail(Path(folder, f"{job}.out"), lines)
