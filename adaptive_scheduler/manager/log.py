"""Logs of managers: one JSON line an event."""

from __future__ import annotations

from pathlib import Path

import structlog


def log_to(path: Path) -> None:
    """Send all events of this process to a file, appended, private to the user."""
    path.touch(mode=0o600)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(default=str),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=path.open("a", buffering=1)),
        cache_logger_on_first_use=True,
    )
