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
from functools import partial
from typing import Any

import msgspec

from adaptive_scheduler.client import job_environment
from adaptive_scheduler.client.deadline import Deadline, walltime_left
from adaptive_scheduler.client.job_environment import JobEnvironment
from adaptive_scheduler.client.signals import ENDING, WARNING, ParentWatch
from adaptive_scheduler.client.tasks.head.allocation import (
    allocation_left,
    are_bound,
    of_allocation,
    of_job,
)
from adaptive_scheduler.client.tasks.head.head_link import HeadLink
from adaptive_scheduler.client.tasks.head.head_session import Action, EndTask, HeadSession, Recall
from adaptive_scheduler.client.tasks.head.nodes import JobNodes, Nodes
from adaptive_scheduler.client.tasks.messages import Begun, TaskEnd
from adaptive_scheduler.client.tasks.other_nodes.earlier_life import wait_for_earlier
from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.paths import JOB_VARIABLE, NODE_VARIABLE, RunFolder
from adaptive_scheduler.core.tasks.place import NodeInventory
from adaptive_scheduler.core.wire.messages import Goodbye, Hello, Owner
from adaptive_scheduler.core.wire.tasks import EndKind, Trade
from adaptive_scheduler.errors import AdaptiveSchedulerError, ProtocolError, RequestRefusedError
from adaptive_scheduler.executors import signals
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.io.system.child_process import become_subreaper
from adaptive_scheduler.schedulers.node_launch import nodes_of_job
from adaptive_scheduler.schedulers.rank_launch import says_job_is_gone

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
    """Runs the tasks of one job.

    Parameters
    ----------
    folder : RunFolder
    config : RunConfig
    owner : Owner
    nodes : JobNodes
    submit : int
        Number of the submit that made the job; -1: none.
    deadline : Deadline
    """

    def __init__(
        self, folder: RunFolder, config: RunConfig, owner: Owner, nodes: JobNodes, submit: int,
        deadline: Deadline,
    ) -> None:  # fmt: skip
        self._timing = config.timing
        self._submit = submit
        self._session = HeadSession()
        self._session.expect(range(1, len(nodes.names)))
        self._ending = HeadEnd(deadline)
        self._post_at = float("inf")
        self._next_look = 0.0
        self._signals = _Signals()
        self._selector = selectors.DefaultSelector()
        for path in (folder.values, folder.functions):
            path.mkdir(mode=0o700, exist_ok=True)
        me = msgspec.structs.replace(owner, run=config.run)
        self._link = HeadLink(
            folder, me, hello_of(nodes.at_first(), submit, job_environment.age_of(os.environ))
        )
        self._nodes = Nodes(folder, self._selector, self, nodes)
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
            self._nodes.close()
            self._say_goodbye(f"{type(error).__name__}: {error}", broken=True)
            raise
        self._nodes.close()
        self._say_goodbye(self._ending.reason)
        return self._ending.reason

    def _say_goodbye(self, reason: str, *, broken: bool = False) -> None:
        if self._link.fault is None:
            is_early = broken and not self._session.has_worked
            patience = LONELY if self._link.away_for() else FAREWELL
            goodbye = Goodbye(reason, is_early, self._submit)
            self._link.close(goodbye, patience, gave_up=self._ending.gave_up)

    def _is_done(self) -> bool:
        if not self._ending.reason:
            return False
        is_told = not self._session.running and not self._session.has_news
        return is_told or self._ending.is_over(is_away=self._link.away_for() > 0)

    def _turn(self) -> None:
        wait = max(0.0, min(TICK, self._post_at - time.monotonic()))
        if self._nodes.has_heard:
            wait = 0.0
        for key, _ in self._selector.select(wait):
            key.data()
        if self._link.fault is not None:
            raise self._link.fault
        now = time.monotonic()
        self._nodes.tick(now)
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
        self._nodes.quit(grace)
        self._soon(0.0)

    def _trade(self) -> Trade:
        trade = self._session.trade(0.0 if self._ending.reason else self._timing.beat)
        return msgspec.structs.replace(trade, seconds_left=self._ending.seconds_left)

    def _soon(self, seconds: float) -> None:
        if self._nodes.can_begin:  # a head that cannot begin anything yet asks for nothing
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
            self._nodes.stop(action.token)
            return
        if isinstance(action, Recall):
            self._nodes.recall(action.token)
            return
        try:
            self._nodes.begin(action.given, action.place)
        except msgspec.MsgspecError as error:
            text = f"it is no command of this version: {error}"
            self.task_ended(TaskEnd(action.given.token, EndKind.UNABLE, text=text, begun=False))

    # ------------------------------------------------------------------ the nodes

    def agent_came(self, _node: int) -> None:
        """There is an agent: it can begin something."""
        self._soon(0.0)

    def task_begun(self, node: int, begun: Begun) -> None:
        """A task has been running for a moment."""
        for recall in self._session.note_begun(begun.token, node, begun.pid):
            self._carry_out(recall)
        self._soon(TELL_BEGUN)

    def task_ended(self, ended: TaskEnd) -> None:
        """A task has ended: another one may take over its place.

        One that found that its job is gone has not begun, and the head leaves: the cores are no longer its own,
        and it would try tasks there until none of their tries is left.
        """
        if ended.kind == EndKind.UNABLE and says_job_is_gone(ended.text):
            ended = msgspec.structs.replace(ended, kind=EndKind.BACK, begun=False)
            self.leave("the batch system has ended its job")
        begins = self._session.end(
            ended.token, EndKind(ended.kind), begun=ended.begun, code=ended.code, value=ended.value,
            path=ended.path, seconds=ended.seconds, peak=ended.peak, text=ended.text,
            part=ended.part,
        )  # fmt: skip
        for begin in begins:
            self._carry_out(begin)
        self._soon(GATHER if self._session.can_wait else 0.0)

    def ranks_ended(self, node: int, token: int) -> None:
        """Nothing to be done here: `task_ended` is called when nothing is left of it on any node."""

    def agent_lost(self, node: int, unsent: frozenset[int]) -> None:
        """What ran there died with it."""
        self._lose(node, "the agent of its node died", unsent)

    def node_came(self, node: int, inventory: NodeInventory) -> None:
        """There are more cores, or those of a lost node again."""
        self._change_node(node, inventory)

    def node_lost(self, node: int, text: str) -> None:
        """What ran there died with it, and nothing can run there."""
        self._lose(node, text, is_node=True)
        self._change_node(node, None)

    def _lose(
        self, node: int, text: str, unsent: frozenset[int] = frozenset(), *, is_node: bool = False
    ) -> None:
        later = self._session.lose(
            text, is_ending=bool(self._ending.reason), unsent=unsent, node=node, is_node=is_node
        )
        for token, kind in later.items():
            part = self._session.part_on(node, token)
            self._nodes.end_dead(TaskEnd(token, kind, text=text, part=part))
        self._soon(0.0)

    def _change_node(self, node: int, inventory: NodeInventory | None) -> None:
        self._session.change_node(node, inventory)
        self._link.introduce(self._nodes.inventory)
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


def hello_of(nodes: list[NodeInventory], submit: int = -1, age: float = 0.0) -> Hello:
    """Return how the head of a job introduces itself."""
    cores = sum(len(node.cores) for node in nodes)
    return Hello(socket.gethostname(), os.getpid(), cores, submit, nodes, age)


def run_in_job(job: JobEnvironment, folder: RunFolder, config: RunConfig, log: Any) -> int:
    """Be the head of the job that this process runs in; returns its exit code."""
    log.info("head_started", pid=os.getpid(), host=socket.gethostname())
    if config.environment is not None:
        job_environment.check(config.environment)
        job_environment.restore(config.environment)
    nodes = nodes_of(job)
    if not are_bound(nodes.own):
        log.info(
            "cores_not_bound", cores=len(nodes.own.cores), reason="the batch system binds no jobs"
        )
    os.environ[NODE_VARIABLE] = nodes.own.name
    if job.owner.attempt:
        wait_for_earlier(job.owner.job, nodes.own.name)
    become_subreaper()
    deadline = Deadline(partial(walltime_left, job, folder))
    head = HeadProcess(folder, config, job.owner, nodes, job.submit, deadline)
    try:
        why = head.run(ParentWatch(job.owner.job).are_gone, job.mark_begun)
    except (RequestRefusedError, ProtocolError):
        job.mark_end()  # the next one would be refused as well
        raise
    job.mark_end()
    log.info("head_ended", reason=why)
    return 0


def nodes_of(job: JobEnvironment) -> JobNodes:
    """Return the nodes of the job that this process runs in."""
    own, *others = nodes_of_job(os.environ) or [""]
    cores = max(1, job.cores // (1 + len(others)))
    node = of_job(os.environ, cores)
    return JobNodes(msgspec.structs.replace(node, name=own or node.name), others, cores)


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
    node = of_allocation(os.environ, given.slots, given.gpu)
    os.environ[JOB_VARIABLE], os.environ[NODE_VARIABLE] = job, node.name
    if given.attempt:
        wait_for_earlier(job, node.name)
    deadline = Deadline(lambda: allocation_left(os.environ, time.time()))
    try:
        config = read_config(folder)
        head = HeadProcess(folder, config, owner, JobNodes(node), -1, deadline)
        # its number is given: when this line is reached, the parent may have ended already
        head.run(lambda: given.parent is not None and os.getppid() != given.parent)
    except AdaptiveSchedulerError as error:
        print(f"adaptive_scheduler: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
