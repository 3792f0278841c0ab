"""Writes logs: one JSON object a line, one line per event."""

from __future__ import annotations

import sys
import threading
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import msgspec

from adaptive_scheduler.core.texts import sanitize


def _line(event: dict[str, object]) -> str:
    # not json.dumps: an infinite loss would become `Infinity`, which is not JSON
    safe = {key: sanitize(fact) if isinstance(fact, str) else fact for key, fact in event.items()}
    return msgspec.json.encode(safe, enc_hook=str).decode()


class _TolerantFile:
    """A log file that goes on when it cannot be written: a log must not stop the work."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._is_reported = False
        self._lock = threading.Lock()

    def write(self, line: str) -> None:
        """Write a line, and flush; an error is reported once on standard error."""
        with self._lock:
            try:
                self._file.write(line + "\n")
                self._file.flush()
                self._is_reported = False
            except OSError as error:
                self._report(error)

    def _report(self, error: OSError) -> None:
        if not self._is_reported:
            self._is_reported = True
            with suppress(OSError):  # standard error may be on the same disk
                print(f"{self._file.name}: lines are missing: {error}", file=sys.stderr)


class Log:
    """Writes events with their facts; any number of threads may use it, and those bound from it.

    Written here, because the import of structlog takes a third of a client's own imports.
    """

    def __init__(self, file: _TolerantFile, facts: dict[str, object]) -> None:
        self._file = file
        self._facts = facts

    def bind(self, **facts: object) -> Log:
        """Return a log to the same file that adds these facts, too, to every line."""
        return Log(self._file, {**self._facts, **facts})

    def info(self, event: str, **facts: object) -> None:
        """Write what is as it should be."""
        self._write(event, facts)

    def warning(self, event: str, **facts: object) -> None:
        """Write what may need attention."""
        self._write(event, {**facts, "level": "warning"})

    def error(self, event: str, **facts: object) -> None:
        """Write what has gone wrong."""
        self._write(event, {**facts, "level": "error"})

    def exception(self, event: str, **facts: object) -> None:
        """Write what has gone wrong, with the traceback of the exception that is handled."""
        self.error(event, **facts, exception=traceback.format_exc().rstrip())

    def _write(self, event: str, facts: dict[str, object]) -> None:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        self._file.write(_line({**self._facts, **facts, "event": event, "timestamp": now}))


def open_log(path: Path | None, mode: int = 0o666, **facts: object) -> Log:
    """Open a log to be appended to.

    Parameters
    ----------
    path : Path, optional
        Its folder is created. None, or a folder that cannot be written to, logs to standard
        error: a log must not stop the work.
    mode : int
        Permissions of a new file, minus the umask.
    **facts
        Added to every line.

    Returns
    -------
    Log
    """
    file = sys.stderr
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=mode)
            file = path.open("a", buffering=1, encoding="utf-8")
        except OSError as error:
            print(f"{path}: no log can be written there: {error}", file=sys.stderr)
    return Log(_TolerantFile(file), facts)


def job_log(folder: Path | None, job: str) -> Log:
    """Open the log of one job, ``<folder>/<job>.log``."""
    return open_log(folder / f"{job.replace('/', '_')}.log" if folder else None, job=job)
