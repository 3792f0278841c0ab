"""One slot of a node: the tasks that wait for it, and the worker or program that runs in it."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from adaptive_scheduler.client.tasks.messages import Call, Done, Slot, Start, TaskEnd
from adaptive_scheduler.client.tasks.node.call_worker import Worker
from adaptive_scheduler.client.tasks.node.command_log import SpareLog
from adaptive_scheduler.client.tasks.node.environment import slot_environment
from adaptive_scheduler.client.tasks.node.ledger import (
    BEGUN_AFTER,
    JUDGED_AFTER,
    Stopping,
    TaskLedger,
    how,
)
from adaptive_scheduler.client.tasks.node.orphans import Origin, has_company
from adaptive_scheduler.client.tasks.node.programs import RunningProgram
from adaptive_scheduler.client.tasks.ranks.ranked_program import RankedProgram
from adaptive_scheduler.core.tasks.command_spec import CommandSpec
from adaptive_scheduler.core.wire.tasks import EndKind
from adaptive_scheduler.errors import ProtocolError
from adaptive_scheduler.io.system.child_process import ProcessEnd, is_shortage, patiently

#: Seconds between SIGTERM and SIGKILL.
GRACE = 10.0
#: Signals that a task is sent.
_OURS = (signal.SIGTERM, signal.SIGKILL)
#: A slot whose workers die so often before they have begun anything cannot run calls.
MAX_STILLBORN = 3


@dataclass(frozen=True)
class Node:
    """What the slots of a node have in common.

    Attributes
    ----------
    folder : Path
        Of the run.
    environment : mapping of str to str
        Of the job.
    cwd : str
        Working directory of workers.
    host : str
    name : str
        By which processes of this node are known.
    ledger : TaskLedger
    watch, unwatch : callable
        Call something when a file descriptor becomes readable, or no more.
    make_room : callable
        Called before a slot gets a worker.
    may_have_orphans : callable
        Called when a command has ended; returns whether it, or another one, may have left some.
    """

    folder: Path
    environment: Mapping[str, str]
    cwd: str
    host: str
    name: str
    ledger: TaskLedger
    watch: Callable[[Any, Callable[[], None]], None]
    unwatch: Callable[[Any], None]
    make_room: Callable[[Slot], None]
    may_have_orphans: Callable[[], bool]


def _is_for_worker(start: Start) -> bool:
    """Whether it is a call of one process: the ranks of others are started for it alone."""
    return start.ranks is None and isinstance(start.work, Call)


class SlotQueue:
    """Runs the tasks of one slot, one at a time.

    Parameters
    ----------
    slot : Slot
    node : Node

    Attributes
    ----------
    waiting : deque of Start
        What it is to run next.
    worker : Worker or None
    program : RunningProgram or None
    """

    def __init__(self, slot: Slot, node: Node) -> None:
        self.slot = slot
        self.waiting: deque[Start] = deque()
        self.worker: Worker | None = None
        self.program: RunningProgram | None = None
        self._node = node
        self._environment = slot_environment(slot, node.environment)
        self._spare = SpareLog()
        self._stillborn = 0
        self._meant = 0  # the call for which the worker was sent a signal

    # ------------------------------------------------------------------------- what it does

    @property
    def is_idle(self) -> bool:
        """Whether it has no task."""
        return not (self.waiting or self.program or (self.worker and self.worker.given))

    @property
    def has_next(self) -> bool:
        """Whether it has another task behind the one that runs."""
        return bool(self.waiting) or (self.worker is not None and len(self.worker.given) > 1)

    @property
    def running(self) -> tuple[int, float]:
        """The token of what runs, and since when (monotonic seconds); 0: nothing."""
        if self.program is not None:
            return self.program.start.token, self.program.since
        return (0, 0.0) if self.worker is None else self.worker.now()

    @property
    def pids(self) -> list[int]:
        """Its worker and its program."""
        return [one.child.pid for one in (self.worker, self.program) if one is not None]

    def uses(self, origin: Origin) -> bool:
        """Whether a process may be of the task that runs here."""
        token, since = self.running
        worker = None if self.worker is None or self.program is not None else self.worker.name
        return bool(token) and origin.may_be(token, since, worker, self.slot.cores)

    def look(self, now: float) -> None:
        """Notice what only the clock tells."""
        token, since = self.running
        if self.program is not None:
            self.program.look(now)
            start: Start | None = self.program.start
        else:
            start = self.worker.given.get(token) if self.worker and token else None
        if start is None:
            return
        self._node.ledger.note_running(token, self.pids[-1], since, now)
        if now - since >= BEGUN_AFTER:
            if self.program is not None:
                self.program.log.show()
            elif self.worker is not None:
                self._take_back(self.worker.recall(token))
        self._end_if_due(start, since, now)
        if self.program is not None and self.program.lingers is not None:
            self._end_lingering(self.program, self.program.lingers, now)

    def _end_if_due(self, start: Start, since: float, now: float) -> None:
        stopping = self._node.ledger.stopping.get(start.token)
        if stopping is None:
            if start.timeout is not None and now - since >= start.timeout:
                self._node.ledger.stopping[start.token] = Stopping(EndKind.TIMEOUT, now + GRACE)
                self._send(start, signal.SIGTERM)
        elif now >= stopping.kill_at:
            stopping.kill_at, stopping.is_told = float("inf"), True
            self._send(start, signal.SIGKILL)
        elif not stopping.is_told:
            stopping.is_told = True
            self._send(start, signal.SIGTERM)

    def _send(self, start: Start, number: int) -> None:
        """Send a signal to the task that runs."""
        if self.program is not None:
            self.program.send(number)
        elif self.worker is not None:
            self.worker.child.send(number)
            self._meant = start.token

    # ------------------------------------------------------------------------- beginning

    def take_out(self, token: int) -> bool:
        """Give up a task that waits here; returns whether it does."""
        for start in self.waiting:
            if start.token == token:
                self.waiting.remove(start)
                return True
        return False

    def pump(self) -> None:
        """Begin what it can."""
        while self.waiting and self.program is None:
            if _is_for_worker(self.waiting[0]):
                if not self._give_calls():
                    return
            elif self.worker is not None and self.worker.given:
                return
            else:
                self.program = self._program_of(self.waiting.popleft())
                self._begin_step(self.program)

    def _program_of(self, start: Start) -> RunningProgram:
        node = self._node
        if start.ranks is not None:
            return RankedProgram(
                start, self._environment, node.name, self._spare, node.folder, node.cwd
            )
        assert isinstance(start.work, CommandSpec)
        return RunningProgram(start, start.work, self._environment, node.host, self._spare)

    def _give_calls(self) -> bool:
        worker = self.worker or self._new_worker()
        room = 0 if worker is None else worker.room
        calls: list[Start] = []
        while self.waiting and len(calls) < room and _is_for_worker(self.waiting[0]):
            calls.append(self.waiting.popleft())
        if calls and worker is not None:
            worker.give(calls)
        return bool(calls)

    # ------------------------------------------------------------------------- programs

    def _begin_step(self, program: RunningProgram) -> None:
        """Begin the next step of a command; end it if there is none."""
        ended = program.begin_step()
        if ended is None:
            self._node.watch(program.child.pidfd, partial(self._program_ended, program))
        else:
            self._end_program(program, ended, 0)

    def _program_ended(self, program: RunningProgram) -> None:
        self._node.unwatch(program.child.pidfd)
        token, ledger = program.start.token, self._node.ledger
        killed_by = program.child.peek().killed_by
        may_linger = token in ledger.stopping or ledger.is_doubtful(token, killed_by)
        if may_linger and has_company(program.child.pid) and program.may_linger():
            program.lingers = time.monotonic() + JUDGED_AFTER
        elif not program.is_clean():
            program.lingers = time.monotonic()  # until it is
        else:
            self._end_step(program)

    def _end_lingering(self, program: RunningProgram, until: float, now: float) -> None:
        is_stopping = program.start.token in self._node.ledger.stopping  # then SIGKILL comes
        is_over = not has_company(program.child.pid) or (now >= until and not is_stopping)
        if is_over and program.is_clean():
            self._end_step(program)

    def _end_step(self, program: RunningProgram) -> None:
        stopping = self._node.ledger.stopping.get(program.start.token)
        ended, ending = program.end_step(None if stopping is None else stopping.kind)
        if ended is None:
            self._begin_step(program)
        else:
            self._end_program(program, ended, ending.killed_by)
        self.pump()

    def _end_program(self, program: RunningProgram, ended: TaskEnd, killed_by: int) -> None:
        self.program = None
        program.close(ended, is_alone=not self._node.may_have_orphans())
        self._node.ledger.judge(ended, killed_by, time.monotonic())

    # ------------------------------------------------------------------------- workers

    def _new_worker(self) -> Worker | None:
        self._node.make_room(self.slot)
        try:
            worker = patiently(
                lambda: Worker(self.slot, self._environment, self._node.folder, self._node.cwd)
            )
        except OSError as error:
            kind = EndKind.DIED if is_shortage(error) else EndKind.UNABLE
            self._fail_calls(f"no worker can be started: {error}", kind)
            return None
        self.worker, self._meant = worker, 0
        self._node.watch(worker.frames.sock, partial(self._hear, worker))
        self._node.watch(worker.child.pidfd, partial(self._worker_ended, worker))
        return worker

    def _hear(self, worker: Worker) -> None:
        self._take_all(worker)
        if not worker.frames.is_open:
            # it has ended, or user code has closed its files or written into them: then it can tell
            # nothing any more
            self._node.unwatch(worker.frames.sock)
            worker.child.send(signal.SIGKILL)
        elif self.waiting:
            self.pump()

    def _take_all(self, worker: Worker) -> None:
        try:
            for done in worker.frames.receive():
                self._take(worker, done)
        except ProtocolError:
            worker.frames.is_open = False

    def _take(self, worker: Worker, done: Done) -> None:
        report = self._node.ledger.report
        for token, kind, value, path, seconds, text in done.results:
            if token != self._meant and self._meant not in worker.given:
                self._meant = 0  # this one began behind it, and was not hit
            if worker.given.pop(token, None) is not None:
                worker.note(seconds)
                report(TaskEnd(token, kind, 0, value, path, seconds, text=text))
        if done.dropped:
            self._take_back(worker.dropped(done.dropped))

    def _worker_ended(self, worker: Worker) -> None:
        """A worker has ended: so has the task in it; the others that it was given begin elsewhere."""
        self._node.unwatch(worker.child.pidfd)
        if worker.frames.is_open:
            self._node.unwatch(worker.frames.sock)
        self._take_all(worker)  # what it had sent before
        token, since = worker.now()
        ending = worker.child.reap()
        self.worker = None
        # a signal for an earlier call may come when this one has just begun: then it is taken back
        is_hit_for_another = self._meant not in (0, token) and ending.signal in _OURS
        start = None if is_hit_for_another else worker.given.pop(token, None)
        if start is not None:
            now = time.monotonic()
            self._node.ledger.judge(self._death(start, ending, now - since), ending.signal, now)
        self._take_back(list(worker.given.values()))
        self._count_stillborn(worker, ending, has_begun=start is not None)
        worker.close()
        self.pump()

    def _count_stillborn(self, worker: Worker, ending: ProcessEnd, *, has_begun: bool) -> None:
        if has_begun or worker.answered:
            self._stillborn = 0
        elif worker.given:
            self._stillborn += 1
        if self._stillborn >= MAX_STILLBORN:
            self._fail_calls(f"its workers end before they can begin: the last one {how(ending)}")

    def _take_back(self, starts: list[Start]) -> None:
        """A worker has not come to these: another one begins them, unless they are to end."""
        ledger = self._node.ledger
        for start in reversed(starts):
            stopping = ledger.stopping.get(start.token)
            if stopping is not None:
                ledger.report(TaskEnd(start.token, stopping.kind, begun=False))
            elif start.token in ledger.recalled:
                ledger.report(TaskEnd(start.token, EndKind.BACK, begun=False))
            else:
                self.waiting.appendleft(start)

    def _death(self, start: Start, ending: ProcessEnd, seconds: float) -> TaskEnd:
        stopping = self._node.ledger.stopping.get(start.token)
        kind = EndKind.SIGNAL if ending.signal else EndKind.DIED
        text = f"the process that evaluated it {how(ending)}"
        if stopping is not None:
            kind, text = stopping.kind, ""
        code = ending.signal or ending.status
        return TaskEnd(start.token, kind, code, seconds=seconds, peak=ending.peak, text=text)

    def _fail_calls(self, why: str, kind: EndKind = EndKind.UNABLE) -> None:
        """Report calls that wait as what `kind` says; with ``DIED`` only the first, others come back."""
        self._stillborn = 0
        calls = [start for start in self.waiting if _is_for_worker(start)]
        self.waiting = deque(start for start in self.waiting if not _is_for_worker(start))
        for start in calls:
            self._node.ledger.report(TaskEnd(start.token, kind, text=why, begun=False))
            kind = EndKind.BACK if kind is EndKind.DIED else kind

    # ------------------------------------------------------------------------- the end

    def end_worker(self) -> None:
        """Kill its worker; `_worker_ended` follows."""
        if self.worker is not None:
            self.worker.child.send(signal.SIGKILL)

    def close(self) -> None:
        """Kill and reap its worker, and keep no file open; its last program has ended."""
        if self.worker is not None:
            self.worker.child.reap()
        self._spare.close()
