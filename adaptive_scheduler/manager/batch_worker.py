"""A thread that talks with the batch system, so that answers to clients never wait for it."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.batch_jobs import (
    CommandResult,
    Ending,
    JobId,
    JobRequest,
    JobState,
    Refusal,
    unfold,
)
from adaptive_scheduler.core.jobs.commands import (
    CancelDone,
    CancelTask,
    ListingFailed,
    ListQueue,
    NotSubmitted,
    QueueListing,
    Result,
    Submit,
    Submitted,
    SubmitUnknown,
    Task,
)
from adaptive_scheduler.core.jobs.records import tag
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import (
    AdaptiveSchedulerError,
    CommandMissingError,
    FileError,
    NoObservation,
    SchedulerError,
    SubmitRefusedError,
    UserCodeError,
)
from adaptive_scheduler.io.storage import files
from adaptive_scheduler.io.system import commands
from adaptive_scheduler.io.system.hosts import Hosts
from adaptive_scheduler.schedulers.base import Scheduler
from adaptive_scheduler.schedulers.job_script import ScriptWriter, job_script

#: A busy controller answers within this many seconds, or is not asked any longer.
TIMEOUT = 60.0


class BatchWorker(threading.Thread):
    """Carries out tasks one after the other.

    Parameters
    ----------
    scheduler : Scheduler
        Knows the words.
    config : RunConfig
    folder : RunFolder
        Scripts are written into it.
    tell : callable
        Given each `Result`, in this thread; or what it died of.
    write_script : callable
        Makes the text of a job script; a user may give another.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        config: RunConfig,
        folder: RunFolder,
        tell: Callable[[Result | Exception], None],
        write_script: ScriptWriter = job_script,
    ) -> None:
        super().__init__(name="batch-system", daemon=True)
        self._scheduler = scheduler
        self._config = config
        self._folder = folder
        self._tell = tell
        self._write_script = write_script
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._pace = 60.0 / scheduler.max_commands_per_minute
        self._burst = float(scheduler.max_commands_per_minute) / 4
        self._last = time.monotonic()
        self._hosts = Hosts(scheduler, self._run)
        #: Why the wave and shape that was last found impossible is not sent again.
        self._impossible: dict[tuple[int | None, int], str] = {}

    def ask(self, task: Task) -> None:
        """Queue a task."""
        self._tasks.put(task)

    def stop(self) -> None:
        """End after the tasks that are queued."""
        self._tasks.put(None)

    def run(self) -> None:
        """Carry out tasks until told to stop."""
        while (task := self._tasks.get()) is not None:
            try:
                result: Result | Exception = self.carry_out(task)
            except Exception as error:  # noqa: BLE001  the top of a thread: the manager ends with it
                result = error
            self._tell(result)

    def carry_out(self, task: Task) -> Result:
        """Say a task in the scheduler's words, and read what comes back."""
        match task:
            case ListQueue():
                return self._look(task)
            case Submit():
                return self._submit(task)
            case CancelTask():
                return self._cancel(task.jobs)

    def _run(self, argv: Sequence[str]) -> CommandResult:
        """Run one command, not faster than the site's system bears."""
        now = time.monotonic()
        self._burst = min(
            self._scheduler.max_commands_per_minute / 4,
            self._burst + (now - self._last) / self._pace,
        )
        self._last = now
        if self._burst < 1:
            time.sleep(self._pace)
        self._burst -= 1
        return commands.run(argv, TIMEOUT)

    # ------------------------------------------------------------------- looking

    def _look(self, task: ListQueue) -> Result:
        try:
            result = self._run(self._scheduler.queue_command())
            jobs = self._scheduler.parse_queue(result)
        except SchedulerError as error:
            return ListingFailed(str(error))
        alive = {job.id for job in jobs if job.state is not JobState.ENDED}
        ended = [JobId(job) for job in task.jobs if job not in alive]
        endings = self._endings(ended, task.begun)
        return QueueListing(
            jobs, endings, self._config.timing.grace if self._scheduler.shows_ended else 0.0
        )

    def _endings(self, ended: list[JobId], begun: frozenset[str]) -> Sequence[Ending]:
        """What accounting tells. A listing that lacks rows of living jobs must not make these ended
        by a row that is of the others: so only this second question is unfolded.
        """
        argv = self._scheduler.history_command(ended) if ended else None
        if argv is None:
            return []
        try:
            told = self._scheduler.parse_history(self._run(argv))
        except SchedulerError:
            return []  # no accounting here: leases and listings decide alone
        one_by_one = unfold(told, [job for job in ended if job not in begun])
        return [ending for ending in one_by_one if ending.cause]

    # ---------------------------------------------------------------- submitting

    def _submit(self, task: Submit) -> Result:
        submit = task.submit
        if task.wave is not None and (words := self._impossible.get((task.wave, submit.shape))):
            return NotSubmitted(submit.number, Refusal.IMPOSSIBLE, words)
        try:
            request = self._request(task)
            script = self._write(request, submit.number)
            result = self._run(self._scheduler.submit_command(request, script, submit.n))
            if result.rc == commands.TIMED_OUT:
                return SubmitUnknown(submit.number, _words(result))
            return Submitted(submit.number, self._scheduler.parse_submit(result, submit.n))
        except (
            SubmitRefusedError
        ) as error:  # an exit status alone does not tell: it may have arrived
            return self._not_submitted(task, self._scheduler.refusal(result), _one_line(str(error)))
        except NoObservation as error:
            return SubmitUnknown(submit.number, str(error))
        except FileError as error:
            return NotSubmitted(submit.number, Refusal.BUSY, str(error))
        except (CommandMissingError, UserCodeError) as error:
            return NotSubmitted(submit.number, Refusal.IMPOSSIBLE, str(error))
        except AdaptiveSchedulerError as error:
            return NotSubmitted(submit.number, Refusal.BUSY, str(error))

    def _request(self, task: Submit) -> JobRequest:
        submit, shape = task.submit, self._config.shapes[task.submit.shape]
        return JobRequest(
            submit.name, tag(self._config.run, submit.number), shape, self._config.log_folder,
            task.excluded, self._hosts.of(shape),
        )  # fmt: skip

    def _not_submitted(self, task: Submit, refusal: Refusal, words: str) -> NotSubmitted:
        if refusal is Refusal.IMPOSSIBLE:
            self._impossible = {(task.wave, task.submit.shape): words}
        return NotSubmitted(task.submit.number, refusal, words)

    def _write(self, request: JobRequest, number: int) -> Path:
        """Write the script; jobs of one submit share it."""
        text = self._write_script(self._scheduler, request, self._config, self._folder, number)
        with files.naming(request.log_folder):
            files.make_folder(request.log_folder)
        path = self._folder.scripts / f"{number:06d}.sh"
        files.write_atomically(path, os.fsencode(text), mode=0o700)
        return path

    # ---------------------------------------------------------------- cancelling

    def _cancel(self, jobs: Sequence[str]) -> Result:
        words = ""
        for argv in self._scheduler.cancel_commands([JobId(job) for job in jobs]):
            try:
                self._scheduler.parse_cancel(self._run(argv))
            except SchedulerError as error:
                words = str(error)
        return CancelDone(words, () if words else jobs)


def _words(result: CommandResult) -> str:
    """What the batch system said, on one line."""
    return _one_line(result.stderr.strip() or result.stdout.strip())


def _one_line(text: str) -> str:
    return " ".join(text.split())[-500:]
