"""The order in which a manager works: receive all, decide, commit once, and only then send.

Theory of operation
-------------------
A manager is one loop in one thread. `Dispatcher.step` is one round of it: it takes in all requests
that wait at the socket and all results of the batch system, lets the handlers change the `RunState`,
writes what has changed to disk, and sends replies and commands. It has no socket, no thread and no
clock of its own, so that a test can drive it step by step, in virtual time, and kill it anywhere.

**Nothing leaves before the commit.** A reply is a promise: "the item is yours", "your result is kept".
A client goes on to other work because of it. If the manager were killed between reply and commit,
the next one would know nothing of the promise, and give the item to somebody else. The same holds
for commands: a submit that no manager remembers makes jobs that nobody counts. So replies and commands
are collected, and leave only if the commit has succeeded. If the disk is full, nobody is
answered; clients repeat their requests and go on computing, and the state in memory is written by
the next commit that succeeds. Only `Status` and `Explain` are answered even then: they promise nothing, and a person
must be able to read why the run stands still.

**One commit for all.** A sync takes as long as hundreds of requests. Whatever has come in while one
runs is answered after the next one: the more clients there are, the less a request costs, and none
waits for more than two syncs.

**One thread decides.** State that one thread changes needs no lock, and the order of events is that
of the loop. What takes long is done elsewhere: commands of the batch system in a thread
(`BatchWorker`, which knows no state, only commands and results), the checkpoint in a process of its own.

**Three handlers, one state.** `DatabaseManager` answers clients, `ControlApi` answers people,
`JobManager` decides about jobs. None calls another to change something: they change the state, and
set `dirty` if the queue should be listed soon. Which handler answers a request is looked up by its
type. Clients' requests come twice and late, so each has a number and is answered once
(`DatabaseManager.handle`). What people send may be carried out twice without harm.

**Two clocks.** Leases and delays are measured by the monotonic clock of this host, which nobody can
set; times that people read are seconds since 1970. A `Moment` has both, and is taken once for each
step, so that all that is decided in a step is decided at the same time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.commands import Command, Result
from adaptive_scheduler.core.jobs.outputs import Output
from adaptive_scheduler.core.wire.messages import (
    Owner,
    Picture,
    Refused,
    Reply,
    Request,
    decode_request,
    encode_reply,
    number_of,
)
from adaptive_scheduler.core.wire.reasons import Reasons
from adaptive_scheduler.errors import ProtocolError
from adaptive_scheduler.io.storage import row_codec
from adaptive_scheduler.io.system.complaints import read_complaints
from adaptive_scheduler.manager.clients import CLIENT_REQUESTS, DatabaseManager, Moment
from adaptive_scheduler.manager.control import CONTROL_REQUESTS, ControlApi, ManagerProcess
from adaptive_scheduler.manager.explain import EXPLAIN_REQUESTS, Explainer
from adaptive_scheduler.manager.jobs import JobManager
from adaptive_scheduler.manager.persistence import Persistence, RowStore
from adaptive_scheduler.manager.tasks.drivers import DRIVER_REQUESTS, DriverManager
from adaptive_scheduler.manager.tasks.heads import HEAD_REQUESTS, HeadManager
from adaptive_scheduler.manager.tasks.parked import Parked
from adaptive_scheduler.manager.tasks.pools import POOL_REQUESTS, PoolManager

#: Seconds that the manager stays after the end, for the last requests of clients.
LINGER = 1.0
#: Seconds that a request may wait for something to happen.
LONGEST_WAIT = 300.0
#: Where no queue is listed, jobs are judged so many times in a lease: that goes over all of them.
JUDGED_IN_A_LEASE = 10


class Clocks(Protocol):
    """The two clocks of a host, as the module `time` has them."""

    def time(self) -> float:
        """Seconds since 1970; somebody may set it."""

    def monotonic(self) -> float:
        """Seconds of a clock that never steps."""


class RequestHandler(Protocol):
    """Answers some kinds of requests."""

    def handle(self, owner: Owner, number: int, request: Any, now: Moment) -> Reply | Parked:
        """Answer one request, or let it wait."""


class Outside(Protocol):
    """Where a dispatcher sends what is on disk already."""

    def send(self, connection: bytes, message: bytes) -> None:
        """Send a reply to a client."""

    def send_command(self, command: Command) -> None:
        """Hand a command to the batch system's thread."""


class Dispatcher:
    """Holds the state of a run and its three handlers, and runs them in order.

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
        self.state = row_codec.open_state(
            store.take_tables(), store.folder, config, now.monotonic, store
        )
        self.persistence = Persistence(store, self.state, log)
        self._read_output: Output = lambda _: None
        self.clients = DatabaseManager(self.state, self._output)
        self.jobs = JobManager(self.state, self._output)
        process = ManagerProcess(name, now, stop)
        self._stop = stop
        self.control = ControlApi(store.folder, self.state, self.jobs, self.persistence, process)
        self._drivers = DriverManager(self.state, now)
        self._heads = HeadManager(self.state, self.clients)
        pools = PoolManager(self.state)
        explainer = Explainer(
            self.state, self.jobs, self.persistence, partial(read_complaints, store.folder)
        )
        #: Request -> who answers it.
        self._handlers: dict[type, RequestHandler] = {
            **dict.fromkeys(HEAD_REQUESTS, self._heads),
            **dict.fromkeys(DRIVER_REQUESTS, self._drivers),
            **dict.fromkeys(POOL_REQUESTS, pools),
            **dict.fromkeys(CLIENT_REQUESTS, self.clients),
            **dict.fromkeys(CONTROL_REQUESTS, self.control),
            **dict.fromkeys(EXPLAIN_REQUESTS, explainer),
        }
        #: By the sender's uuid: a later request of one takes the place of the one that waits.
        self._parked: dict[str, tuple[bytes, int, Owner, Request, Any, float]] = {}
        self._commands: list[Command] = []
        self._next_judging = now.monotonic
        self._over_since: float | None = None
        self._rejected = 0

    def now(self) -> Moment:
        """Return this instant."""
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
        now = self.now()
        if self.state.tasks.changed:
            return 0.02
        due = self.jobs.next_due(now) if self.jobs.submits else 1.0
        due = min(due, self._heads.next_due(now))
        for *_, until in self._parked.values():
            due = min(due, until - now.monotonic)
        return min(1.0, max(0.02, due))

    def step(
        self,
        messages: Iterable[tuple[bytes, bytes]],
        results: Sequence[Result],
        outside: Outside,
    ) -> None:
        """Take in messages and results, decide, commit, and then send replies and commands.

        Parameters
        ----------
        messages : iterable of (connection, message)
            All that waited at the socket.
        results : sequence of Result
            Of earlier commands.
        outside : Outside
        """
        now = self.now()
        replies: list[tuple[bytes, int, Reply | None]] = []
        for connection, message in messages:
            number, reply = self.answer(message, now, connection)
            replies.append((connection, number, reply))
        self._commands += self.decide(results, now)
        replies += self._wake(now)
        is_durable = self.persistence.commit(now.wall)
        for connection, number, reply in replies:
            if reply is not None and (is_durable or isinstance(reply, (Picture, Reasons))):
                outside.send(connection, encode_reply(number, reply))
        if is_durable:  # the next manager must know of each submit that was sent
            while self.jobs.submits and self._commands:
                command = self.jobs.still_to_send(self._commands.pop(0), now)
                if command is not None:
                    outside.send_command(command)
            self.persistence.checkpoint_if_due(now.monotonic)

    def answer(
        self, message: bytes, now: Moment, connection: bytes = b""
    ) -> tuple[int, Reply | None]:
        """Number of one request and the reply to it, which must not be sent before the commit.

        What is no request is dropped and counted: the reply is None, as it is where the request
        waits for something to happen. A request of another version is refused, and counted.
        """
        try:
            owner, number, request = decode_request(message)
        except ProtocolError as error:
            self._rejected += 1
            if self._rejected in (1, 10, 100, 1000) or self._rejected % 10000 == 0:
                self._log.warning("message_dropped", reason=str(error), dropped=self._rejected)
            asked = number_of(message)
            if asked is None:
                return 0, None
            return asked, Refused(
                "not_understood",
                f"the manager does not know such a request ({error}): it is of another version of "
                "adaptive_scheduler. Use one environment for both.",
            )
        if owner.run not in ("", self.state.config.run):
            return number, Refused(
                "other_run",
                f"job {owner.job} works for run {owner.run}, and this is run {self.state.config.run}: the "
                "folder of that one was removed, and used again.",
            )
        waiting = self._parked.get(owner.uuid)
        if waiting is not None and waiting[1] > number:
            return number, None  # late: its sender waits for the answer to a newer one
        handler = self._handlers[type(request)]
        reply = handler.handle(owner, number, request, now)
        if isinstance(reply, Parked):
            latest = now.monotonic + LONGEST_WAIT
            until = reply.until if reply.until < latest else latest  # so of NaN, too
            self._parked[owner.uuid] = (connection, number, owner, request, handler, until)
            return number, None
        if self._parked:
            self._parked.pop(owner.uuid, None)
        return number, reply

    def _wake(self, now: Moment) -> list[tuple[bytes, int, Reply | None]]:
        """Answer what waits, if there is something to say by now, or it has waited for long enough."""
        changed = self.state.tasks.changed or bool(self.state.items.changed)
        replies = self._look_at_parked(now, changed=changed)
        if self.state.tasks.changed:  # what one was answered is news for those before it
            replies += self._look_at_parked(now, changed=True)
        return replies

    def _look_at_parked(
        self, now: Moment, *, changed: bool
    ) -> list[tuple[bytes, int, Reply | None]]:
        replies: list[tuple[bytes, int, Reply | None]] = []
        self.state.tasks.changed = False
        for uuid, (connection, number, owner, request, handler, until) in list(
            self._parked.items()
        ):
            reply = handler.wake(owner, request, now) if changed else None
            if reply is None and now.monotonic >= until:
                reply = handler.expire(owner, request, now)
            if reply is not None:
                del self._parked[uuid]
                replies.append((connection, number, reply))
        return replies

    def decide(self, results: Sequence[Result], now: Moment) -> list[Command]:
        """Take in results; returns commands, which must not be carried out before the commit."""
        commands = [one for result in results for one in self.jobs.on_result(result, now)]
        for event, facts in self.jobs.notes.log:
            self._log.info(event, **facts)
        self.jobs.notes.log.clear()
        if self.state.items.wake_delayed(now.monotonic):
            self.state.tasks.changed = self.state.dirty = True
        self.control.sample_rate(now)
        self._drivers.close_if_gone(now)
        self._heads.recall_overdue(now)
        if self._drivers.is_deserted(now):
            self._log.info(
                "deserted", reason="no driver, no pool and no head was there for too long"
            )
            self._stop()
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
        if not self.state.is_over or is_unwritten or (left and self.jobs.submits):
            self._over_since = None
            return False
        now = self._clock.monotonic()
        if self._over_since is None:
            self._over_since = now
        return now - self._over_since >= LINGER
