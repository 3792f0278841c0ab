"""Logs: one JSON line an event."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import structlog


def _line(event: object, **_: Any) -> str:
    # not json.dumps: an infinite loss would become `Infinity`, which is not JSON
    return msgspec.json.encode(event, enc_hook=str).decode()


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
            file = path.open("a", buffering=1)
        except OSError as error:
            print(f"{path}: no log can be written there: {error}", file=sys.stderr)
    log = structlog.wrap_logger(
        structlog.WriteLogger(file), processors=_PROCESSORS, wrapper_class=structlog.BoundLogger
    )
    return log.bind(**facts)


def job_log(folder: Path | None, job: str) -> Any:
    """Open the log of one job, ``<folder>/<job>.log``."""
    return open_log(folder / f"{job.replace('/', '_')}.log" if folder else None, job=job)
