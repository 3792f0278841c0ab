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

from adaptive_scheduler.client import environment
from adaptive_scheduler.client.conversation import Conversation
from adaptive_scheduler.client.deadline import Deadline, seconds_left
from adaptive_scheduler.client.environment import Job
from adaptive_scheduler.client.shift import IDLE_PATIENCE, LAST_WORD, Shift
from adaptive_scheduler.client.signals import ENDING, Lookout, Parents
from adaptive_scheduler.client.tools import Recipe, Workers
from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.messages import Assigned, Claim, Goodbye, Hello, Refused
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import (
    AdaptiveSchedulerError,
    EnvironmentMismatchError,
    RequestRefusedError,
    RunError,
    UserCodeError,
)
from adaptive_scheduler.executors.base import Executor
from adaptive_scheduler.executors.registry import executor_for
from adaptive_scheduler.executors.worker import describe
from adaptive_scheduler.io.callables import read_callable
from adaptive_scheduler.io.learners import LearnerFile
from adaptive_scheduler.io.logs import job_log

#: Why a shift ended although another try in the same job makes sense.
_WORTH_A_TRY = "a worker died"


def main() -> int:
    """Be the client of the job that this process runs in; returns its exit code."""
    job = Job.of(os.environ)
    log = job_log(job.logs, job.owner.job)
    try:
        folder = environment.run_folder(os.environ)
        if folder is None:
            raise RunError(
                "$ADAPTIVE_SCHEDULER_RUN is not set: clients are started by job scripts."
            )
        config = environment.read_config(folder)
        return Client(job, folder, config, partial(_recipe, folder, config), log).run()
    except AdaptiveSchedulerError as error:
        log.error("client_failed", reason=str(error))
        print(f"adaptive_scheduler: {error}", file=sys.stderr)
    except Exception as error:
        log.exception("client_crashed", reason=str(error))
        print(f"adaptive_scheduler: {describe(error)[2]}", file=sys.stderr)
    return 1


class Client:
    """One client, from hello to goodbye.

    Parameters
    ----------
    job : Job
    folder : RunFolder
    config : RunConfig
    recipe : callable
        Gives the `Recipe`; called while the first claim is being answered.
    log : structlog.BoundLogger
    """

    def __init__(
        self,
        job: Job,
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
        self._shift: Shift | None = None
        self._talk: Conversation | None = None
        self._deadline = Deadline(lambda: None)
        self._pool: tuple[Executor, Pool] | None = None
        self._parents = Parents(job.owner.job) if job.is_batch else None
        self._ended_by: str | None = None

    def run(self) -> int:
        """Talk, work, leave; returns the exit code."""
        self._log.info("client_started", pid=os.getpid(), host=socket.gethostname())
        Lookout(self._on_signal, self._look).start()
        with Conversation(self._folder, self._job.owner, self._config.timing) as talk:
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

    def _greet_and_work(self, talk: Conversation, hello: int) -> int:
        if self._config.environment is not None:
            environment.check(self._config.environment)
            environment.restore(self._config.environment)
        reply = talk.wait(hello, IDLE_PATIENCE, lambda: self._ended_by is not None)
        if isinstance(reply, Refused):
            raise RequestRefusedError(reply.code, reply.reason)
        if reply is None:
            self._leave(talk, self._ended_by or "the manager does not answer")
            return 0
        self._job.mark_met()
        executor = self._executor()
        pool = executor.open(self._job.cores)
        self._pool = executor, pool
        claim = talk.say(Claim())  # it is answered while adaptive is being imported
        self._deadline = Deadline(partial(seconds_left, self._job, self._folder))
        workers = Workers(pool, executor.workers(self._job.cores))
        recipe = self._recipe()
        self._shift = Shift(talk, workers, recipe, self._config, self._deadline, self._log)
        if self._ended_by is not None:  # a signal that came before there was a shift
            self._shift.end(self._ended_by)
        why = self._shift.work(claim)
        self._log.info("client_ended", reason=why)
        again = why == _WORTH_A_TRY
        self._leave(talk, why, again=again)
        self._end_pool(int(again))
        return int(again)

    def _leave(
        self, talk: Conversation, why: str, *, broken: bool = False, again: bool = False
    ) -> None:
        """Say goodbye; a next try in the same job is wanted only by `again`."""
        if again:
            return
        self._job.mark_end()
        talk.ask(Goodbye(why, broken), LAST_WORD)

    def _give_up(self, talk: Conversation, error: BaseException) -> None:
        """Say why it cannot go on, to a manager that has not itself refused it."""
        many = isinstance(error, RequestRefusedError) and error.code == "many_clients"
        if many or isinstance(error, EnvironmentMismatchError):
            self._leave(talk, str(error), broken=True)
        elif not isinstance(error, RequestRefusedError):
            talk.ask(Goodbye(f"{type(error).__name__}: {error}"), LAST_WORD)

    def _end_pool(self, status: int) -> None:
        """End the workers: Python would wait for those that still evaluate, for hours perhaps."""
        if self._pool is None:
            return
        executor, pool = self._pool
        self._pool = None
        if not executor.close(pool, 1.0):
            if sys.exc_info()[0] is not None:  # nobody else can tell it after the abort
                self._log.exception("client_failed")
                traceback.print_exc()
            executor.abort(status)

    # ------------------------------------------------------------- what it needs

    def _executor(self) -> Executor:
        name = self._job.executor
        callables = (
            read_callable(self._folder.callables, "executors", [])
            if name.startswith("callable")
            else []
        )
        return executor_for(name, callables)

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


def _recipe(folder: RunFolder, config: RunConfig) -> Recipe:
    """As the run folder has it."""
    import adaptive  # noqa: F401  costs a second: here, while the claim is being answered

    def stored(name: str) -> Any:
        return read_callable(folder.callables, name) if folder.callables.exists() else None

    return Recipe(
        learner=_learner_reader(folder),
        goal=config.goal,
        goal_function=stored("goal"),
        initializers=tuple(stored("initializers") or ()),
        runner_kwargs=dict(stored("runner_kwargs") or {}),
    )


def _learner_reader(folder: RunFolder) -> Callable[[Assigned], Any]:
    file = LearnerFile(folder.learners)

    def read(assigned: Assigned) -> Any:
        try:
            return file.read(assigned.item)
        except AdaptiveSchedulerError:
            raise
        except Exception as error:  # the border to the user's code: classes that do not load
            name, message, text, _ = describe(error)
            raise UserCodeError(
                "learner, when it was loaded,", f"{name}: {message}", text
            ) from error

    return read
