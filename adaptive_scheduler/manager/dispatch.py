"""The order in which a manager works: drain, step, commit, and only then answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from msgspec.structs import replace

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.commands import Result, Task
from adaptive_scheduler.core.jobs.records import Output
from adaptive_scheduler.core.wire.messages import Picture, Reply, decode_request, encode_reply
from adaptive_scheduler.errors import ProtocolError
from adaptive_scheduler.io.storage import row_codec as state
from adaptive_scheduler.io.storage.database import Database
from adaptive_scheduler.manager.clients import DatabaseManager, Moment
from adaptive_scheduler.manager.control import ControlApi
from adaptive_scheduler.manager.jobs import JobManager
from adaptive_scheduler.manager.persistence import Persistence

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


class Outside(Protocol):
    """Who hears of what is on disk already."""

    def send(self, connection: bytes, message: bytes) -> None:
        """Answer a client."""

    def ask(self, task: Task) -> None:
        """Give the batch system something to do."""


class Dispatcher:
    """Both managers of a run, and the turns that they take. No socket, no thread.

    Parameters
    ----------
    store : Database
        Just opened.
    config : RunConfig
    log : structlog.BoundLogger
    who : str
        ``host:pid``, for people.
    stop : callable
        Ends the manager, when a person asks for it.
    clock : Clocks
        The module `time`, or a test's.

    Attributes
    ----------
    clients : DatabaseManager
    jobs : JobManager
        One that submits nothing, until `submit_jobs`.
    keeper : Persistence
    people : ControlApi
    """

    def __init__(
        self,
        store: Database,
        config: RunConfig,
        log: Any,
        who: str,
        stop: Callable[[], None],
        clock: Clocks = time,
    ) -> None:
        self._clock = clock
        self._log = log
        now = self.now()
        book, jobs = state.open_books(store.tables, store.folder, config, now.monotonic)
        run_row, combos = state.read_run(store.tables), state.read_combos(store.tables)
        self.clients = DatabaseManager(book, jobs, combos, config)
        self.clients.closing = run_row.cancelled
        self.keeper = Persistence(store, self.clients, run_row, combos, log)
        none = replace(config, limits=replace(config.limits, max_jobs=0))
        self.jobs = JobManager(self.clients, none, run_row.held)
        self.people = ControlApi(store.folder, self.clients, self.jobs, who, now, stop)
        self._submits = False
        self._tasks: list[Task] = []
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
        self.clients.config = config
        self.jobs = JobManager(self.clients, config, self.jobs.notes.held, max_array, output)
        self.people.jobs, self.people.scheduler = self.jobs, scheduler
        self._submits = True
        self.clients.news = True

    # ------------------------------------------------------------------- the turn

    def patience(self) -> float:
        """Seconds until a turn is due although nothing came in."""
        due = self.jobs.next_due(self.now()) if self._submits else 1.0
        return min(1.0, max(0.02, due))

    def take(
        self,
        messages: Iterable[tuple[bytes, bytes]],
        results: Sequence[Result],
        outside: Outside,
    ) -> None:
        """Take in what came, decide, make it durable, and only then let anybody know.

        Parameters
        ----------
        messages : iterable of (connection, message)
            All that waited at the socket.
        results : sequence of Result
            What came of earlier tasks.
        outside : Outside
        """
        now = self.now()
        replies = [(connection, *self._answer(message, now)) for connection, message in messages]
        self._decide(results, now)
        is_durable = self.keeper.commit(self.jobs.notes.held)
        self.people.stuck = self.keeper.stuck
        for connection, number, reply in replies:
            if reply is not None and (is_durable or isinstance(reply, Picture)):
                outside.send(connection, encode_reply(number, reply))
        if is_durable:  # a submit must be known to whoever follows on this manager
            while self._submits and self._tasks:
                outside.ask(self._tasks.pop(0))
            self.keeper.fold_if_due(now.monotonic)

    def _answer(self, message: bytes, now: Moment) -> tuple[int, Reply | None]:
        """Answer one message; what is no request of this version is dropped and counted."""
        try:
            owner, number, request = decode_request(message)
        except ProtocolError as error:
            self._rejected += 1
            if self._rejected in (1, 10, 100, 1000) or self._rejected % 10000 == 0:
                self._log.warning("message_dropped", reason=str(error), dropped=self._rejected)
            return 0, None
        reply = self.people.answer(owner, request, now)
        if reply is None:
            reply = self.clients.handle(owner, number, request, now)
        return number, reply

    def _decide(self, results: Sequence[Result], now: Moment) -> None:
        for result in results:
            self._tasks += self.jobs.take(result, now)
        for event, facts in self.jobs.notes.log:
            self._log.info(event, **facts)
        self.jobs.notes.log.clear()
        self.clients.book.wake_delayed(now.monotonic)
        self.people.sample_rate(now)
        if self._submits:
            self._tasks += self.jobs.tasks(now)
        elif now.monotonic >= self._next_judging:  # scripts started by hand are in no queue
            lease = self.clients.config.timing.lease
            self._next_judging = now.monotonic + lease / JUDGED_IN_A_LEASE
            self.jobs.reconcile(now)

    def is_over(self) -> bool:
        """All items have ended, no job is left, and nobody has spoken for a moment."""
        left = any(True for _ in self.clients.jobs.living()) or self.clients.jobs.submit_views(0.0)
        is_unsaid = bool(self.keeper.stuck)  # how the last ones ended is not on disk yet
        if self.clients.book.unfinished or is_unsaid or (left and self._submits):
            self._over_since = None
            return False
        now = self._clock.monotonic()
        if self._over_since is None:
            self._over_since = now
        return now - self._over_since >= LINGER
