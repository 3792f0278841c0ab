"""The log of one job: one JSON line an event."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import structlog

_PROCESSORS: list[Any] = [
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    structlog.processors.JSONRenderer(default=str),
]


def open_log(folder: Path | None, job: str) -> Any:
    """Open ``<folder>/<job>.log`` to be appended to.

    Parameters
    ----------
    folder : Path, optional
        None writes to standard error.
    job : str
        Goes with every line, as ``job``.

    Returns
    -------
    structlog.BoundLogger
        Loggers bound to it may be used from any thread.
    """
    file = sys.stderr
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = (folder / f"{job.replace('/', '_')}.log").open("a", buffering=1)
        except OSError as error:
            print(f"{folder}: no log can be written there: {error}", file=sys.stderr)
    return structlog.wrap_logger(
        structlog.WriteLogger(file),
        processors=_PROCESSORS,
        wrapper_class=structlog.BoundLogger,
        job=job,
    )
