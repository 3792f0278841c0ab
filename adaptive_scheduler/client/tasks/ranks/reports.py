"""What launcher and ranks say on standard error: reports, and lines for people."""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec

from adaptive_scheduler.client.tasks.ranks.plan import RankReport

_report = msgspec.json.Decoder(RankReport)
#: Letters of a line that is quoted.
_LONGEST = 300

#: What srun says of itself when its job was suspended and goes on: a task's value may be its log's last line.
_NO_NEWS = frozenset({b"srun: got SIGCONT"})


class LauncherOutput:
    """The standard error of a launcher, as a pipe.

    Attributes
    ----------
    fd : int
        To be read; -1 once it is closed.
    its : int
        For the launcher; -1 once it has it.
    last_line : str
        What was said last that is no report.
    """

    def __init__(self) -> None:
        self.fd, self.its = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.fd, False)
        self.last_line = ""
        self._rest = b""

    def read(self) -> Iterator[RankReport | bytes]:
        """Return what has come: reports, and lines with their ends."""
        while data := self._take():
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                if line not in _NO_NEWS:
                    yield self._understood(line)
        if self.fd < 0 and self._rest:
            line, self._rest = self._rest, b""
            yield self._understood(line)

    def _take(self) -> bytes:
        try:
            data = os.read(self.fd, 2**16) if self.fd >= 0 else b""
        except BlockingIOError:
            return b""
        if not data:
            self.close()
        return data

    def _understood(self, line: bytes) -> RankReport | bytes:
        try:
            report: RankReport = _report.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            text = line.decode(errors="replace").strip()
            if any(map(str.isalnum, text)):  # Hydra draws lines of signs
                self.last_line = text[:_LONGEST]
            return line + b"\n"
        return report

    def close_its(self) -> None:
        """The launcher has its end."""
        if self.its >= 0:
            os.close(self.its)
            self.its = -1

    def close(self) -> None:
        """Read no more."""
        self.close_its()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
