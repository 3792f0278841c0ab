"""Which tasks an agent has, which of them it is ending, and the one report of each end."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from adaptive_scheduler.client.tasks.messages import Begun, Quit, Slot, Start, TaskEnd
from adaptive_scheduler.core.wire.tasks import EndKind
from adaptive_scheduler.io.system.child_process import ProcessEnd

#: A task that has run for so long is reported as begun; the end of a shorter one says it too.
BEGUN_AFTER = 0.05
#: Seconds after which a death by SIGTERM or SIGKILL is judged: a batch system that ends a job sends
#: them to all of its processes, and the head learns of it at the same time.
JUDGED_AFTER = 2.0
#: Signals by which batch systems end jobs.
_OF_ENDING_JOBS = (signal.SIGTERM, signal.SIGKILL)


@dataclass
class Stopping:
    """A task that is being ended: how it is to be called, and when it is killed.

    Attributes
    ----------
    is_told : bool
        False: its worker has not come to it yet.
    """

    kind: EndKind
    kill_at: float
    is_told: bool = True


class TaskLedger:
    """The tasks of one node, from their start to their report.

    Parameters
    ----------
    send : callable
        Takes a message for the head.

    Attributes
    ----------
    slots : dict of int to Slot
        Where each task is that has not been reported, by token.
    stopping : dict of int to Stopping
    recalled : set of int
        Tokens of tasks that are to come back if they have not begun.
    quit : Quit or None
        All are to end, and the agent with them.
    """

    def __init__(self, send: Callable[[Any], None]) -> None:
        self.slots: dict[int, Slot] = {}
        self.stopping: dict[int, Stopping] = {}
        self.recalled: set[int] = set()
        self.quit: Quit | None = None
        self._send = send
        self._begun: set[int] = set()
        self._doubtful: dict[int, tuple[float, TaskEnd]] = {}

    def add(self, start: Start) -> None:
        """The head has given it a task."""
        self.slots[start.token] = start.slot

    def note_running(self, token: int, pid: int, since: float, now: float) -> None:
        """A task runs: say so, once, when it has for a moment."""
        if now - since >= BEGUN_AFTER and token not in self._begun:
            self._begun.add(token)
            self._send(Begun(token, pid, since))

    def report(self, ended: TaskEnd) -> None:
        """A task has ended, or comes back."""
        if self.slots.pop(ended.token, None) is None:
            return
        self.stopping.pop(ended.token, None)
        self.recalled.discard(ended.token)
        self._begun.discard(ended.token)
        self._doubtful.pop(ended.token, None)
        self._send(ended)

    def judge(self, ended: TaskEnd, killed_by: int, now: float) -> None:
        """Report a death, at once or when it is known whether its whole job ends."""
        if not self.is_doubtful(ended.token, killed_by):
            self.report(ended)
        elif self.quit is not None:
            self.report(msgspec.structs.replace(ended, kind=self.quit.kind))
        else:
            self._doubtful[ended.token] = now + JUDGED_AFTER, ended

    def is_doubtful(self, token: int, killed_by: int) -> bool:
        """Whether a death may be that of the job: a signal that is not ours, as batch systems send it."""
        return killed_by in _OF_ENDING_JOBS and token not in self.stopping

    def report_judged(self, now: float) -> None:
        """Report deaths behind which no end of the job has come."""
        for ended in [one for at, one in self._doubtful.values() if now >= at]:
            self.report(ended)

    def settle(self, token: int, kind: EndKind) -> bool:
        """Report a death that was not judged yet as what it is now known to be."""
        if token not in self._doubtful:
            return False
        self.report(msgspec.structs.replace(self._doubtful[token][1], kind=kind))
        return True


def how(ending: ProcessEnd) -> str:
    """Say how a process ended, for people."""
    told = "" if ending.signal else f"ended with status {ending.status}: a program in it "
    if ending.killed_by == signal.SIGKILL:
        return f"{told}was killed, probably out of memory: peak {ending.peak / 1e9:.1f} GB"
    if ending.killed_by:
        return f"{told}was ended by {_name_of(ending.killed_by)}"
    return f"ended with status {ending.status}"


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
