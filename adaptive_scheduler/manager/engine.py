"""The one loop of a manager: clients on one side, the batch system on the other."""

from __future__ import annotations

import os
import queue
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial

from msgspec.structs import replace

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.messages import Picture, Reply, decode_request, encode_reply
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import ManagerUnreachableError, ProtocolError
from adaptive_scheduler.io import files
from adaptive_scheduler.io.addresses import Address, read_address, write_address
from adaptive_scheduler.io.database import Database
from adaptive_scheduler.io.job_logs import output_tail
from adaptive_scheduler.io.logs import open_log
from adaptive_scheduler.io.transport import Server
from adaptive_scheduler.io.whereabouts import publish
from adaptive_scheduler.manager import state
from adaptive_scheduler.manager.batch import BatchSystem, ScriptWriter
from adaptive_scheduler.manager.database_manager import DatabaseManager, Moment
from adaptive_scheduler.manager.job_manager import JobManager
from adaptive_scheduler.manager.jobscript import job_script
from adaptive_scheduler.manager.keeper import Keeper
from adaptive_scheduler.manager.lock import Lock
from adaptive_scheduler.manager.people import People
from adaptive_scheduler.manager.tasks import Result, Task
from adaptive_scheduler.schedulers.base import Scheduler

#: Seconds that the manager stays after the end, for clients that have something to say.
LINGER = 1.0


class Engine:
    """A manager: takes the lock, opens the database, listens, and runs until all is done.

    Parameters
    ----------
    folder : RunFolder
        Of a run whose database exists.
    config : RunConfig
    scheduler : Scheduler, optional
        None: serve clients, submit nothing, until `manage_jobs`.
    write_script : callable, optional
        Makes the text of a job script.

    Attributes
    ----------
    url : str
        Where it listens.

    Raises
    ------
    RunError
        Another manager of this run lives.
    DatabaseError
        The database cannot be read.
    InputError
        It cannot listen there.
    """

    def __init__(
        self,
        folder: RunFolder,
        config: RunConfig,
        scheduler: Scheduler | None = None,
        write_script: ScriptWriter = job_script,
    ) -> None:
        self.folder = folder
        self._log = open_log(folder.manager_log, 0o600, run=config.run)
        self._results: queue.SimpleQueue[Callable[[], None] | Result | Exception] = (
            queue.SimpleQueue()
        )
        self._stopping = threading.Event()
        self.ended = threading.Event()
        self._batch: BatchSystem | None = None
        files.private_folder(folder.folder)
        self._lock = Lock(folder)
        self._lock.acquire()
        try:
            self._open(config)
        except BaseException:
            self._lock.release()
            raise
        if scheduler is not None:
            self._begin_jobs(scheduler, config, write_script)

    def _open(self, config: RunConfig) -> None:
        now = _now()
        store = Database(self.folder)
        book, jobs = state.open_books(store.tables, self.folder, config, now.monotonic)
        run_row, combos = state.read_run(store.tables), state.read_combos(store.tables)
        self.clients = DatabaseManager(book, jobs, combos, config)
        self.clients.closing = run_row.cancelled
        self._keeper = Keeper(store, self.clients, run_row, combos, self._log)
        none = replace(config, limits=replace(config.limits, max_simultaneous_jobs=0))
        self.jobs = JobManager(self.clients, none, run_row.held)
        self._server = Server(self.folder, config.url, config.interface, config.ports)
        self.url = self._server.urls[0]
        try:
            self._publish()
        except BaseException:
            self._server.close()
            raise
        who = f"{self.address.host}:{self.address.pid}"
        self._people = People(self.folder, self.clients, self.jobs, who, now, self.stop)
        self._next_count = now.monotonic
        self._over_since: float | None = None
        self._rejected = 0
        self._tasks: list[Task] = []

    def _publish(self) -> None:
        """Only after the bind: who reads this must be able to connect."""
        self.address = Address(
            self._server.urls, self._server.server_key, socket.gethostname(), os.getpid(),
            secrets.token_hex(8),
        )  # fmt: skip
        write_address(self.folder, self.address)
        for url in self._server.urls:
            publish(url, self.folder)

    # ---------------------------------------------------------------- from outside

    def manage_jobs(
        self, scheduler: Scheduler, config: RunConfig, write_script: ScriptWriter = job_script
    ) -> None:
        """Submit jobs too, from now on; may be called from any thread."""
        self._results.put(lambda: self._begin_jobs(scheduler, config, write_script))
        self._server.wake()

    def _begin_jobs(self, scheduler: Scheduler, config: RunConfig, write: ScriptWriter) -> None:
        self.clients.config = config
        self.jobs = JobManager(
            self.clients, config, self.jobs.notes.held, scheduler.max_array,
            partial(output_tail, config.log_folder),
        )  # fmt: skip
        self._people.jobs, self._people.scheduler = self.jobs, scheduler.name
        self._batch = BatchSystem(scheduler, config, self.folder, self._tell, write)
        self._batch.start()
        self.clients.news = True

    def _tell(self, result: Result | Exception) -> None:
        self._results.put(result)
        self._server.wake()

    def stop(self) -> None:
        """End the loop; jobs go on and wait for the next manager. From any thread."""
        self._stopping.set()
        self._server.wake()

    # -------------------------------------------------------------------- the loop

    def run(self) -> None:
        """Serve until every item has ended and no job is left, or `stop`."""
        self._log.info("manager_started", url=self.url, pid=os.getpid())
        try:
            while not self._stopping.is_set() and not self._is_over():
                self._turn()
            self._keeper.fold(wait=True)
        finally:
            self._end()
        self._log.info("manager_ended", over=self.clients.book.unfinished == 0)

    def _turn(self) -> None:
        """Drain the socket, step each request, commit once, then answer."""
        messages = self._server.receive(self._patience())
        self._people.unsigned = self._lock.bump()  # first of all: who lost the run must not answer
        now = _now()
        replies = [(connection, *self._answer(message, now)) for connection, message in messages]
        self._take_results(now)
        self.clients.book.wake_delayed(now.monotonic)
        if self._batch is not None:
            self._tasks += self.jobs.tasks(now)
        elif now.monotonic >= self._next_count:  # scripts started by hand are in no queue
            self._next_count = now.monotonic + 1.0
            self.jobs.reconcile(now)
        self._people.refused = self._server.refused
        is_durable = self._keeper.commit(self.jobs.notes.held)
        self._people.stuck = self._keeper.stuck
        for connection, number, reply in replies:
            if reply is not None and (is_durable or isinstance(reply, Picture)):
                self._server.send(connection, encode_reply(number, reply))
        if is_durable:  # a submit must be known to whoever follows on this manager
            while self._batch is not None and self._tasks:
                self._batch.ask(self._tasks.pop(0))
            self._keeper.fold_if_due(now.monotonic)

    def _patience(self) -> float:
        if not self._results.empty():
            return 0.0
        due = self.jobs.next_due(_now()) if self._batch is not None else 1.0
        return min(1.0, max(0.02, due))

    def _take_results(self, now: Moment) -> None:
        while not self._results.empty():
            result = self._results.get()
            if isinstance(result, Exception):
                raise result
            if callable(result):
                result()
            else:
                self._tasks += self.jobs.take(result, now)
        for event, facts in self.jobs.notes.log:
            self._log.info(event, **facts)
        self.jobs.notes.log.clear()

    def _is_over(self) -> bool:
        """All items have ended, no job is left, and nobody has spoken for a moment."""
        left = any(True for _ in self.clients.jobs.living()) or self.clients.jobs.submit_views(0.0)
        if self.clients.book.unfinished or (left and self._batch is not None):
            self._over_since = None
            return False
        if self._over_since is None:
            self._over_since = time.monotonic()
        return time.monotonic() - self._over_since >= LINGER

    def _end(self) -> None:
        with ExitStack() as last:  # the last one first; each, whatever becomes of the others
            last.callback(self.ended.set)
            last.callback(self._lock.release)
            last.callback(self._unpublish)
            last.callback(self._keeper.close)
            last.callback(self._server.close)
            if self._batch is not None:
                last.callback(self._batch.stop)

    def _unpublish(self) -> None:
        """Remove ``manager.json``, unless another manager has taken over and written its own."""
        with suppress(ManagerUnreachableError):
            if read_address(self.folder).instance == self.address.instance:
                self.folder.manager.unlink(missing_ok=True)

    # ------------------------------------------------------------------- answering

    def _answer(self, message: bytes, now: Moment) -> tuple[int, Reply | None]:
        """Answer one message; what is no request of this version is dropped and counted."""
        try:
            owner, number, request = decode_request(message)
        except ProtocolError as error:
            self._rejected += 1
            if self._rejected in (1, 10, 100, 1000) or self._rejected % 10000 == 0:
                self._log.warning("message_dropped", reason=str(error), dropped=self._rejected)
            return 0, None
        reply = self._people.answer(owner, request, now)
        if reply is None:
            reply = self.clients.handle(owner, number, request, now)
        return number, reply


def _now() -> Moment:
    return Moment(time.time(), time.monotonic())
