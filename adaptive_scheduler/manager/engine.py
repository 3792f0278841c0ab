"""The one loop of a manager: clients on one side, the batch system on the other."""

from __future__ import annotations

import os
import queue
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.commands import Result, Task
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.messages import Goodbye
from adaptive_scheduler.errors import FileError, ManagerUnreachableError
from adaptive_scheduler.io.storage import files
from adaptive_scheduler.io.storage.database import Database
from adaptive_scheduler.io.storage.lock import Lock
from adaptive_scheduler.io.system.logs import open_log
from adaptive_scheduler.io.system.read_logs import CRASH_LINES, job_output_tail
from adaptive_scheduler.io.transport import keys
from adaptive_scheduler.io.transport import offline_goodbyes as last_words
from adaptive_scheduler.io.transport import url_registry as whereabouts
from adaptive_scheduler.io.transport.addresses import (
    Address,
    host_addresses,
    read_address,
    write_address,
)
from adaptive_scheduler.io.transport.server import Server
from adaptive_scheduler.manager.batch_worker import BatchWorker
from adaptive_scheduler.manager.dispatch import Dispatcher
from adaptive_scheduler.manager.jobs import JobManager
from adaptive_scheduler.schedulers.base import Scheduler
from adaptive_scheduler.schedulers.job_script import ScriptWriter, job_script


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
        self._batch: BatchWorker | None = None
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
        who = f"{socket.gethostname()}:{os.getpid()}"
        self._turns = Dispatcher(Database(self.folder), config, self._log, who, self.stop)
        self.clients = self._turns.clients
        self._hear_last_words()
        self._server = Server(self.folder, config.url, config.interface, config.ports)
        self.url = self._server.urls[0]
        try:
            self._publish()
        except BaseException:
            self._server.close()
            raise

    @property
    def jobs(self) -> JobManager:
        """The batch system's side."""
        return self._turns.jobs

    def _hear_last_words(self) -> None:
        """Jobs that left in good order while no manager lived have not crashed."""
        for path, word in last_words.read_goodbyes(self.folder):
            goodbye = Goodbye(word.reason, word.broken)
            if self.clients.hear_late(word.owner, goodbye, self._turns.now()):
                self._log.info("goodbye_found", job=word.owner.job, reason=word.reason)
            else:
                path.unlink(missing_ok=True)  # known to a former manager already

    def _publish(self) -> None:
        """Only after the bind: who reads this must be able to connect."""
        self.address = Address(
            self._server.urls, self._server.server_key, socket.gethostname(), os.getpid(),
            secrets.token_hex(8),
        )  # fmt: skip
        write_address(self.folder, self.address)
        for url in self._server.urls:
            whereabouts.publish(url, self.folder)

    # ---------------------------------------------------------------- from outside

    def manage_jobs(
        self, scheduler: Scheduler, config: RunConfig, write_script: ScriptWriter = job_script
    ) -> None:
        """Submit jobs too, from now on; may be called from any thread."""
        self._results.put(lambda: self._begin_jobs(scheduler, config, write_script))
        self._server.wake()

    def _begin_jobs(self, scheduler: Scheduler, config: RunConfig, write: ScriptWriter) -> None:
        output = partial(job_output_tail, config.log_folder, lines=CRASH_LINES)
        self._turns.submit_jobs(config, scheduler.name, scheduler.max_array, output)
        self._batch = BatchWorker(scheduler, config, self.folder, self._tell, write)
        self._batch.start()

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
            while not self._stopping.is_set() and not self._turns.is_over():
                self._turn()
            self._turns.keeper.fold(wait=True)
        finally:
            self._end()
        self._log.info("manager_ended", over=self.clients.book.unfinished == 0)

    def _turn(self) -> None:
        patience = self._turns.patience() if self._results.empty() else 0.0
        messages = self._server.receive(patience)
        people = self._turns.people
        people.unsigned = self._lock.renew()  # first of all: who lost the run must not answer
        people.note_strangers(self._server.refused, self._server.is_full)
        self._turns.take(messages, self._drain(), self)

    def _drain(self) -> list[Result]:
        """What the batch system told meanwhile; raises what its thread died of."""
        results: list[Result] = []
        while not self._results.empty():
            result = self._results.get()
            if isinstance(result, Exception):
                raise result
            if callable(result):
                result()
            else:
                results.append(result)
        return results

    def send(self, connection: bytes, message: bytes) -> None:
        """Answer a client."""
        self._server.send(connection, message)

    def ask(self, task: Task) -> None:
        """Give the batch system something to do."""
        if self._batch is not None:
            self._batch.ask(task)

    def _end(self) -> None:
        with ExitStack() as last:  # the last one first; each, whatever becomes of the others
            last.callback(self.ended.set)
            last.callback(self._lock.release)
            last.callback(self._tidy)
            last.callback(self._unpublish)
            last.callback(self._turns.keeper.close)
            last.callback(self._server.close)
            if self._batch is not None:
                last.callback(self._batch.stop)

    def _tidy(self) -> None:
        """Remove what this run has in the user's state folder, once nobody looks for it any more.

        While jobs are left, they find the next manager by it.
        """
        with suppress(FileError, OSError):
            whereabouts.remove_stale(host_addresses())
            if self._turns.is_over():
                whereabouts.withdraw(self.folder)
                keys.remove_external(self.folder.keys)

    def _unpublish(self) -> None:
        """Remove ``manager.json``, unless another manager has taken over and written its own."""
        with suppress(ManagerUnreachableError):
            if read_address(self.folder).instance == self.address.instance:
                with files.naming(self.folder.manager), suppress(FileNotFoundError):
                    files.operations.unlink(self.folder.manager)
