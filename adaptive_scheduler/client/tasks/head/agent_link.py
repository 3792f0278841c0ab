"""The head's side of its node's agent: starts it by its supervisor, and both anew if they die."""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import msgspec
import psutil

from adaptive_scheduler.client.tasks.frames import Frames, accept, listen
from adaptive_scheduler.client.tasks.messages import (
    Begun,
    EndRanks,
    FromAgent,
    Quit,
    RanksEnded,
    Ready,
    Start,
    StopTask,
    TaskEnd,
)
from adaptive_scheduler.client.tasks.node.variables import TASK_VARIABLE, WORKER_VARIABLE
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.tasks import EndKind
from adaptive_scheduler.errors import RunError
from adaptive_scheduler.io.system import child_process
from adaptive_scheduler.io.system.processes import start_supervisor

#: Seconds before a supervisor that has ended is started anew.
PAUSE = 1.0
#: So many supervisors may end one after the other before an agent of theirs was there.
MOST_VAIN_STARTS = 5
#: Seconds that an agent may take to end beyond those that it gives to its tasks.
PATIENCE = 10.0

_from_agent: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(FromAgent)


class AgentListener(Protocol):
    """Who is told what happens on the node."""

    def task_begun(self, begun: Begun) -> None:
        """A task has been running for a moment."""

    def task_ended(self, ended: TaskEnd) -> None:
        """A task has ended, or comes back."""

    def ranks_ended(self, token: int) -> None:
        """Nothing is left of a task on the node."""

    def agent_came(self) -> None:
        """There is an agent again."""

    def agent_lost(self, unsent: frozenset[int]) -> None:
        """What the agent ran has died with it, except for those that it was never given."""


class AgentLink:
    """Starts tasks on this node. While there is no agent, for a second perhaps, they wait.

    Parameters
    ----------
    folder : RunFolder
    selector : selectors.BaseSelector
        Of the head's loop; what becomes readable has a function as its data.
    listener : AgentListener

    Attributes
    ----------
    has_come : bool
        Whether there has been an agent.
    """

    def __init__(
        self, folder: RunFolder, selector: selectors.BaseSelector, listener: AgentListener
    ) -> None:
        self.has_come = False
        self._folder = folder
        self._selector = selector
        self._listener = listener
        self._server, address = listen()
        self._watch(self._server, self._meet)
        self._frames: Frames | None = None
        self._waiting: dict[int, Start] = {}
        self._unclean: set[int] = set()  # tokens of tasks of which something may be left
        self._quit: Quit | None = None
        self._life = _Supervisor(address, folder)
        self._watch(self._life.pidfd, self._lose_supervisor)

    def _watch(self, what: Any, action: Callable[[], None]) -> None:
        self._selector.register(what, selectors.EVENT_READ, action)

    # ------------------------------------------------------------------- to the agent

    def start(self, start: Start) -> None:
        """Begin a task, as soon as there is an agent."""
        if self._quit is not None:
            self._listener.task_ended(TaskEnd(start.token, EndKind.BACK, begun=False))
        elif self._frames is None or not self._life.is_running:  # an agent ends with its supervisor
            self._waiting[start.token] = start
        else:
            self._frames.send(start)

    def stop(self, order: StopTask) -> None:
        """End a task."""
        if self._waiting.pop(order.token, None) is not None:
            self._listener.task_ended(TaskEnd(order.token, order.kind, begun=False))
        elif self._frames is not None:
            self._frames.send(order)

    def recall(self, token: int) -> None:
        """Let a task come back, if it has not begun."""
        if self._frames is not None:
            self._frames.send(StopTask(token, EndKind.BACK))

    def end_ranks(self, token: int) -> None:
        """Kill what is left here of a task that an agent of another node has started."""
        self._unclean.add(token)
        if self._frames is not None:
            self._frames.send(EndRanks(token))

    @property
    def has_agent(self) -> bool:
        """Whether there is an agent at the moment."""
        return self._frames is not None

    def quit(self, grace: float) -> None:
        """End all tasks, and the agent: by SIGTERM, and after `grace` seconds by SIGKILL."""
        if self._quit is not None and self._quit.grace <= grace:
            return
        self._quit = Quit(grace=grace)
        if self._frames is not None:
            self._frames.send(self._quit)
        for token in list(self._waiting):
            del self._waiting[token]
            self._listener.task_ended(TaskEnd(token, EndKind.BACK, begun=False))

    def tick(self, now: float) -> None:
        """Send what is to be sent; start a supervisor anew when it is time."""
        if self._frames is not None:
            self._frames.flush()
        # while the old agent is there, its tasks may be too: the new ones would share their cores
        if self._frames is None and not self._life.is_running:
            self._life.end_left()
        if self._quit is None and self._frames is None and self._life.is_due(now):
            self._life.begin()
            self._watch(self._life.pidfd, self._lose_supervisor)

    def close(self, grace: float = 0.0) -> None:
        """End what is left on this node."""
        self.quit(grace)
        if self._frames is not None:
            self._frames.flush()
        # an agent that has not come runs nothing, and nobody takes its call to tell it to end
        self._life.end(0.0 if self._frames is None else grace + PATIENCE)
        end = time.monotonic() + PATIENCE
        while self._life.end_left() and time.monotonic() < end:
            time.sleep(0.01)
        self._server.close()

    # ------------------------------------------------------------------- from the agent

    def _meet(self) -> None:
        accepted = accept(self._server)
        if accepted is None:
            return
        sock, pid = accepted
        if not self._life.is_parent_of(pid):
            sock.close()  # its supervisor was killed: it ends, and there is another one
            return
        if self._frames is not None:
            self._lose()
        self.has_come, self._life.vain = True, 0
        self._frames = Frames(sock, _from_agent)
        self._watch(sock, self._hear)
        if self._quit is not None:
            self._frames.send(self._quit)
        for token in self._unclean:
            self._frames.send(EndRanks(token))
        for start in self._waiting.values():
            self._frames.send(start)
        self._waiting.clear()
        self._listener.agent_came()

    def _hear(self) -> None:
        frames = self._frames
        assert frames is not None
        for message in frames.receive():
            match message:
                case TaskEnd():
                    self._listener.task_ended(message)
                case Begun():
                    self._listener.task_begun(message)
                case RanksEnded():
                    self._unclean.discard(message.token)
                    self._listener.ranks_ended(message.token)
                case Ready():
                    self._life.agent = message.pid
        if not frames.is_open:
            self._lose()

    def _lose(self) -> None:
        assert self._frames is not None
        self._selector.unregister(self._frames.sock)
        self._frames.sock.close()
        self._frames = None
        # those that wait for the next agent have no place any more, once they are told to be lost
        unsent = frozenset(self._waiting)
        self._waiting.clear()
        self._listener.agent_lost(unsent)

    def _lose_supervisor(self) -> None:
        """It was killed, or an agent ended in a way that it does not mend."""
        self._selector.unregister(self._life.pidfd)
        self._life.reap()


class _Supervisor:
    """The process that keeps the node's agent alive, one after the other.

    Attributes
    ----------
    vain : int
        How many have been started since the last agent came.
    agent : int
        Pid of the last agent; 0: none that can be left.
    """

    def __init__(self, address: str, folder: RunFolder) -> None:
        self.vain = 0
        self.agent = 0
        self._address = address
        self._folder = folder
        self.begin()

    def begin(self) -> None:
        """Start one; RunError if none of the last ones had an agent."""
        if self.vain >= MOST_VAIN_STARTS:
            raise RunError(
                f"no agent can be started on {socket.gethostname()}: it ended {self.vain} times at "
                "once. The output of the job says why."
            )
        self.vain += 1
        self._process: subprocess.Popen[bytes] | None = start_supervisor(
            self._address, self._folder
        )
        self.pidfd = os.pidfd_open(self._process.pid)
        self._again_at = 0.0

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None

    def is_parent_of(self, pid: int) -> bool:
        """Whether it has started this process, and still runs."""
        try:
            parent = psutil.Process(pid).ppid()
        except psutil.NoSuchProcess:
            return False
        return self._process is not None and parent == self._process.pid

    def is_due(self, now: float) -> bool:
        """Whether another one is to be started: not before the last agent has ended, whose tasks may be left."""
        at = self._again_at + (PATIENCE if self.agent else 0.0)
        return self._process is None and now >= at

    def reap(self) -> None:
        """Take in that it has ended."""
        assert self._process is not None
        self._process.wait()
        self._process = None
        os.close(self.pidfd)
        self._again_at = time.monotonic() + PAUSE

    def end(self, patience: float) -> None:
        """Wait until it has ended; kill it if that takes too long: the agent ends with it."""
        if self._process is None:
            return
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            for one in _descendants(self._process.pid):
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            self._process.kill()
            self._process.wait()

    def end_left(self) -> bool:
        """Kill what is left of tasks whose agent has ended as well; returns whether there was any.

        They are children of a head that is a subreaper. It has others, too: these are known by
        their environment.
        """
        is_any = False
        if self.agent and child_process.reap(self.agent):
            self.agent = 0
        for pid in child_process.children():
            for name in (TASK_VARIABLE, WORKER_VARIABLE):
                value = child_process.variable_of(pid, name)
                if value is not None and value != os.environ.get(name):
                    child_process.kill(pid)
                    child_process.reap(pid)
                    is_any = True
        return is_any or bool(self.agent)


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
