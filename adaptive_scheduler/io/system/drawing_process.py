"""Starts the process that draws learners, asks it, and ends it when it takes too long."""

from __future__ import annotations

import json
import math
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

import msgspec

from adaptive_scheduler.core.paths import RunFolder

#: Imports what this process can import: modules beside a notebook, for example.
_CODE = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from adaptive_scheduler.runs.views.drawing.program import main; main()"
)
#: Bytes that one read takes, and seconds that a process takes to be gone.
_CHUNK, _END = 2**18, 5.0
#: Seconds that it may take to start: a file system may be slow, and the machine busy.
START = 120.0


class ProcessEndedError(Exception):
    """It has ended before it answered: by a signal, or with an exit status."""


class DrawingProcess:
    """A process that draws learners of one run. One thread at a time may ask it.

    Parameters
    ----------
    folder : RunFolder
    timeout : float
        Seconds that a drawing may take.
    """

    def __init__(self, folder: RunFolder, timeout: float) -> None:
        self._timeout = timeout
        self._is_ready = False
        path = json.dumps(sys.path)
        words = [sys.executable, "-c", _CODE, path, os.fspath(folder), str(math.ceil(timeout))]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C ends this process, and so that one
        )  # fmt: skip

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def draw(self, item: int, fname: str | list[str]) -> dict[str, Any] | None:
        """Return the plot of a learner; None if it has no data.

        Raises
        ------
        TimeoutError
            It takes too long.
        ProcessEndedError
            It has ended.
        """
        process = self._process
        assert process.stdin is not None
        try:
            if not self._is_ready:
                self._answer(START)
                self._is_ready = True
            process.stdin.write(msgspec.json.encode({"item": item, "fname": fname}) + b"\n")
            process.stdin.flush()
            plot: dict[str, Any] | None = msgspec.json.decode(self._answer(self._timeout))
        except (OSError, msgspec.DecodeError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise ProcessEndedError(self._how_it_ended()) from error
        return plot

    def _answer(self, timeout: float) -> bytes:
        assert self._process.stdout is not None
        fd, end, received = self._process.stdout.fileno(), time.monotonic() + timeout, b""
        while not received.endswith(b"\n"):
            poll = select.poll()  # not `select`: there may be more than 1024 files
            poll.register(fd, select.POLLIN)
            if not poll.poll(max(0.0, end - time.monotonic()) * 1000):
                raise TimeoutError
            data = os.read(fd, _CHUNK)
            if not data:
                raise ProcessEndedError(self._how_it_ended())
            received += data
        return received

    def _how_it_ended(self) -> str:
        try:
            status = self._process.wait(_END)
        except subprocess.TimeoutExpired:
            return "does not answer any more"
        return f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"

    def end(self) -> None:
        """End it, with what it has started, whatever it does."""
        process = self._process
        if process.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        for file in (process.stdin, process.stdout):
            assert file is not None
            with suppress(OSError):
                file.close()
        with suppress(subprocess.TimeoutExpired):  # one that hangs in a file system
            process.wait(_END)
