"""The client: the process in a job that claims learners, runs them, reports."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Executor as Pool
from functools import partial
from typing import Any

from adaptive_scheduler.client import job_environment as environment
from adaptive_scheduler.client.claim_loop import ClaimLoop
from adaptive_scheduler.client.deadline import Deadline, seconds_left
from adaptive_scheduler.client.goodbye import FINAL_TIMEOUT, first_patience, say_goodbye
from adaptive_scheduler.client.job_environment import JobEnvironment
from adaptive_scheduler.client.learners.recipe import Recipes
from adaptive_scheduler.client.learners.tools import Recipe, Workers
from adaptive_scheduler.client.link import ManagerLink
from adaptive_scheduler.client.signals import ENDING, ParentWatch, SignalThread
from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.messages import Fail, Goodbye, Hello, Refused
from adaptive_scheduler.errors import (
    AdaptiveSchedulerError,
    EnvironmentMismatchError,
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

#: What another try in the same job would meet again.
_FOR_GOOD = (RequestRefusedError, EnvironmentMismatchError, UserCodeError)


def main() -> int:
    """Be the client of the job that this process runs in; returns its exit code."""
    print_stack_at_crash()
    job = JobEnvironment.of(os.environ)
    log = job_log(job.logs, job.owner.job)
    try:
        folder = environment.run_folder(os.environ)
        if folder is None:
            raise RunError(
                "$ADAPTIVE_SCHEDULER_RUN is not set: clients are started by job scripts."
            )
        config = read_config(folder)
        return Client(job, folder, config, Recipes(folder, config), log).run()
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
    recipe : callable
        Gives the `Recipe`; called before each learner, the first time before the first claim:
        what fails in it is the run's fault, and no learner is blamed.
    log : structlog.BoundLogger
    """

    def __init__(
        self,
        job: JobEnvironment,
        folder: RunFolder,
        config: RunConfig,
        recipe: Callable[[], Recipe],
        log: Any,
    ) -> None:
        self._job = job
        self._folder = folder
        self._config = config
        self._recipe = recipe
        self._log = log
        self._shift: ClaimLoop | None = None
        self._talk: ManagerLink | None = None
        self._deadline = Deadline(lambda: None)
        self._pool: tuple[Launcher, Pool] | None = None
        self._parents = ParentWatch(job.owner.job) if job.is_batch else None
        self._ended_by: str | None = None

    def run(self) -> int:
        """Talk, work, leave; returns the exit code."""
        self._log.info("client_started", pid=os.getpid(), host=socket.gethostname())
        SignalThread(self._on_signal, self._look).start()
        met = partial(self._log.info, "manager_met")
        with ManagerLink(self._folder, self._job.owner, self._config.timing, met) as talk:
            self._talk = talk
            hello = talk.say(
                Hello(socket.gethostname(), os.getpid(), self._job.cores, self._job.submit)
            )
            try:
                return self._greet_and_work(talk, hello)
            except BaseException as error:
                try:
                    self._give_up(talk, error)
                finally:
                    self._end_pool(1)
                raise

    def _greet_and_work(self, talk: ManagerLink, hello: int) -> int:
        if self._config.environment is not None:
            environment.check(self._config.environment)
            environment.restore(self._config.environment)
        patience = first_patience(self._folder, self._config.timing)
        reply = talk.wait(hello, patience, lambda: self._ended_by is not None)
        if isinstance(reply, Refused):
            raise RequestRefusedError(reply.code, reply.reason)
        if reply is None:
            why = self._ended_by or f"no manager answered within {patience:g} s"
            self._log.warning("client_ended", reason=why)
            self._leave(talk, why, gave_up=self._ended_by is None)
            self._end_pool(0)
            return 0
        executor = self._executor()
        pool = executor.open(self._job.cores)
        self._job.mark_memory(executor.leftover_files())
        self._pool = executor, pool
        self._deadline = Deadline(partial(seconds_left, self._job, self._folder))
        workers = Workers(pool, executor.workers(self._job.cores), self._folder.programs)
        self._recipe()
        self._shift = ClaimLoop(
            talk, workers, self._recipe, self._config, self._deadline, self._log
        )
        if self._ended_by is not None:  # a signal that came before there was a shift
            self._shift.end(self._ended_by)
        why = self._shift.work(self._job.mark_begun)
        self._log.info("client_ended", reason=why)
        again = bool(why) and why == self._shift.pool_fault
        if not again:
            self._leave(talk, why, gave_up=self._shift.gave_up)
        self._end_pool(int(again))
        return int(again)

    def _leave(
        self, talk: ManagerLink, why: str, *, broken: bool = False, gave_up: bool = False
    ) -> None:
        """Say goodbye, to the present manager or else to the next; no further try in this job."""
        self._job.mark_end()
        say_goodbye(talk, self._folder, Goodbye(why, broken), gave_up=gave_up)

    def _give_up(self, talk: ManagerLink, error: BaseException) -> None:
        """Say why it cannot go on, to a manager that has not itself refused it.

        Before the first learner it is the run's fault, and counted as such (`broken`); what no
        other try can change ends the job. A learner that is still held counts a crash.
        """
        if isinstance(error, RequestRefusedError) and error.code != "many_clients":
            return
        name, message, text, _ = describe(error)
        why = str(error) if isinstance(error, AdaptiveSchedulerError) else f"{name}: {message}"
        token = 0 if self._shift is None else self._shift.token
        if token:
            talk.ask(Fail(token, f"its client ended: {why}", text, crash=True), FINAL_TIMEOUT)
        is_early = self._shift is None or not self._shift.has_begun
        if is_early and isinstance(error, _FOR_GOOD):
            self._leave(talk, why, broken=True)
        else:
            say_goodbye(talk, self._folder, Goodbye(why, broken=is_early))

    def _end_pool(self, status: int) -> None:
        """End the workers: Python would wait for those that still evaluate, for hours perhaps."""
        if self._parents is not None and self._parents.are_gone():
            # MPI's own end, and its abort too, would wait for the launcher for ever
            self._tell_failure()
            os._exit(status)
        if self._pool is None:
            return
        executor, pool = self._pool
        self._pool = None
        if not executor.close(pool, 1.0):
            self._tell_failure()
            executor.abort(status)

    def _tell_failure(self) -> None:
        """Tell the exception that is under way, if one is: nobody else can after an abort."""
        if sys.exc_info()[0] is not None:
            self._log.exception("client_failed")
            traceback.print_exc()

    # ------------------------------------------------------------- what it needs

    def _executor(self) -> Launcher:
        name = self._job.executor
        callables = (
            read_callable(self._folder.callables, "executors", [])
            if name.startswith("callable")
            else []
        )
        return launcher_for(name, callables)

    # ------------------------------------------------------------- the lookout's thread

    def _on_signal(self, number: int) -> None:
        name = signal.Signals(number).name
        self._log.info("signal_received", signal=name)
        if number in ENDING:
            self._end(f"signal {name}")
        else:
            # the batch system may take seconds to answer: a SIGTERM must be heard meanwhile
            threading.Thread(target=self._deadline.look, name="deadline", daemon=True).start()

    def _look(self) -> None:
        if self._parents is not None and self._parents.are_gone() and self._ended_by is None:
            self._log.warning("job_script_gone")
            self._end("the job script has ended")
        if self._shift is not None:
            self._shift.look()

    def _end(self, why: str) -> None:
        self._ended_by = self._ended_by or why
        if self._shift is not None:
            self._shift.end(why)
        elif self._talk is not None:
            # the main thread may hang in MPI's start until it is killed
            self._talk.say(Goodbye(why))
