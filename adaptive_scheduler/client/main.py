"""The client: the process in a job that claims items, runs them and reports to the manager."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Mapping
from concurrent.futures import Executor as Pool
from functools import partial
from typing import Any

from adaptive_scheduler.client import job_environment
from adaptive_scheduler.client.claim_loop import ClaimLoop, how_left
from adaptive_scheduler.client.deadline import Deadline, walltime_left
from adaptive_scheduler.client.job_environment import JobEnvironment
from adaptive_scheduler.client.learners.payload import LearnerPayload
from adaptive_scheduler.client.learners.recipe import Recipes
from adaptive_scheduler.client.link import FINAL_TIMEOUT, ManagerLink, first_patience
from adaptive_scheduler.client.payload import Payload, Workers
from adaptive_scheduler.client.signals import ENDING, ParentWatch, SignalThread
from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import TASK
from adaptive_scheduler.core.wire.messages import Fail, Goodbye, Hello, Refused
from adaptive_scheduler.errors import (
    AdaptiveSchedulerError,
    EnvironmentMismatchError,
    ProtocolError,
    RequestRefusedError,
    RunError,
    UserCodeError,
)
from adaptive_scheduler.executors.base import Launcher
from adaptive_scheduler.executors.registry import launcher_for
from adaptive_scheduler.executors.worker import describe
from adaptive_scheduler.executors.worker_process import print_stack_at_crash
from adaptive_scheduler.io.pickling.callables_file import read_callable
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.io.system.logs import job_log

#: Errors that another try in the same job would meet again.
_FOR_GOOD = (RequestRefusedError, EnvironmentMismatchError, UserCodeError)


def main() -> int:
    """Be the client of the job that this process runs in; returns its exit code."""
    print_stack_at_crash()
    job = JobEnvironment.of(os.environ)
    log = job_log(job.logs, job.owner.job)
    try:
        folder = job_environment.run_folder(os.environ)
        if folder is None:
            raise RunError(
                "$ADAPTIVE_SCHEDULER_RUN is not set: clients are started by job scripts."
            )
        config = read_config(folder)
        if config.kind == TASK:
            from adaptive_scheduler.client.tasks.head.head import run_in_job  # large

            return run_in_job(job, folder, config, log)
        payloads = {"learner": LearnerPayload(Recipes(folder, config), config)}
        return Client(job, folder, config, payloads, log).run()
    except AdaptiveSchedulerError as error:
        log.error("client_failed", reason=str(error))
        print(f"adaptive_scheduler: {error}", file=sys.stderr)
    except BaseException as error:
        log.exception("client_crashed", reason=str(error))
        print(f"adaptive_scheduler: {describe(error)[2]}", file=sys.stderr)
    return 1


class Client:
    """One client, from hello to goodbye.

    Parameters
    ----------
    job : JobEnvironment
    folder : RunFolder
    config : RunConfig
    payloads : mapping
        What runs the items of each kind. They are opened before the first claim: what fails
        there is the run's fault, and no item is blamed.
    log : structlog.BoundLogger
    """

    def __init__(
        self,
        job: JobEnvironment,
        folder: RunFolder,
        config: RunConfig,
        payloads: Mapping[str, Payload],
        log: Any,
    ) -> None:
        self._job = job.of_run(config.run)
        self._folder = folder
        self._config = config
        self._payloads = payloads
        self._log = log
        self._loop: ClaimLoop | None = None
        self._link: ManagerLink | None = None
        self._deadline = Deadline(lambda: None)
        self._pool: tuple[Launcher, Pool] | None = None
        self._parents = ParentWatch(job.owner.job) if job.is_batch else None
        self._ended_by: str | None = None

    def run(self) -> int:
        """Greet the manager, run items, leave; returns the exit code."""
        self._log.info("client_started", pid=os.getpid(), host=socket.gethostname())
        SignalThread(self._on_signal, self._check).start()
        on_manager = partial(self._log.info, "manager_met")
        with ManagerLink(self._folder, self._job.owner, self._config.timing, on_manager) as link:
            self._link = link
            job = self._job
            hello = link.send(
                Hello(socket.gethostname(), os.getpid(), job.cores, job.submit, age=job.age)
            )
            try:
                return self._greet_and_work(link, hello)
            except BaseException as error:
                try:
                    self._give_up(link, error)
                finally:
                    self._end_pool(1)
                raise

    def _greet_and_work(self, link: ManagerLink, hello: int) -> int:
        if self._config.environment is not None:
            job_environment.check(self._config.environment)
            job_environment.restore(self._config.environment)
        patience = first_patience(self._folder, self._config.timing)
        reply = link.wait(hello, patience, lambda: self._ended_by is not None)
        if isinstance(reply, Refused):
            raise RequestRefusedError(reply.code, reply.reason)
        if reply is None:
            why = self._ended_by or f"no manager answered within {patience:g} s"
            self._log.warning("client_ended", reason=why)
            self._leave(link, why, gave_up=self._ended_by is None)
            self._end_pool(0)
            return 0
        return self._work(link, self._open_pool())

    def _open_pool(self) -> Workers:
        executor = self._executor()
        pool = executor.open(self._job.cores)
        self._job.mark_memory(executor.leftover_files())
        self._pool = executor, pool
        return Workers(pool, executor.workers(self._job.cores), self._folder.programs)

    def _work(self, link: ManagerLink, workers: Workers) -> int:
        self._deadline = Deadline(partial(walltime_left, self._job, self._folder))
        for payload in self._payloads.values():
            payload.open(workers)
        self._loop = ClaimLoop(link, self._payloads, self._config, self._deadline, self._log)
        if self._ended_by is not None:  # a signal that came before there was a loop
            self._loop.end(self._ended_by)
        why = self._loop.run(self._job.mark_begun)
        self._log.info("client_ended", reason=why)
        again = bool(why) and why == self._loop.pool_fault
        if not again:
            self._leave(link, why, gave_up=self._loop.gave_up)
        self._end_pool(int(again))
        return int(again)

    def _leave(
        self, link: ManagerLink, why: str, *, broken: bool = False, gave_up: bool = False
    ) -> None:
        """Say goodbye, to this manager or else to the next; there is no other try in this job."""
        self._job.mark_end()
        link.say_goodbye(Goodbye(why, broken, self._job.submit, how_left(why)), gave_up=gave_up)

    def _give_up(self, link: ManagerLink, error: BaseException) -> None:
        """Report why it cannot go on, unless the manager itself has refused it.

        Before the first item it is the run's fault, and counted as such (`broken`); an error that
        another try would meet again ends the job. An item that is still held counts a crash.
        """
        if isinstance(error, RequestRefusedError) and error.code != "many_clients":
            if (
                error.code == "other_run"
            ):  # another client would read what that has, and work for it
                self._job.mark_end()
            return
        if isinstance(error, ProtocolError):  # a manager of another version: nothing can be said
            self._job.mark_end()
            return
        name, message, text, _ = describe(error)
        why = str(error) if isinstance(error, AdaptiveSchedulerError) else f"{name}: {message}"
        token = 0 if self._loop is None else self._loop.token
        if token:
            link.ask(Fail(token, f"its client ended: {why}", text, crash=True), FINAL_TIMEOUT)
        is_early = self._loop is None or not self._loop.has_begun
        if is_early and isinstance(error, _FOR_GOOD):
            self._leave(link, why, broken=True)
        else:
            link.say_goodbye(Goodbye(why, is_early, self._job.submit))

    def _end_pool(self, status: int) -> None:
        """End the workers: Python would wait for those that still evaluate, for hours perhaps."""
        if self._parents is not None and self._parents.are_gone():
            # MPI's own end, and its abort too, would wait for the launcher for ever
            self._print_failure()
            os._exit(status)
        if self._pool is None:
            return
        executor, pool = self._pool
        self._pool = None
        if not executor.close(pool, 1.0):
            self._print_failure()
            executor.abort(status)

    def _print_failure(self) -> None:
        """Print the exception that is under way, if one is: nobody else can after an abort."""
        if sys.exc_info()[0] is not None:
            self._log.exception("client_failed")
            traceback.print_exc()

    # ------------------------------------------------------------- the executor

    def _executor(self) -> Launcher:
        name = self._job.executor
        callables = (
            read_callable(self._folder.callables, "executors", [])
            if name.startswith("callable")
            else []
        )
        return launcher_for(name, callables)

    # ------------------------------------------------------------- in the thread of signals

    def _on_signal(self, number: int) -> None:
        name = signal.Signals(number).name
        self._log.info("signal_received", signal=name)
        if number in ENDING:
            self._end(f"signal {name}")
        else:
            # the batch system may take seconds to answer: a SIGTERM must be handled meanwhile
            threading.Thread(target=self._deadline.update, name="deadline", daemon=True).start()

    def _check(self) -> None:
        if self._parents is not None and self._parents.are_gone() and self._ended_by is None:
            self._log.warning("job_script_gone")
            self._end("the job script has ended")
        if self._loop is not None:
            self._loop.check()

    def _end(self, why: str) -> None:
        self._ended_by = self._ended_by or why
        if self._loop is not None:
            self._loop.end(why)
        elif self._link is not None:
            # the main thread may hang in MPI's start until it is killed
            self._link.send(Goodbye(why, submit=self._job.submit, how=how_left(why)))
