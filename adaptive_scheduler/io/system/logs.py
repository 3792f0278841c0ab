"""Writes logs: one JSON object a line, one line per event."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO, cast

import msgspec

from adaptive_scheduler.core.texts import sanitize
from adaptive_scheduler.io.system.postponed import postponed

# what structlog uses for people who read tracebacks in a terminal: half of its import's time
with postponed(
    "asyncio", "rich.console", "rich.pretty", "rich.traceback",
    called={"rich.console": {"Console"}, "rich.traceback": {"Traceback"}},
):  # fmt: skip
    import structlog


def _line(event: dict[str, Any], **_: Any) -> str:
    # not json.dumps: an infinite loss would become `Infinity`, which is not JSON
    safe = {key: sanitize(fact) if isinstance(fact, str) else fact for key, fact in event.items()}
    return msgspec.json.encode(safe, enc_hook=str).decode()


class _TolerantFile:
    """A log file that goes on when it cannot be written: a log must not stop the work."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._is_reported = False

    def write(self, text: str) -> None:
        """Write a line; an error is reported once on standard error."""
        try:
            self._file.write(text)
            self._is_reported = False
        except OSError as error:
            self._report(error)

    def flush(self) -> None:
        """Flush; errors as in `write`."""
        try:
            self._file.flush()
        except OSError as error:
            self._report(error)

    def _report(self, error: OSError) -> None:
        if not self._is_reported:
            self._is_reported = True
            with suppress(OSError):  # standard error may be on the same disk
                print(f"{self._file.name}: lines are missing: {error}", file=sys.stderr)


def _add_level(_log: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Mark what is not as it should be, and let `exception` bring its traceback."""
    if method in ("warning", "error", "exception"):
        event["level"] = "warning" if method == "warning" else "error"
    if method == "exception":
        event.setdefault("exc_info", True)
    return event


_PROCESSORS: list[Any] = [
    _add_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    structlog.processors.JSONRenderer(serializer=_line),
]


def open_log(path: Path | None, mode: int = 0o666, **facts: object) -> Any:
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
    structlog.BoundLogger
        It, and loggers bound from it, may be used from any thread.
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
        structlog.WriteLogger(cast("TextIO", _TolerantFile(file))),
        processors=_PROCESSORS,
        wrapper_class=structlog.BoundLogger,
    )
    return log.bind(**facts)


def job_log(folder: Path | None, job: str) -> Any:
    """Open the log of one job, ``<folder>/<job>.log``."""
    return open_log(folder / f"{job.replace('/', '_')}.log" if folder else None, job=job)
