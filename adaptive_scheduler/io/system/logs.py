"""Logs: one JSON line an event."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO, cast

import msgspec
import structlog

from adaptive_scheduler.core.texts import sanitize


def _line(event: dict[str, Any], **_: Any) -> str:
    # not json.dumps: an infinite loss would become `Infinity`, which is not JSON
    said = {key: sanitize(fact) if isinstance(fact, str) else fact for key, fact in event.items()}
    return msgspec.json.encode(said, enc_hook=str).decode()


class _Patient:
    """A log file whose disk may be full for a while: a log must not stop the work."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._is_told = False

    def write(self, text: str) -> None:
        """Write a line, or say once on standard error why not."""
        try:
            self._file.write(text)
            self._is_told = False
        except OSError as error:
            self._tell(error)

    def flush(self) -> None:
        """Flush, as `write` does."""
        try:
            self._file.flush()
        except OSError as error:
            self._tell(error)

    def _tell(self, error: OSError) -> None:
        if not self._is_told:
            self._is_told = True
            with suppress(OSError):  # standard error may lie on the same disk
                print(f"{self._file.name}: lines are missing: {error}", file=sys.stderr)


_PROCESSORS: list[Any] = [
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    structlog.processors.JSONRenderer(serializer=_line),
]


def open_log(path: Path | None, mode: int = 0o666, **facts: object) -> Any:
    """Open a log to be appended to.

    Parameters
    ----------
    path : Path, optional
        Its folder is made. None, or a folder that cannot be written to, logs to
        standard error: a log must not stop the work.
    mode : int
        Of a new file; less the umask.
    **facts
        Go with every line.

    Returns
    -------
    structlog.BoundLogger
        Loggers bound to it may be used from any thread.
    """
    file = sys.stderr
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=mode)
            file = path.open("a", buffering=1, encoding="utf-8")
        except OSError as error:
            print(f"{path}: no log can be written there: {error}", file=sys.stderr)
    log = structlog.wrap_logger(
        structlog.WriteLogger(cast("TextIO", _Patient(file))),
        processors=_PROCESSORS,
        wrapper_class=structlog.BoundLogger,
    )
    return log.bind(**facts)


def job_log(folder: Path | None, job: str) -> Any:
    """Open the log of one job, ``<folder>/<job>.log``."""
    return open_log(folder / f"{job.replace('/', '_')}.log" if folder else None, job=job)
