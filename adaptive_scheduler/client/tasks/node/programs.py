"""A command that runs: its programs one after the other, its log, its time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from adaptive_scheduler.client.tasks.messages import Start, TaskEnd
from adaptive_scheduler.client.tasks.node.children import TASK_VARIABLE, Child, ProcessEnd
from adaptive_scheduler.core.tasks.command_spec import CommandSpec, CommandStep
from adaptive_scheduler.core.wire.tasks import EndKind

#: What runs texts.
SHELL = ("/bin/sh", "-c")


class RunningProgram:
    """A command in its slot.

    Attributes
    ----------
    start : Start
    since : float
        When its first program began (monotonic seconds).
    child : Child
        The program that runs.
    """

    child: Child

    def __init__(self, start: Start, environment: Mapping[str, str]) -> None:
        assert isinstance(start.work, CommandSpec)
        self.start = start
        self.since = time.monotonic()
        self._work = start.work
        self._steps = list(start.work.steps)
        self._step = CommandStep("")
        self._peak = 0
        self._environment = {
            **environment, **start.work.environment, TASK_VARIABLE: str(start.token),
        }  # fmt: skip

    def begin_step(self) -> TaskEnd | None:
        """Begin the next program; returns how the command ended if there is none, or it cannot begin."""
        if not self._steps:
            return self._end(EndKind.VALUE, 0)
        self._step = self._steps.pop(0)
        argv = self._step.argv or [*SHELL, self._step.text]
        try:
            log = os.open(
                self._work.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666
            )
            try:
                self.child = Child(
                    argv, cwd=self._work.folder, env=self._environment, stdout=log,
                    cores=self.start.slot.cores,
                )  # fmt: skip
            finally:
                os.close(log)
        except OSError as error:
            what = error.filename or argv[0]
            return self._end(EndKind.UNABLE, error.errno or 0, f"{what}: {error.strerror}")
        return None

    def end_step(self, stopped: EndKind | None) -> TaskEnd | None:
        """Reap the program that has ended; None if the next one is to begin.

        Parameters
        ----------
        stopped : EndKind or None
            How it is to be called if we have ended it.
        """
        ending = self.child.wait()
        self._peak = max(self._peak, ending.peak)
        if stopped is not None:
            return self._end(stopped, ending.signal or ending.status)
        if ending.signal:
            return self._end(EndKind.SIGNAL, ending.signal, self._text(ending))
        if ending.status:
            return self._end(EndKind.EXIT, ending.status, self._text(ending))
        return None

    def _text(self, ending: ProcessEnd) -> str:
        name = f"step {self._step.name!r} " if self._step.name else ""
        if ending.signal == signal.SIGKILL:
            return (
                f"{name}was killed, probably because memory ran out: it had "
                f"{ending.peak / 2**30:.1f} GB at most"
            )
        if ending.signal:
            return f"{name}was ended by {signal.Signals(ending.signal).name}"
        return f"{name}ended with status {ending.status}"

    def _end(self, kind: EndKind, code: int, text: str = "") -> TaskEnd:
        if kind is EndKind.VALUE and not self._work.keep_log:
            with suppress(OSError):
                Path(self._work.log).unlink()
        return TaskEnd(
            self.start.token, kind, code, seconds=time.monotonic() - self.since, peak=self._peak,
            text=text,
        )  # fmt: skip
