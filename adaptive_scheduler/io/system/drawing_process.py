"""Starts the process that draws learners, asks it, and ends it when it takes too long."""

from __future__ import annotations

import json
import math
import os
import select
import signal
import subprocess
import sys
import threading
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
#: Bytes that one read takes, seconds that a process takes to be gone, and between two looks whether it is.
_CHUNK, _END, _LOOK = 2**18, 5.0, 1.0
#: Seconds that it may take to start: a file system may be slow, and the machine busy.
START = 120.0


class ProcessEndedError(Exception):
    """It has ended before it answered: by a signal, or with an exit status."""


class NoStartError(Exception):
    """It cannot be started, or does not come so far that it can be asked."""


class DrawingProcess:
    """A process that draws learners of one run. One thread at a time may ask it; any may end it.

    Parameters
    ----------
    folder : RunFolder
    timeout : float
        Seconds that a drawing may take.

    Attributes
    ----------
    begun : float
        When the last drawing began, after the start of the process.

    Raises
    ------
    NoStartError
    """

    def __init__(self, folder: RunFolder, timeout: float) -> None:
        self._timeout = timeout
        self._is_ready = False
        self.begun = 0.0
        # while it is asked its files stay open: the numbers of closed ones are used again
        self._asked = threading.Lock()
        path = json.dumps([one for one in sys.path if isinstance(one, str)])
        # -P: not what lies in the folder of who looks, as a json.py
        words = [sys.executable, "-P", "-c", _CODE, path]
        try:
            self._process = subprocess.Popen(
                [*words, os.fspath(folder), str(math.ceil(timeout))],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C ends this process, and so that one
            )  # fmt: skip
        except OSError as error:  # this user has too many processes, for example
            raise NoStartError(error.strerror or str(error)) from error

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked."""
        return not self._has_ended()

    @property
    def has_drawn(self) -> bool:
        """Whether it was asked before: it may have ended for another reason than what it is asked."""
        return self._is_ready

    def draw(self, item: int, fname: str | list[str]) -> dict[str, Any] | None:
        """Return the plot of a learner; None if it has no data.

        Raises
        ------
        TimeoutError
            It takes too long.
        ProcessEndedError
            It has ended.
        NoStartError
        """
        process = self._process
        assert process.stdin is not None
        request = msgspec.json.encode({"item": item, "fname": fname}) + b"\n"
        with self._asked:
            if not self._is_ready:
                self._wait_for_start()
            self.begun = time.monotonic()
            try:
                process.stdin.write(request)
                process.stdin.flush()
                plot: dict[str, Any] | None = msgspec.json.decode(self._answer(self._timeout))
            except TimeoutError:
                raise
            # a ValueError: its files were closed
            except (OSError, ValueError, msgspec.DecodeError) as error:
                raise ProcessEndedError(self._how_it_ended()) from error
        return plot

    def _wait_for_start(self) -> None:
        try:
            self._answer(START)
        except TimeoutError:
            raise NoStartError(f"it takes longer than {START:.0f} s") from None
        except (ProcessEndedError, OSError, ValueError) as error:
            raise NoStartError(f"it {self._how_it_ended()}") from error
        self._is_ready = True

    def _answer(self, timeout: float) -> bytes:
        assert self._process.stdout is not None
        fd, end, received = self._process.stdout.fileno(), time.monotonic() + timeout, b""
        while not received.endswith(b"\n"):
            poll = select.poll()  # not `select`: there may be more than 1024 files
            poll.register(fd, select.POLLIN)
            left = max(0.0, end - time.monotonic())
            has_ended = self._has_ended()  # what it has started may hold its output open
            if not poll.poll(0 if has_ended else min(left, _LOOK) * 1000):
                if has_ended:
                    raise ProcessEndedError(self._how_it_ended())
                if left:
                    continue
                raise TimeoutError
            data = os.read(fd, _CHUNK)
            if not data:
                raise ProcessEndedError(self._how_it_ended())
            received += data
        return received

    def _has_ended(self) -> bool:
        """Whether it has; what it has started ends at once, as long as its group cannot be another one's."""
        process = self._process
        if process.returncode is not None:
            return True
        if process.poll() is None:
            return False
        self._kill()
        return True

    def _kill(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _how_it_ended(self) -> str:
        end = time.monotonic() + _END
        while not self._has_ended():
            if time.monotonic() > end:
                return "does not answer any more"
            time.sleep(0.01)
        status = self._process.returncode
        return f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"

    def end(self) -> None:
        """End it, with what it has started, whatever it does; who waits for an answer hears of it."""
        process = self._process
        if not self._has_ended():
            self._kill()
        if self._asked.acquire(timeout=_END):
            for file in (process.stdin, process.stdout):
                assert file is not None
                with suppress(OSError):
                    file.close()
            self._asked.release()
        with suppress(subprocess.TimeoutExpired):  # one that hangs in a file system
            process.wait(_END)
