"""Runs a sweep: submits its commands, and writes down how each ends."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from adaptive_scheduler.errors import FileError, ManagerUnreachableError
from adaptive_scheduler.runs.driver.executor import Executor
from adaptive_scheduler.runs.driver.future import TaskFuture
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.runs.sweep.command import SweepCommand
from adaptive_scheduler.runs.sweep.decisions import FAILURE, NOT_ENDED, SUCCESS, Action, row_key
from adaptive_scheduler.runs.sweep.folders import SweepFolder
from adaptive_scheduler.runs.sweep.plan import Plan, PlannedTask
from adaptive_scheduler.runs.sweep.progress import FailedCommand, Progress
from adaptive_scheduler.runs.sweep.task_files import TaskFiles

#: Seconds between two views of the progress.
REFRESH = 0.5
#: Tasks whose files are written before the first of them is submitted. One at a time, each would
#: travel alone, and the manager would sync its journal for each.
SMALLEST_PORTION, LARGEST_PORTION = 16, 512


class SentCommand(NamedTuple):
    """A command on its way: of which task, its future, and that of the one before it."""

    planned: PlannedTask
    name: str
    future: TaskFuture[Any]
    before: TaskFuture[Any] | None

    @property
    def is_left_out(self) -> bool:
        """Whether the one before it has ended, and not well."""
        before = self.before
        if before is None or not before.done():
            return False
        return before.cancelled() or before.exception() is not None

    @property
    def why(self) -> str:
        """Why it has not succeeded; "" if it has."""
        if self.future.cancelled():
            return "it was cancelled"
        error = self.future.exception()
        facts = self.future.facts
        return "" if error is None else (facts.reason if facts is not None else "") or str(error)


class SweepDriver:
    """Submits what a plan says, and follows it.

    Parameters
    ----------
    executor : Executor
        With the resources of each command.
    folder : SweepFolder
    files : TaskFiles
    when : str
        For names of logs.
    timeouts : dict of str to float
        Command to seconds.

    Attributes
    ----------
    progress : Progress
    launches_ranks : bool
        Whether a command is started once for each of its ranks.
    """

    def __init__(
        self, executor: Executor, folder: SweepFolder, files: TaskFiles, when: str,
        timeouts: dict[str, float],
    ) -> None:  # fmt: skip
        self._executor, self._folder, self._files = executor, folder, files
        self._when, self._timeouts = when, timeouts
        self._ended: queue.SimpleQueue[SentCommand] = queue.SimpleQueue()
        self._begin = time.monotonic()
        self._sent: dict[TaskFuture[Any], SentCommand] = {}
        self.progress = Progress(0)
        self.launches_ranks = True

    # ------------------------------------------------------------------- what is sent

    def submit(self, plan: Plan) -> None:
        """Submit all commands that are to be run; those of one task wait for each other."""
        if plan.withdrawn:
            for future in self._executor.futures_of(plan.withdrawn).values():
                future.cancel()
        followed = self._followed(plan)
        self.progress.total = plan.count(Action.RUN, Action.FOLLOW)
        for portion in _portions(plan.tasks):
            for planned in portion:
                self._write_files(planned)
            for planned in portion:
                self._submit_task(planned, followed)

    def _followed(self, plan: Plan) -> dict[str, TaskFuture[Any]]:
        keys = {
            row_key(one.task.keys[name], one.decisions[name].generation)
            for one in plan.tasks
            for name in one.with_action(Action.FOLLOW)
        }
        return self._executor.futures_of(keys) if keys else {}

    def _write_files(self, planned: PlannedTask) -> None:
        """Say what is run, and that it has not ended."""
        active = planned.with_action(Action.RUN, Action.FOLLOW)
        if active:
            self._files.write_param(planned.task, {name: planned.texts[name] for name in active})
        note_successes(planned, self._folder, self._files)
        changes = {name: entry_of(planned, name, self._folder, NOT_ENDED) for name in active}
        self._files.update_stat(planned.task.name, changes)

    def _submit_task(self, planned: PlannedTask, followed: dict[str, TaskFuture[Any]]) -> None:
        before: TaskFuture[Any] | None = None
        for name in planned.with_action(Action.RUN, Action.FOLLOW):
            decision = planned.decisions[name]
            key = row_key(planned.task.keys[name], decision.generation)
            if decision.action is Action.FOLLOW:
                future = followed[key]
            else:
                future = self._submit_command(planned, name, key, before)
            self._sent[future] = SentCommand(planned, name, future, before)
            future.add_done_callback(self._has_ended)
            before = future

    def _submit_command(
        self, planned: PlannedTask, name: str, key: str, before: TaskFuture[Any] | None
    ) -> TaskFuture[Any]:
        log = self._folder.log(planned.task.name, name, self._when)
        settings = self._executor.options(
            key=key, tag=name, name=planned.task.name, timeout=self._timeouts.get(name),
            after=None if before is None else [before],
        )  # fmt: skip
        self.progress.logs.append(log)
        return settings.submit(SweepCommand(planned.texts[name], log, self.launches_ranks))

    def _has_ended(self, future: Any) -> None:
        """Note an end; called by the executor's thread."""
        self._ended.put(self._sent[future])

    # ------------------------------------------------------------------- what comes back

    def follow(self, show: Callable[[Progress], None], cores: int) -> None:
        """Wait until all have ended; calls `show` now and then. `cores`: of each command."""
        due = 0.0
        with ManagerClient(self._folder.run) as client:
            while self.progress.ended < self.progress.total:
                self._take_ends(max(0.0, due - time.monotonic()))
                if time.monotonic() >= due:
                    self._look(client, cores)
                    show(self.progress)
                    due = time.monotonic() + REFRESH
        self.progress.running = 0
        self.progress.seconds = time.monotonic() - self._begin
        show(self.progress)

    def _take_ends(self, patience: float) -> None:
        try:
            self._take(self._ended.get(timeout=patience))
            while self.progress.ended < self.progress.total:
                self._take(self._ended.get_nowait())
        except queue.Empty:
            return

    def _take(self, sent: SentCommand) -> None:
        future, why = sent.future, sent.why
        if why and sent.is_left_out:
            self.progress.left_out += 1
            return
        if why:
            log = future.log or self._folder.path(sent.planned.task.name)
            self.progress.failures.append(
                FailedCommand(sent.planned.task.name, sent.name, why, log)
            )
        self.progress.failed += bool(why)
        self.progress.done += not why
        if future.facts is not None and not future.cancelled():  # else nothing has begun
            self._write_end(sent, FAILURE if why else SUCCESS)

    def _write_end(self, sent: SentCommand, code: int) -> None:
        more: dict[str, Any] = {"seconds": sent.future.seconds}
        if sent.future.log is not None:
            more["log"] = sent.future.log.name
        entry = entry_of(sent.planned, sent.name, self._folder, code)
        try:
            self._files.update_stat(sent.planned.task.name, {sent.name: {**entry, **more}})
        except FileError as error:  # no reason to end the others: the row knows it, too
            self.progress.problem = self.progress.problem or str(error)

    def _look(self, client: ManagerClient, cores: int) -> None:
        self.progress.seconds = time.monotonic() - self._begin
        try:
            snapshot = client.snapshot("none")
        except ManagerUnreachableError:
            return  # it is started again, and the next look sees it
        self.progress.notes = snapshot.notes
        self.progress.running = sum(job.used for job in snapshot.jobs) // cores
        self.progress.jobs = sum(not job.waiting for job in snapshot.jobs)

    def interrupt(self) -> None:
        """End all that has not ended."""
        self.progress.is_interrupted = True
        for future in self._sent:
            future.cancel()


def _portions(tasks: Sequence[PlannedTask]) -> Iterator[Sequence[PlannedTask]]:
    """Yield tasks in portions that grow: the first ones begin at once, and later messages have many."""
    first, size = 0, SMALLEST_PORTION
    while first < len(tasks):
        yield tasks[first : first + size]
        first, size = first + size, min(2 * size, LARGEST_PORTION)


def note_successes(planned: PlannedTask, folder: SweepFolder, files: TaskFiles) -> None:
    """Write down what has succeeded when nobody was there to do so."""
    names = planned.with_action(Action.NOTE)
    files.update_stat(
        planned.task.name, {name: entry_of(planned, name, folder, SUCCESS) for name in names}
    )


def entry_of(planned: PlannedTask, name: str, folder: SweepFolder, code: int) -> dict[str, Any]:
    """Return what ``stat.json`` says of a command."""
    return {
        "code": code, "key": planned.task.keys[name], "title": folder.run_name,
        "generation": planned.decisions[name].generation,
    }  # fmt: skip
