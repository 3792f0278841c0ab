"""Runs a manager: its lock, database, socket, batch system and loop."""

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
from adaptive_scheduler.core.jobs.commands import Command, Result
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import TASK
from adaptive_scheduler.core.wire.messages import Goodbye
from adaptive_scheduler.errors import FileError, ManagerUnreachableError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.disk.lock import Lock
from adaptive_scheduler.io.storage import facts
from adaptive_scheduler.io.storage.database import Database
from adaptive_scheduler.io.system.logs import open_log
from adaptive_scheduler.io.system.read_logs import CRASH_LINES, job_output_tail
from adaptive_scheduler.io.transport import keys, offline_goodbyes, url_registry
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
        None: it serves clients and submits nothing, until `manage_jobs`.
    write_script : callable, optional
        Returns the text of a job script.

    Attributes
    ----------
    url : str
        At which it listens.
    state : RunState
        What it knows of the run; only the thread of `run` may change it.

    Raises
    ------
    RunError
        Another manager serves this run.
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
        name = f"{socket.gethostname()}:{os.getpid()}"
        store = Database(self.folder, undecoded=True)
        self._dispatcher = Dispatcher(store, config, self._log, name, self.stop)
        self.state = self._dispatcher.state
        self._read_offline_goodbyes()
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
        return self._dispatcher.jobs

    def _read_offline_goodbyes(self) -> None:
        """Jobs that ended in good order while no manager lived have not crashed."""
        clients = self._dispatcher.clients
        for path, found in offline_goodbyes.read_goodbyes(self.folder):
            goodbye = Goodbye(found.reason, found.broken)
            if clients.receive_offline_goodbye(found.owner, goodbye, self._dispatcher.now()):
                self._log.info("goodbye_found", job=found.owner.job, reason=found.reason)
            else:
                path.unlink(missing_ok=True)  # known to a former manager already

    def _publish(self) -> None:
        """Tell clients the address; only after the bind, so that they can connect at once."""
        self.address = Address(
            self._server.urls, self._server.server_key, socket.gethostname(), os.getpid(),
            secrets.token_hex(8),
        )  # fmt: skip
        write_address(self.folder, self.address)
        for url in self._server.urls:
            url_registry.publish(url, self.folder)

    # ---------------------------------------------------------------- from outside

    def manage_jobs(
        self, scheduler: Scheduler, config: RunConfig, write_script: ScriptWriter = job_script
    ) -> None:
        """Submit jobs too, from now on. Any thread may call it."""
        self._results.put(lambda: self._begin_jobs(scheduler, config, write_script))
        self._server.wake()

    def _begin_jobs(self, scheduler: Scheduler, config: RunConfig, write: ScriptWriter) -> None:
        output = partial(job_output_tail, config.log_folder, lines=CRASH_LINES)
        self._dispatcher.submit_jobs(config, scheduler.name, scheduler.max_array, output)
        self._batch = BatchWorker(scheduler, config, self.folder, self._report, write)
        self._batch.start()

    def _report(self, result: Result | Exception) -> None:
        self._results.put(result)
        self._server.wake()

    def stop(self) -> None:
        """End the loop; jobs go on and wait for the next manager. Any thread may call it."""
        self._stopping.set()
        self._server.wake()

    # -------------------------------------------------------------------- the loop

    def run(self) -> None:
        """Serve until every item has ended and no job is left, or `stop`."""
        self._log.info("manager_started", url=self.url, pid=os.getpid())
        if self.state.config.kind == TASK:
            threading.Thread(target=facts.prepare, name="imports", daemon=True).start()
        try:
            while not self._stopping.is_set() and not self._dispatcher.is_over():
                self._step()
            self._lock.check()  # the folder may be that of another run by now
            self._dispatcher.persistence.checkpoint(wait=True)
        finally:
            self._end()
        self._log.info("manager_ended", over=self.state.items.unfinished == 0)

    def _step(self) -> None:
        patience = self._dispatcher.patience() if self._results.empty() else 0.0
        messages = self._server.receive(patience)
        lock_error = self._lock.renew()  # first: a manager that lost its lock must not answer
        self._dispatcher.control.observe(lock_error, self._server.refused, self._server.is_full)
        self._dispatcher.step(messages, self._drain(), self)

    def _drain(self) -> list[Result]:
        """Results of the batch system's thread; raises the error that ended it."""
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
        """Send a reply to a client."""
        self._server.send(connection, message)

    def send_command(self, command: Command) -> None:
        """Give the batch system something to do."""
        if self._batch is not None:
            self._batch.send(command)

    def _end(self) -> None:
        with ExitStack() as last:  # the last one first; each, also if another one fails
            last.callback(self.ended.set)
            last.callback(self._lock.release)
            last.callback(self._clean_up)
            last.callback(self._unpublish)
            last.callback(self._dispatcher.persistence.close)
            last.callback(self._server.close)
            if self._batch is not None:
                last.callback(self._batch.stop)

    def _clean_up(self) -> None:
        """Remove what this run has in the user's state folder, unless jobs are left.

        These find the next manager by it.
        """
        with suppress(FileError, OSError):
            url_registry.remove_stale(host_addresses())
            if self._dispatcher.is_over() and self._lock.is_held():
                url_registry.withdraw(self.folder)
                keys.remove_external(self.folder.keys)

    def _unpublish(self) -> None:
        """Remove ``manager.json``, unless it is that of another manager by now."""
        with suppress(ManagerUnreachableError):
            if read_address(self.folder).instance == self.address.instance:
                with files.naming(self.folder.manager), suppress(FileNotFoundError):
                    files.operations.unlink(self.folder.manager)
