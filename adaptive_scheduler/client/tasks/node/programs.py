"""A command that runs: its programs one after the other, its log, its time."""

from __future__ import annotations

import time
from collections.abc import Mapping

from adaptive_scheduler.client.tasks.messages import Start, TaskEnd
from adaptive_scheduler.client.tasks.node.command_log import CommandLog, SpareLog
from adaptive_scheduler.client.tasks.node.environment import argv_of, placeholders
from adaptive_scheduler.client.tasks.node.ledger import how
from adaptive_scheduler.client.tasks.node.variables import TASK_VARIABLE
from adaptive_scheduler.core.tasks.command_spec import CommandSpec, CommandStep
from adaptive_scheduler.core.wire.tasks import EndKind
from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.io.system.child_process import (
    Child,
    ProcessEnd,
    is_shortage,
    patiently,
)


class RunningProgram:
    """A command in its slot.

    Parameters
    ----------
    start : Start
    work : CommandSpec
        What runs.
    environment : mapping of str to str
        Of its slot.
    host : str
    spare : SpareLog
        Of its slot.

    Attributes
    ----------
    start : Start
    log : CommandLog
    since : float
        When its first program began (monotonic seconds).
    child : Child
        The program that runs.
    lingers : float or None
        Its program has ended, and until this moment what is left of the process group may go on:
        a shell ends at SIGTERM at once, while its program still saves.
    """

    child: Child

    def __init__(
        self,
        start: Start,
        work: CommandSpec,
        environment: Mapping[str, str],
        host: str,
        spare: SpareLog,
    ) -> None:
        self.start = start
        self.log = CommandLog(work.log, spare, is_first=start.attempt == 1)
        self.since = time.monotonic()
        self.lingers: float | None = None
        self._work = work
        self._steps = list(work.steps)
        self._step = CommandStep("")
        self._peak = 0
        self._host = host
        self._environment = {
            **environment, **work.environment, TASK_VARIABLE: str(start.token),
        }  # fmt: skip

    def begin_step(self) -> TaskEnd | None:
        """Begin the next program; returns how the command ended if there is none, or it cannot begin."""
        if not self._steps:
            return self._end(EndKind.VALUE, 0)
        self._step = self._steps.pop(0)
        try:
            self.child = patiently(self._spawn)
        except OSError as error:
            what = error.filename or self._step.text or self._step.argv[0]
            text = f"{self._name}could not be started: {what}: {error.strerror}"
            kind = EndKind.DIED if is_shortage(error) else EndKind.UNABLE
            return self._end(kind, error.errno or 0, text)
        except (ValueError, AdaptiveSchedulerError) as error:  # a NUL in an argument; no launcher
            return self._end(EndKind.UNABLE, 0, f"{self._name}could not be started: {error}")
        return None

    def _spawn(self) -> Child:
        values = placeholders(self.start.slot, self._host, self.start.attempt)
        child = Child(
            argv_of(self._step, values), self._environment, cwd=self._work.folder,
            output=self.log.open(), cores=self.start.slot.cores,
        )  # fmt: skip
        child.prefer_when_memory_is_short()
        return child

    def end_step(self, stopped: EndKind | None) -> tuple[TaskEnd | None, ProcessEnd]:
        """Reap the program that has ended; no `TaskEnd` if the next one is to begin.

        Parameters
        ----------
        stopped : EndKind or None
            How it is to be called if we have ended it.
        """
        ending = self._reap()
        self.lingers = None
        self._peak = max(self._peak, ending.peak)
        if stopped is not None:
            return self._end(stopped, ending.signal or ending.status), ending
        return self._judge(ending), ending

    def _reap(self) -> ProcessEnd:
        return self.child.reap()

    def _judge(self, ending: ProcessEnd) -> TaskEnd | None:
        """Say how the command ended with its program; None: it goes on."""
        if not (ending.signal or ending.status):
            return None
        text = self._name + how(ending)
        if ending.signal and not self._work.signal_is_exit:
            return self._end(EndKind.SIGNAL, ending.signal, text)
        code = 128 + ending.signal if ending.signal else ending.status
        return self._end(EndKind.EXIT, code, text)

    def send(self, number: int) -> None:
        """Send a signal to its program."""
        self.child.send(number)

    def look(self, now: float) -> None:
        """Notice what only the clock tells."""

    def may_linger(self) -> bool:
        """Whether what its program leaves may go on for a moment when it was ended."""
        return True

    def is_clean(self) -> bool:
        """Whether nothing is left of its program elsewhere; kills what is."""
        return True

    @property
    def _name(self) -> str:
        return f"step {self._step.name!r} " if self._step.name else ""

    def close(self, ended: TaskEnd, *, is_alone: bool) -> None:
        """Close its log; `is_alone`: nothing that it has started is left."""
        has_failed = ended.kind is not EndKind.VALUE
        is_kept = has_failed or self._work.keep_log
        is_shown = has_failed or self._work.keep_empty_log
        self.log.close(is_kept=is_kept, is_shown=is_shown, is_alone=is_alone)

    def _end(self, kind: EndKind, code: int, text: str = "") -> TaskEnd:
        return TaskEnd(
            self.start.token, kind, code, seconds=time.monotonic() - self.since, peak=self._peak,
            text=text,
        )  # fmt: skip
