"""Standard streams that may be closed, full, or a pipe whose reader has left: no command ends in a traceback for that.

The commands print as any program does. What is wrong with a stream is met in one place, where the bytes leave.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

from adaptive_scheduler.commandline.output import exit_codes

#: Errors of a disk that is full, and of a quota.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_INPUT, _OUTPUT, _ERRORS = 0, 1, 2


class _StandardStream(io.FileIO):
    """A stream that takes in silence what comes after its first error."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd, "w", closefd=False)
        self.is_lost = False

    def write(self, data: Any) -> int:
        """Write; an error is told once."""
        if not self.is_lost:
            try:
                return self._write(data)
            except OSError as error:
                self.is_lost = True
                self.on_error(error)
        return memoryview(data).nbytes

    def _write(self, data: Any) -> int:
        """Wait where whoever shares the stream has made it non-blocking, as some programs leave a terminal."""
        while (n := cast("int | None", super().write(data))) is None:
            select.select([], [self], [])
        return n

    def on_error(self, error: OSError) -> None:
        """What is wrong with standard error can be told to nobody, and changes no exit code."""


class _StandardOutput(_StandardStream):
    """Standard output: the command ends where nobody reads on, or nothing more can be written."""

    def on_error(self, error: OSError) -> None:
        """End the command: silently, as SIGPIPE would, where the reader has left."""
        if error.errno == errno.EPIPE:
            raise SystemExit(exit_codes.NOBODY_READS)
        sys.stderr.write(f"Error: {cannot_be_written('the output', error)}\n")
        raise SystemExit(exit_codes.FAILED)


def cannot_be_written(what: str, error: OSError) -> str:
    """Say that, why, and what to do."""
    remedy = " Make room, and run the command again." if error.errno in NO_ROOM else ""
    return f"{what} cannot be written: {error.strerror}.{remedy}"


@contextlib.contextmanager
def safe_streams() -> Iterator[None]:
    """Within it, what a command prints may go anywhere."""
    _open_closed_ones()
    before = sys.stdout, sys.stderr
    sys.stderr = _wrapped(sys.stderr, sys.__stderr__, _StandardStream(_ERRORS))
    sys.stdout = _wrapped(sys.stdout, sys.__stdout__, _StandardOutput(_OUTPUT))
    try:
        yield
    finally:
        try:
            sys.stdout.flush()
        finally:
            sys.stderr.flush()
            sys.stdout, sys.stderr = before


def _open_closed_ones() -> None:
    """Put the null device where a stream is closed: else the next file, the run's database perhaps, has its number."""
    for fd in (_INPUT, _OUTPUT, _ERRORS):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this
            os.set_inheritable(fd, True)
    if sys.stdin is None:
        sys.stdin = open(_INPUT, closefd=False)  # noqa: SIM115  for as long as the process lives


def _wrapped(stream: TextIO | None, own: TextIO | None, raw: _StandardStream) -> TextIO:
    """Return the text stream over `raw`; what somebody has put in its place stays."""
    if stream is not None and stream is not own:
        return stream
    encoding = stream.encoding if stream is not None else "utf-8"
    is_unicode = codecs.lookup(encoding).name.startswith("utf")
    # names of files are any bytes; and not every terminal has an ellipsis
    errors = "surrogateescape" if is_unicode else "replace"
    is_eager = raw.isatty() or raw.fileno() == _ERRORS
    if isinstance(stream, io.TextIOWrapper):
        is_eager = (
            is_eager or stream.write_through or stream.line_buffering
        )  # as with PYTHONUNBUFFERED
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=is_eager)
