"""The thread that talks to the batch system, so that clients never wait for it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.batch_jobs import (
    CommandResult,
    Ending,
    JobId,
    JobRequest,
    JobState,
    Refusal,
    expand_array_rows,
)
from adaptive_scheduler.core.jobs.commands import (
    CancelDone,
    CancelJobs,
    Command,
    ListingFailed,
    ListQueue,
    NotSubmitted,
    QueueListing,
    Result,
    SubmitJobs,
    SubmitResult,
)
from adaptive_scheduler.core.jobs.records import tag
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rate import RateLimiter
from adaptive_scheduler.errors import AdaptiveSchedulerError, SchedulerError
from adaptive_scheduler.io.system.hosts import Hosts
from adaptive_scheduler.io.system.submit import refused_by, run_command, submit, write_script
from adaptive_scheduler.schedulers.base import Scheduler
from adaptive_scheduler.schedulers.job_script import ScriptWriter, job_script


class BatchWorker(threading.Thread):
    """Carries out commands one after the other.

    Parameters
    ----------
    scheduler : Scheduler
        Translates to and from the texts of the batch system.
    config : RunConfig
    folder : RunFolder
        Scripts are written into it.
    report : callable
        Given each `Result`, or the error that ended the thread; called in this thread.
    script_text : callable
        Makes the text of a job script; users may give their own.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        config: RunConfig,
        folder: RunFolder,
        report: Callable[[Result | Exception], None],
        script_text: ScriptWriter = job_script,
    ) -> None:
        super().__init__(name="batch-system", daemon=True)
        self._scheduler = scheduler
        self._config = config
        self._folder = folder
        self._report = report
        self._script_text = script_text
        self._commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._rate = RateLimiter(scheduler.max_commands_per_minute, time.monotonic())
        self._hosts = Hosts(scheduler, self._run)
        #: Why a shape is impossible, by group of submits and shape: not sent again in this group.
        self._impossible: dict[tuple[int, int], str] = {}

    def send(self, command: Command) -> None:
        """Queue a command."""
        self._commands.put(command)

    def stop(self) -> None:
        """End after the commands that are queued."""
        self._commands.put(None)

    def run(self) -> None:
        """Carry out commands until told to stop."""
        while (command := self._commands.get()) is not None:
            try:
                result: Result | Exception = self.carry_out(command)
            except Exception as error:  # noqa: BLE001  the top of a thread: the manager ends with it
                result = error
            self._report(result)

    def carry_out(self, command: Command) -> Result:
        """Run what the command needs, and return its result."""
        match command:
            case ListQueue():
                return self._list(command)
            case SubmitJobs():
                return msgspec.structs.replace(self._submit(command), number=command.number)
            case CancelJobs():
                return self._cancel(command.jobs)

    def _run(self, argv: Sequence[str]) -> CommandResult:
        """Run a program of the batch system, not more often than the site allows."""
        if wait := self._rate.take(time.monotonic()):
            time.sleep(wait)
        return run_command(argv)

    def _list(self, command: ListQueue) -> Result:
        try:
            jobs = self._scheduler.parse_queue(self._run(self._scheduler.queue_command()))
        except SchedulerError as error:
            return ListingFailed(str(error))
        alive = {job.id for job in jobs if job.state is not JobState.ENDED}
        gone = [JobId(job) for job in command.jobs if job not in alive]
        doubt = self._config.timing.grace if self._scheduler.shows_ended else 0.0
        return QueueListing(jobs, self._endings(gone, command.started), doubt)

    def _endings(self, gone: list[JobId], started: frozenset[str]) -> Sequence[Ending]:
        """Ask accounting how jobs ended.

        Only rows of this answer are expanded. Those of a listing must not be: one that was cut
        short would let a row for the other tasks of an array end tasks that live.
        """
        argv = self._scheduler.history_command(gone) if gone else None
        if argv is None:
            return []
        try:
            rows = self._scheduler.parse_history(self._run(argv))
        except SchedulerError:
            return []  # no accounting here: leases and listings decide alone
        endings = expand_array_rows(rows, [job for job in gone if job not in started])
        return [ending for ending in endings if ending.cause]

    def _submit(self, command: SubmitJobs) -> SubmitResult:
        key = (command.group, command.shape)
        if command.group and key in self._impossible:
            return NotSubmitted(Refusal.IMPOSSIBLE, self._impossible[key])
        try:
            request = self._request(command)
            script = self._write(request, command.number)
        except AdaptiveSchedulerError as error:
            result: SubmitResult = refused_by(error)
        else:
            result = submit(self._scheduler, request, script, command.n, self._run)
        if isinstance(result, NotSubmitted) and result.refusal is Refusal.IMPOSSIBLE:
            self._impossible = {key: result.reason}
        return result

    def _request(self, command: SubmitJobs) -> JobRequest:
        shape = self._config.shapes[command.shape]
        return JobRequest(
            command.name, tag(self._config.run, command.number), shape, self._config.log_folder,
            command.excluded_nodes, self._hosts.of(shape),
        )  # fmt: skip

    def _write(self, request: JobRequest, number: int) -> Path:
        text = self._script_text(self._scheduler, request, self._config, self._folder, number)
        path = self._folder.scripts / f"{number:06d}.sh"
        write_script(request, path, text)
        return path

    def _cancel(self, jobs: Sequence[str]) -> CancelDone:
        failed = ""
        for argv in self._scheduler.cancel_commands([JobId(job) for job in jobs]):
            try:
                self._scheduler.parse_cancel(self._run(argv))
            except SchedulerError as error:
                failed = str(error)
        return CancelDone(failed, () if failed else jobs)
