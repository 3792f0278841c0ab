"""A program in a real pseudo-terminal, and what a person sees there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyte

#: Seconds for anything that a person waits for, on a machine that does much else.
PATIENCE = 300.0


class PseudoTerminal:
    """Runs a program in a terminal of some size.

    Parameters
    ----------
    argv : sequence of str
    columns, lines : int
    folder : Path
        Where it runs.
    environ : mapping
        Beside that of this process.
    """

    def __init__(
        self,
        argv: Sequence[str],
        columns: int,
        lines: int,
        folder: Path,
        environ: Mapping[str, str],
    ) -> None:
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self.written = b""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.modes = termios.tcgetattr(slave)
        self._slave = slave
        env = {name: text for name, text in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, cwd=folder, close_fds=True,
            env={**env, "TERM": "xterm-256color", "NO_COLOR": "", **environ},
            preexec_fn=self._take_terminal, start_new_session=True,
        )  # fmt: skip

    def _take_terminal(self) -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def __enter__(self) -> PseudoTerminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)
        os.close(self._slave)

    def read(self, seconds: float = 0.1) -> None:
        """Take what it has written meanwhile."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self._master], [], [], left)[0]:
                return
            with contextlib.suppress(OSError):
                data = os.read(self._master, 65536)
                self.written += data
                self._stream.feed(data)

    @property
    def text(self) -> str:
        """What is on the screen."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def until(self, is_so: Callable[[str], object], what: str = "") -> str:
        """Wait until the screen shows something."""
        end = time.monotonic() + PATIENCE
        while not is_so(self.text):
            assert time.monotonic() < end, f"{what}\n{self.text}"
            self.read()
        return self.text

    def until_shown(self, words: str) -> str:
        """Wait until these words are on the screen."""
        return self.until(lambda text: words in text, f"{words!r} is not on the screen")

    def until_written(self, words: bytes) -> None:
        """Wait until the program has written this at some time; the last of it may come after its end."""
        end = time.monotonic() + PATIENCE
        while words not in self.written:
            assert time.monotonic() < end, f"{words!r} was not written\n{self.text}"
            self.read()

    def until_hidden(self, words: str) -> str:
        """Wait until these words are not on the screen any more."""
        return self.until(lambda text: words not in text, f"{words!r} is still on the screen")

    def type(self, keys: str) -> None:
        """Type something."""
        os.write(self._master, keys.encode())

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the program alone."""
        self.process.send_signal(number)

    def end(self) -> int:
        """Wait until the program has ended; returns its exit code."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < end, self.text
            self.read()
        self.read()
        return self.process.returncode

    def is_restored(self) -> bool:
        """Whether the terminal is as before: its modes, the cursor, the ordinary screen, no mouse.

        What a program has written last may come after its end, so it is waited for.
        """
        end = time.monotonic() + PATIENCE
        while not self.looks_restored():
            if time.monotonic() > end:
                return False
            self.read()
        return True

    def looks_restored(self) -> bool:
        """Whether it is now."""
        last = {
            mode: self.written.rfind(b"\x1b[?" + mode + b"l")
            > self.written.rfind(b"\x1b[?" + mode + b"h")
            for mode in (b"1049", b"1000")
        }
        cursor = self.written.rfind(b"\x1b[?25h") >= self.written.rfind(b"\x1b[?25l")
        return all(last.values()) and cursor and termios.tcgetattr(self._slave) == self.modes
