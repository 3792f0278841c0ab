"""The head: the client of a pool's job, the one process of it that talks to the manager.

Two threads. The main one waits for the agent and for the manager's answers, and is the only one
that touches the `HeadSession`. The link's thread carries one Trade at a time to the manager; a
newer one takes the place of one that waits there.
"""

from __future__ import annotations

import argparse
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from adaptive_scheduler.client.tasks.frames import Frames
from adaptive_scheduler.client.tasks.head_session import Begin, EndTask, HeadSession
from adaptive_scheduler.client.tasks.messages import (
    Begun,
    Call,
    Ended,
    FromAgent,
    Quit,
    Slot,
    Start,
    Stop,
)
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.tasks.place import NodeInventory, NodePlace
from adaptive_scheduler.core.tasks.program import Program
from adaptive_scheduler.core.wire.messages import Goodbye, Hello, Owner, Refused, Welcome
from adaptive_scheduler.core.wire.tasks import EndKind, Trade, Work
from adaptive_scheduler.errors import FileError, ManagerUnreachableError, RequestRefusedError
from adaptive_scheduler.io.transport.connection import Connection

#: Seconds for which ends are gathered while every slot has work.
GATHER = 0.01
#: Seconds between two tries to reach a manager that is away.
PAUSE = 0.5

_from_agent: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(FromAgent)


class HeadLink:
    """A thread that carries the newest Trade to the manager, and its answers back.

    Parameters
    ----------
    folder : RunFolder
    owner : Owner
    hello : Hello
    """

    def __init__(self, folder: RunFolder, owner: Owner, hello: Hello) -> None:
        self._folder = folder
        self._owner = owner
        self._hello = hello
        self._number = 0
        self._next: Trade | Goodbye | None = None
        self._lock = threading.Lock()
        self._posted = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        #: Becomes readable when an answer has come.
        self.answered = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.answers: deque[Work] = deque()
        self.fault: Exception | None = None
        self._thread = threading.Thread(target=self._carry, name="manager link", daemon=True)
        self._thread.start()

    def post(self, trade: Trade | Goodbye) -> None:
        """Send this, in place of what is under way."""
        with self._lock:
            self._next = trade
        os.eventfd_write(self._posted, 1)

    def close(self, patience: float) -> None:
        """Say goodbye."""
        self.post(Goodbye("done"))
        self._thread.join(patience)

    def _take_next(self) -> Trade | Goodbye | None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._posted)
        with self._lock:
            return self._next

    def _carry(self) -> None:
        connection = Connection(self._folder)
        poll = selectors.DefaultSelector()
        poll.register(self._posted, selectors.EVENT_READ)
        is_greeted = False
        try:
            while True:
                poll.select()
                while (trade := self._take_next()) is not None:
                    try:
                        if not is_greeted:
                            self._greet(connection)
                            is_greeted = True
                        reply = self._ask(connection, trade)
                    except (ManagerUnreachableError, FileError):
                        time.sleep(PAUSE)
                        continue
                    if isinstance(trade, Goodbye):
                        return
                    if isinstance(reply, Work):
                        self._answer(trade, reply)
                        break
                    if isinstance(reply, Refused):
                        if reply.code != "unknown_head":
                            raise RequestRefusedError(reply.code, reply.reason)
                        is_greeted = False
        except Exception as error:  # noqa: BLE001  handed to the main thread
            self.fault = error
            os.eventfd_write(self.answered, 1)
        finally:
            connection.close()

    def _ask(self, connection: Connection, trade: Trade | Goodbye) -> Any:
        self._number += 1
        if isinstance(trade, Goodbye):
            return connection.ask(self._owner, self._number, trade, 2.0)
        return connection.ask_unless(
            self._posted, self._owner, self._number, trade, trade.wait + 1.0
        )

    def _answer(self, trade: Trade, work: Work) -> None:
        with self._lock:
            if self._next is trade:
                self._next = None
        self.answers.append(work)
        os.eventfd_write(self.answered, 1)

    def _greet(self, connection: Connection) -> None:
        self._number += 1
        reply = connection.ask(self._owner, self._number, self._hello, 5.0)
        if isinstance(reply, Refused):
            raise RequestRefusedError(reply.code, reply.reason)
        assert isinstance(reply, Welcome), reply


class HeadProcess:
    """Runs the tasks of one node.

    Parameters
    ----------
    folder : RunFolder
    owner : Owner
    node : NodeInventory
    beat : float
        Seconds between two reports, at most.
    """

    def __init__(
        self, folder: RunFolder, owner: Owner, node: NodeInventory, beat: float = 5.0
    ) -> None:
        self._folder = folder
        self._beat = beat
        self._session = HeadSession()
        self._link = HeadLink(
            folder, owner, Hello(node.name, os.getpid(), len(node.cores), inventory=[node])
        )
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._link.answered, selectors.EVENT_READ, self._take_answers)
        self._post_at = 0.0
        self._is_leaving = False
        self._private = tempfile.TemporaryDirectory(prefix="adaptive-scheduler-")
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(Path(self._private.name) / "head"))
        self._server.listen(1)
        self._selector.register(self._server, selectors.EVENT_READ, self._meet_agent)
        self._agent: Frames | None = None
        self._supervisor = subprocess.Popen(
            [sys.executable, "-m", "adaptive_scheduler.client.tasks.supervisor",
             str(Path(self._private.name) / "head"), str(folder.folder)],
        )  # fmt: skip
        for path in (folder.values, folder.functions):
            path.mkdir(mode=0o700, exist_ok=True)

    def run(self) -> None:
        """Trade and run until there is nothing more to do, or the end comes."""
        while not (self._is_leaving and not self._session.running and not self._session.has_news):
            wait = self._beat if self._post_at == float("inf") else self._post_at - time.monotonic()
            for key, _ in self._selector.select(max(0.0, min(wait, 1.0))):
                key.data()
            if self._link.fault is not None:
                raise self._link.fault
            if self._agent is not None:
                self._agent.flush()
                if time.monotonic() >= self._post_at:
                    self._post()
        self._quit()

    def leave(self) -> None:
        """Begin nothing more, and end what runs."""
        self._is_leaving = True
        self._session.give_back_waiting()
        if self._agent is not None:
            self._agent.send(Quit())
        self._post_at = 0.0

    def _quit(self) -> None:
        if self._agent is not None:
            self._agent.send(Quit(grace=0.0))
            self._agent.flush()
        self._link.close(3.0)
        self._supervisor.wait(20)
        self._private.cleanup()

    def _post(self) -> None:
        self._post_at = time.monotonic() + self._beat
        self._link.post(self._session.trade(0.0 if self._is_leaving else self._beat))

    def _soon(self, seconds: float) -> None:
        self._post_at = min(self._post_at, time.monotonic() + seconds)

    # ------------------------------------------------------------------ the manager

    def _take_answers(self) -> None:
        os.eventfd_read(self._link.answered)
        while self._link.answers:
            work = self._link.answers.popleft()
            for action in self._session.take(work):
                self._carry_out(action)
            if work.leave and not self._is_leaving:
                self.leave()
        self._soon(0.0)

    def _carry_out(self, action: Begin | EndTask) -> None:
        assert self._agent is not None
        if isinstance(action, EndTask):
            self._agent.send(Stop(action.token))
            return
        given, (place, *_) = action.given, action.place
        work = self._work(given)
        self._agent.send(Start(given.token, work, _slot(place), given.timeout, given.attempt))

    def _work(self, given: Any) -> Call | Program:
        if given.function:
            return Call(given.function, given.spec)
        return msgspec.msgpack.decode(given.spec, type=Program)

    # ------------------------------------------------------------------ the agent

    def _meet_agent(self) -> None:
        sock, _ = self._server.accept()
        if self._agent is not None:
            self._lose_agent()
        self._agent = Frames(sock, _from_agent)
        self._selector.register(sock, selectors.EVENT_READ, self._hear_agent)
        self._soon(0.0)

    def _hear_agent(self) -> None:
        assert self._agent is not None
        for message in self._agent.receive():
            match message:
                case Ended():
                    self._end(message)
                case Begun():
                    self._session.note_begun(message.token, 0, message.pid)
        if not self._agent.is_open:
            self._lose_agent()

    def _end(self, ended: Ended) -> None:
        begins = self._session.end(
            ended.token, EndKind(ended.kind), begun=ended.begun, code=ended.code, value=ended.value,
            path=ended.path, seconds=ended.seconds, peak=ended.peak, text=ended.text,
        )  # fmt: skip
        for begin in begins:
            self._carry_out(begin)
        self._soon(GATHER if begins else 0.0)

    def _lose_agent(self) -> None:
        """What ran there died with it."""
        assert self._agent is not None
        self._selector.unregister(self._agent.sock)
        self._agent.sock.close()
        self._agent = None
        self._session.lose(EndKind.DIED, "the agent of its node died")
        self._soon(0.0)


def _slot(place: NodePlace) -> Slot:
    return Slot(tuple(place.cores), tuple(gpu for gpu, _ in place.gpus))


def here(slots: int | None = None, gpus: list[str] | None = None) -> NodeInventory:
    """What this machine has for this process."""
    cores = sorted(os.sched_getaffinity(0))
    return NodeInventory(
        socket.gethostname(), cores if slots is None else list(range(slots)), gpus or []
    )


def main(argv: list[str]) -> None:
    """Run the tasks of this machine until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--slots", type=int)
    parser.add_argument("--gpus", default="")
    given = parser.parse_args(argv)
    owner = Owner(f"here:{socket.gethostname()}:{os.getpid()}", 0, 0, uuid.uuid4().hex)
    gpus = [one for one in given.gpus.split(",") if one]
    head = HeadProcess(RunFolder(given.folder), owner, here(given.slots, gpus))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: head.leave())
    head.run()


if __name__ == "__main__":
    main(sys.argv[1:])
