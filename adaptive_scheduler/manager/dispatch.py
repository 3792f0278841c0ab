"""The order in which a manager works: drain, step, commit, and only then answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.commands import Command, Result
from adaptive_scheduler.core.jobs.outputs import Output
from adaptive_scheduler.core.wire.messages import (
    Owner,
    Picture,
    Reply,
    Request,
    decode_request,
    encode_reply,
)
from adaptive_scheduler.errors import ProtocolError
from adaptive_scheduler.io.storage import row_codec
from adaptive_scheduler.manager.clients import CLIENT_REQUESTS, DatabaseManager, Moment
from adaptive_scheduler.manager.control import CONTROL_REQUESTS, ControlApi, ManagerProcess
from adaptive_scheduler.manager.jobs import JobManager
from adaptive_scheduler.manager.persistence import Persistence, RowStore

#: Seconds that the manager stays after the end, for clients that have something to say.
LINGER = 1.0
#: Where no queue is looked at, jobs are judged so many times in a lease: it passes over all of them.
JUDGED_IN_A_LEASE = 10


class Clocks(Protocol):
    """Both clocks of a host, as the module `time` has them."""

    def time(self) -> float:
        """Seconds since 1970; somebody may set it."""

    def monotonic(self) -> float:
        """Seconds of a clock that never steps."""


class RequestHandler(Protocol):
    """Answers some kinds of requests."""

    def handle(self, owner: Owner, number: int, request: Request, now: Moment) -> Reply:
        """Answer one request."""


class Outside(Protocol):
    """Takes what may be known because it is on disk."""

    def send(self, connection: bytes, message: bytes) -> None:
        """Answer a client."""

    def send_command(self, command: Command) -> None:
        """Give the batch system something to do."""


class Dispatcher:
    """The state of a run, its three handlers, and the order in which they work. No socket, no thread.

    Parameters
    ----------
    store : RowStore
        Just opened: a `Database`, or one in memory.
    config : RunConfig
    log : structlog.BoundLogger
    name : str
        ``host:pid`` of this process, for people.
    stop : callable
        Ends the manager, when a person asks for it.
    clock : Clocks
        The module `time`, or a test's.

    Attributes
    ----------
    state : RunState
    clients : DatabaseManager
        Answers clients.
    control : ControlApi
        Answers people.
    jobs : JobManager
        Decides about jobs; submits none until `submit_jobs`.
    persistence : Persistence
    """

    def __init__(
        self,
        store: RowStore,
        config: RunConfig,
        log: Any,
        name: str,
        stop: Callable[[], None],
        clock: Clocks = time,
    ) -> None:
        self._clock = clock
        self._log = log
        now = self.now()
        self.state = row_codec.open_state(store.take_tables(), store.folder, config, now.monotonic)
        self.persistence = Persistence(store, self.state, log)
        self._read_output: Output = lambda _: None
        self.clients = DatabaseManager(self.state, self._output)
        self.jobs = JobManager(self.state, self._output)
        process = ManagerProcess(name, now, stop)
        self.control = ControlApi(store.folder, self.state, self.jobs, self.persistence, process)
        #: Request -> who answers it.
        self._handlers: dict[type, RequestHandler] = {
            **dict.fromkeys(CLIENT_REQUESTS, self.clients),
            **dict.fromkeys(CONTROL_REQUESTS, self.control),
        }
        self._commands: list[Command] = []
        self._next_judging = now.monotonic
        self._over_since: float | None = None
        self._rejected = 0

    def now(self) -> Moment:
        """Return this instant; nothing is ever judged by the clock that people set."""
        return Moment(self._clock.time(), self._clock.monotonic())

    def submit_jobs(
        self, config: RunConfig, scheduler: str, max_array: int, output: Output
    ) -> None:
        """Submit jobs too, from now on.

        Parameters
        ----------
        config : RunConfig
        scheduler : str
            Its name, for people.
        max_array : int
            The most jobs that one submit may make.
        output : callable
            Given a job, the last lines that it printed.
        """
        self._read_output = output
        self.jobs.configure(config, scheduler, max_array)

    def _output(self, job: str) -> str | None:
        return self._read_output(job)

    # ------------------------------------------------------------------- one step

    def patience(self) -> float:
        """Seconds until a step is due although nothing came in."""
        due = self.jobs.next_due(self.now()) if self.jobs.submits else 1.0
        return min(1.0, max(0.02, due))

    def step(
        self,
        messages: Iterable[tuple[bytes, bytes]],
        results: Sequence[Result],
        outside: Outside,
    ) -> None:
        """Take in what came, decide, make it durable, and only then send anything.

        Parameters
        ----------
        messages : iterable of (connection, message)
            All that waited at the socket.
        results : sequence of Result
            What came of earlier tasks.
        outside : Outside
        """
        now = self.now()
        replies = [(connection, *self.answer(message, now)) for connection, message in messages]
        self._commands += self.decide(results, now)
        is_durable = self.persistence.commit()
        for connection, number, reply in replies:
            if reply is not None and (is_durable or isinstance(reply, Picture)):
                outside.send(connection, encode_reply(number, reply))
        if is_durable:  # the next manager must know of each submit that was sent
            while self.jobs.submits and self._commands:
                outside.send_command(self._commands.pop(0))
            self.persistence.checkpoint_if_due(now.monotonic)

    def answer(self, message: bytes, now: Moment) -> tuple[int, Reply | None]:
        """Number of one request and the reply to it, which must not be sent before the commit.

        What is no request of this version is dropped and counted: the reply is None.
        """
        try:
            owner, number, request = decode_request(message)
        except ProtocolError as error:
            self._rejected += 1
            if self._rejected in (1, 10, 100, 1000) or self._rejected % 10000 == 0:
                self._log.warning("message_dropped", reason=str(error), dropped=self._rejected)
            return 0, None
        return number, self._handlers[type(request)].handle(owner, number, request, now)

    def decide(self, results: Sequence[Result], now: Moment) -> list[Command]:
        """Take in results and return what the batch system is to do, once that is on disk."""
        commands = [one for result in results for one in self.jobs.on_result(result, now)]
        for event, facts in self.jobs.notes.log:
            self._log.info(event, **facts)
        self.jobs.notes.log.clear()
        self.state.items.wake_delayed(now.monotonic)
        if self.jobs.submits:
            commands += self.jobs.commands_due(now)
        elif now.monotonic >= self._next_judging:  # scripts started by hand are in no queue
            lease = self.state.config.timing.lease
            self._next_judging = now.monotonic + lease / JUDGED_IN_A_LEASE
            self.jobs.reconcile(now)
        return commands

    def is_over(self) -> bool:
        """All items have ended, no job is left, and no request has come for a moment."""
        left = self.state.jobs.live or self.state.jobs.pending_submits
        is_unwritten = bool(self.persistence.write_error)  # how the last ones ended is not on disk
        if self.state.items.unfinished or is_unwritten or (left and self.jobs.submits):
            self._over_since = None
            return False
        now = self._clock.monotonic()
        if self._over_since is None:
            self._over_since = now
        return now - self._over_since >= LINGER
