"""The head: the client of a pool's job, the one process of it that talks to the manager.

Two threads. The main one waits for the agent and for the manager's answers, and is the only one
that touches the `HeadSession`. The link's thread (`head_link`) carries one Trade at a time to the
manager; a newer one takes the place of one that waits there.

**The end.** There is one way to it, `HeadProcess.leave`: nothing more is begun, what waits is given
back, what runs is ended and reported as cut. When the manager has confirmed all ends, or there is
no time left, the head says goodbye. A signal, the deadline of the walltime, the manager's word, a
driver that is gone, a manager that is away for too long: all lead there.
"""

from __future__ import annotations

import argparse
import math
import os
import selectors
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
import psutil

from adaptive_scheduler.client import job_environment
from adaptive_scheduler.client.deadline import Deadline, walltime_left
from adaptive_scheduler.client.job_environment import JobEnvironment
from adaptive_scheduler.client.signals import ENDING, WARNING, ParentWatch
from adaptive_scheduler.client.tasks.head.agent_link import AgentLink
from adaptive_scheduler.client.tasks.head.allocation import (
    allocation_left,
    are_bound,
    of_allocation,
    of_job,
)
from adaptive_scheduler.client.tasks.head.head_link import HeadLink
from adaptive_scheduler.client.tasks.head.head_session import Action, EndTask, HeadSession, Recall
from adaptive_scheduler.client.tasks.messages import Begun, Call, Slot, Start, TaskEnd
from adaptive_scheduler.client.tasks.node.environment import TASK_VARIABLE, WORKER_VARIABLE
from adaptive_scheduler.core import paths
from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.tasks.command_spec import CommandSpec
from adaptive_scheduler.core.tasks.place import NodeInventory, NodePlace
from adaptive_scheduler.core.wire.messages import Goodbye, Hello, Owner
from adaptive_scheduler.core.wire.tasks import EndKind, Given, Trade
from adaptive_scheduler.errors import AdaptiveSchedulerError, ProtocolError, RequestRefusedError
from adaptive_scheduler.executors import signals
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.io.system.child_process import become_subreaper

#: Seconds for which ends are gathered while every slot has work.
GATHER = 0.01
#: Seconds after which the manager is told, at the latest, that a task has been running for a moment.
TELL_BEGUN = 0.5
#: Seconds between SIGTERM and SIGKILL for what runs at the end.
GRACE = 10.0
#: The same when a signal has come, as all processes of the job may have got it: PBS kills them all
#: after ten seconds (PBS Professional administrator's guide, kill_delay), and when nobody waits.
SIGNAL_GRACE, LONELY_GRACE = 5.0, 3.0
#: Seconds that the manager may take to confirm the last ends, beyond the grace.
CONFIRM = 5.0
#: Seconds that a goodbye may take, and that either may take if the manager is away already.
FAREWELL, LONELY = 3.0, 1.0
#: The modules that a node's supervisor and agent run.
NODE = {f"adaptive_scheduler.client.tasks.node.{name}" for name in ("supervisor", "agent")}
#: Seconds between two looks at what only the clock tells.
TICK = 1.0


class HeadEnd:
    """When a head leaves, and why.

    Parameters
    ----------
    deadline : Deadline
        Of its job.

    Attributes
    ----------
    reason : str
        "" while it stays.
    gave_up : bool
        It leaves because no manager was there for too long.
    """

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self.reason = ""
        self.gave_up = False
        self._ended_at = float("inf")
        self._margin = min(GRACE + CONFIRM, deadline.spare / 5)

    @property
    def has_come(self) -> bool:
        """Whether so little of the walltime is left that tasks are to end."""
        return self.deadline.spare <= self._margin

    @property
    def seconds_left(self) -> float | None:
        """Until tasks are to end; None: nobody knows of an end."""
        if self.reason:
            return 0.0
        spare = self.deadline.spare
        return None if math.isinf(spare) else max(0.0, spare - self._margin)

    def begin(self, reason: str, grace: float) -> float:
        """Begin to leave; returns the seconds that tasks have to end: `grace` at most."""
        grace = max(0.0, min(grace, self.deadline.spare - self._margin / 3))
        self.reason = reason
        self._ended_at = time.monotonic() + grace
        return grace

    def is_over(self, *, is_away: bool) -> bool:
        """Whether it goes now, whatever the manager, which may be away, has not confirmed."""
        patience = min(LONELY if is_away else CONFIRM, self._margin / 3)
        return time.monotonic() >= self._ended_at + patience


class HeadProcess:
    """Runs the tasks of one node.

    Parameters
    ----------
    folder : RunFolder
    config : RunConfig
    hello : Hello
        Its inventory has one node.
    owner : Owner
    deadline : Deadline
    """

    def __init__(
        self, folder: RunFolder, config: RunConfig, owner: Owner, hello: Hello, deadline: Deadline
    ) -> None:
        self._timing = config.timing
        self._session = HeadSession()
        self._ending = HeadEnd(deadline)
        self._post_at = float("inf")
        self._next_look = 0.0
        self._signals = _Signals()
        self._selector = selectors.DefaultSelector()
        for path in (folder.values, folder.functions):
            path.mkdir(mode=0o700, exist_ok=True)
        self._has_gpus = any(node.gpus for node in hello.inventory)
        self._link = HeadLink(folder, owner, hello)
        self._agents = AgentLink(folder, self._selector, self)
        self._selector.register(self._link.answered, selectors.EVENT_READ, self._take_answers)
        self._selector.register(self._signals.fd, selectors.EVENT_READ, self._take_signals)

    def run(
        self, is_alone: Callable[[], bool] = bool, on_work: Callable[[], None] = lambda: None
    ) -> str:
        """Trade and run until the end comes; returns why it came.

        Parameters
        ----------
        is_alone : callable
            Whether those are gone for whom it works; asked each second.
        on_work : callable
            Called when the first task has come.
        """
        try:
            while not self._is_done():
                had_worked = self._session.has_worked
                self._turn()
                if self._session.has_worked and not had_worked:
                    on_work()
                if time.monotonic() >= self._next_look:
                    self._next_look = time.monotonic() + TICK
                    if is_alone():
                        self.leave("who started it has ended", LONELY_GRACE)
        except BaseException as error:
            self._agents.close()
            self._say_goodbye(f"{type(error).__name__}: {error}", broken=True)
            raise
        self._agents.close()
        self._say_goodbye(self._ending.reason)
        return self._ending.reason

    def _say_goodbye(self, reason: str, *, broken: bool = False) -> None:
        if self._link.fault is None:
            is_early = broken and not self._session.has_worked
            patience = LONELY if self._link.away_for() else FAREWELL
            self._link.close(Goodbye(reason, is_early), patience, gave_up=self._ending.gave_up)

    def _is_done(self) -> bool:
        if not self._ending.reason:
            return False
        is_told = not self._session.running and not self._session.has_news
        return is_told or self._ending.is_over(is_away=self._link.away_for() > 0)

    def _turn(self) -> None:
        wait = max(0.0, min(TICK, self._post_at - time.monotonic()))
        for key, _ in self._selector.select(wait):
            key.data()
        if self._link.fault is not None:
            raise self._link.fault
        now = time.monotonic()
        self._agents.tick(now)
        self._watch_clock()
        if now >= self._post_at:
            self._post_at = now + self._timing.beat
            self._link.post(self._trade())

    def _watch_clock(self) -> None:
        if self._ending.has_come:
            self.leave("its walltime ends")
        elif self._link.away_for() > self._timing.client_patience:
            self._ending.gave_up = True
            self.leave(
                f"the manager was away for longer than client_patience "
                f"({self._timing.client_patience:g} s)"
            )

    def leave(self, reason: str, grace: float = GRACE) -> None:
        """Begin nothing more, give back what waits, end what runs: within `grace` seconds."""
        if self._ending.reason:
            return
        grace = self._ending.begin(reason, grace)
        self._session.give_back_waiting()
        self._agents.quit(grace)
        self._soon(0.0)

    def _trade(self) -> Trade:
        trade = self._session.trade(0.0 if self._ending.reason else self._timing.beat)
        return msgspec.structs.replace(trade, seconds_left=self._ending.seconds_left)

    def _soon(self, seconds: float) -> None:
        if self._agents.has_come:  # a head that cannot begin anything yet asks for nothing
            self._post_at = min(self._post_at, time.monotonic() + seconds)

    # ------------------------------------------------------------------ signals

    def _take_signals(self) -> None:
        for number in self._signals.take():
            if number in ENDING:
                self.leave(f"signal {signal.Signals(number).name}", SIGNAL_GRACE)
            else:
                # the batch system may take seconds to answer
                threading.Thread(target=self._ending.deadline.update, daemon=True).start()

    # ------------------------------------------------------------------ the manager

    def _take_answers(self) -> None:
        os.eventfd_read(self._link.answered)
        while self._link.answers:
            work = self._link.answers.popleft()
            for action in self._session.take(work):
                self._carry_out(action)
            if self._ending.reason:
                self._session.give_back_waiting()
            elif work.leave:
                self.leave("the manager has no work for it")
        self._soon(GATHER if self._session.can_wait else 0.0)

    def _carry_out(self, action: Action) -> None:
        if isinstance(action, EndTask):
            self._agents.stop(action.token)
            return
        if isinstance(action, Recall):
            self._agents.recall(action.token)
            return
        given, (place, *_) = action.given, action.place
        try:
            work = _work(given)
        except msgspec.MsgspecError as error:
            text = f"it is no command of this version: {error}"
            self.task_ended(TaskEnd(given.token, EndKind.UNABLE, text=text, begun=False))
            return
        slot = _slot(place, given.threads, self._has_gpus)
        self._agents.start(Start(given.token, work, slot, given.timeout, given.attempt))

    # ------------------------------------------------------------------ the agent

    def agent_came(self) -> None:
        """There is an agent: it can begin something."""
        self._soon(0.0)

    def task_begun(self, begun: Begun) -> None:
        """A task has been running for a moment."""
        for recall in self._session.note_begun(begun.token, 0, begun.pid):
            self._carry_out(recall)
        self._soon(TELL_BEGUN)

    def task_ended(self, ended: TaskEnd) -> None:
        """A task has ended: another one may take over its place."""
        begins = self._session.end(
            ended.token, EndKind(ended.kind), begun=ended.begun, code=ended.code, value=ended.value,
            path=ended.path, seconds=ended.seconds, peak=ended.peak, text=ended.text,
        )  # fmt: skip
        for begin in begins:
            self._carry_out(begin)
        self._soon(GATHER if self._session.can_wait else 0.0)

    def agent_lost(self, unsent: frozenset[int]) -> None:
        """What ran there died with it."""
        is_ending = bool(self._ending.reason)
        self._session.lose("the agent of its node died", is_ending=is_ending, unsent=unsent)
        self._soon(0.0)


class _Signals:
    """Signals, as something that a selector can wait for: a handler may run in the middle of anything."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._numbers: list[int] = []
        if threading.current_thread() is threading.main_thread():
            signals.take((*ENDING, *WARNING), self._note)

    def _note(self, number: int, _frame: Any) -> None:
        self._numbers.append(number)
        os.eventfd_write(self.fd, 1)

    def take(self) -> list[int]:
        """Return those that have come since."""
        os.eventfd_read(self.fd)
        numbers, self._numbers = self._numbers, []
        return numbers


def _work(given: Given) -> Call | CommandSpec:
    if given.function:
        return Call(given.function, given.spec)
    return msgspec.msgpack.decode(given.spec, type=CommandSpec)


def _slot(place: NodePlace, threads: int, has_gpus: bool) -> Slot:
    gpus = tuple(dict.fromkeys(gpu for gpu, _ in place.gpus)) if has_gpus else None
    return Slot(tuple(place.cores), gpus, threads)


def hello_of(node: NodeInventory, submit: int = -1) -> Hello:
    """Return how the head of a node introduces itself."""
    return Hello(socket.gethostname(), os.getpid(), len(node.cores), submit, [node])


def run_in_job(job: JobEnvironment, folder: RunFolder, config: RunConfig, log: Any) -> int:
    """Be the head of the job that this process runs in; returns its exit code."""
    log.info("head_started", pid=os.getpid(), host=socket.gethostname())
    if config.environment is not None:
        job_environment.check(config.environment)
        job_environment.restore(config.environment)
    node = of_job(os.environ, job.cores)
    if not are_bound(node):
        log.info("cores_not_bound", cores=len(node.cores), reason="the batch system binds no jobs")
    if job.owner.attempt:
        wait_for_earlier_head(job.owner.job)
    become_subreaper()
    deadline = Deadline(partial(walltime_left, job, folder))
    head = HeadProcess(folder, config, job.owner, hello_of(node, job.submit), deadline)
    try:
        why = head.run(ParentWatch(job.owner.job).are_gone, job.mark_begun)
    except (RequestRefusedError, ProtocolError):
        job.mark_end()  # the next one would be refused as well
        raise
    job.mark_end()
    log.info("head_ended", reason=why)
    return 0


def wait_for_earlier_head(job: str) -> None:
    """Wait until what a head that was killed has left in this job is gone: it has the same cores.

    Its agent ends its tasks. If that was killed with it, and the supervisor too, nobody does: then
    they are killed here.
    """
    end = time.monotonic() + GRACE + CONFIRM
    while time.monotonic() < end and any(_modules(one) & NODE for one in _of_job(job)):
        time.sleep(0.2)
    for process in _of_job(job):
        with suppress(psutil.Error):
            if process.environ().keys() & {TASK_VARIABLE, WORKER_VARIABLE}:
                process.kill()


def _of_job(job: str) -> list[psutil.Process]:
    """Other processes of a job that this user may see."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(paths.JOB_VARIABLE) == job:
                found.append(process)
    return found


def _modules(process: psutil.Process) -> set[str]:
    with suppress(psutil.Error):
        return set(process.cmdline())
    return set()


def main(argv: list[str]) -> int:
    """Run the tasks of this machine until a signal, or until the run is over."""
    parser = argparse.ArgumentParser(prog="python -m adaptive_scheduler.client.tasks.head.head")
    parser.add_argument("folder", help="of the run")
    parser.add_argument("--slots", type=int, help="cores for tasks; default: all")
    parser.add_argument("--gpu", action="append", default=[], help="a GPU, by number or name")
    parser.add_argument("--parent", type=int, help="leave when this process, its parent, has ended")
    parser.add_argument("--job", help="what it is for its manager; default: something new")
    parser.add_argument("--attempt", type=int, default=0, help="how often it was started before")
    given = parser.parse_args(argv)
    become_subreaper()
    folder = RunFolder(given.folder)
    job = given.job or f"here:{socket.gethostname()}:{os.getpid()}"
    owner = Owner(job, 0, given.attempt, uuid.uuid4().hex)
    if given.attempt:
        wait_for_earlier_head(job)
    node = of_allocation(os.environ, given.slots, given.gpu)
    deadline = Deadline(lambda: allocation_left(os.environ, time.time()))
    try:
        config = read_config(folder)
        head = HeadProcess(folder, config, owner, hello_of(node), deadline)
        # its number is given: when this line is reached, the parent may have ended already
        head.run(lambda: given.parent is not None and os.getppid() != given.parent)
    except AdaptiveSchedulerError as error:
        print(f"adaptive_scheduler: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
