"""Starts a sweep: reads its file, plans it, runs it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

import msgspec

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.sweeps.slots import NodeShape, read_resource
from adaptive_scheduler.core.sweeps.sweep_file import SweepFile, check_commands, check_file
from adaptive_scheduler.core.sweeps.tasks import Selection, SweepTask, tasks_of
from adaptive_scheduler.core.sweeps.yaml_text import read_documents
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.errors import InputError, ManagerUnreachableError, RunError
from adaptive_scheduler.io.disk import files as disk
from adaptive_scheduler.io.disk.process_lock import holder, locked
from adaptive_scheduler.runs.driver.executor import Executor
from adaptive_scheduler.runs.driver.start_run import has_manager
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.runs.sweep.decisions import Action
from adaptive_scheduler.runs.sweep.driver import SweepDriver, note_successes
from adaptive_scheduler.runs.sweep.folders import ALL, LOCK_NAME, TASKS_NAME, SweepFolder
from adaptive_scheduler.runs.sweep.former_rows import FormerRows
from adaptive_scheduler.runs.sweep.places import Place
from adaptive_scheduler.runs.sweep.plan import Plan, Wanted, make_plan
from adaptive_scheduler.runs.sweep.progress import Progress
from adaptive_scheduler.runs.sweep.task_files import TaskFiles
from adaptive_scheduler.runs.task_run import TaskRun
from adaptive_scheduler.schedulers.here import Here

#: Of the file names of logs, as mlrunner has it.
WHEN = "%Y%m%d.%H%M%S"

_WAIT = "Wait for its end, or give this one another folder: -o."
_JOIN = "To add this machine to it: adaptive-scheduler sweep --join OUTPUT."


class SweepOptions(msgspec.Struct, frozen=True):
    """What was typed.

    Attributes
    ----------
    yaml, output : str
    selection : Selection
    is_debug : bool
        The first task only.
    is_forced : bool
    has_folders : bool
        Whether each task has a folder.
    resource : list of str
        In place of the file's; empty: that.
    """

    yaml: str = "params.yaml"
    output: str = "output"
    selection: Selection = Selection()
    is_debug: bool = False
    is_forced: bool = False
    has_folders: bool = True
    resource: list[str] = []


class Sweep:
    """A sweep that is ready to be run.

    Parameters
    ----------
    options : SweepOptions

    Attributes
    ----------
    options : SweepOptions
    file : SweepFile
    tasks : list of SweepTask
    folder : SweepFolder
    when : str
        ``{_datetime}``.

    Raises
    ------
    InputError
        The file cannot be read, or something in it makes no sense. Nothing was written then.
    """

    def __init__(self, options: SweepOptions) -> None:
        self.options = options
        chosen = options.selection
        if chosen.sample is not None and chosen.sample < 1:
            raise InputError(f"--sample {chosen.sample}: must be at least 1.")
        self.file = read_file(options.yaml)
        check_commands(chosen.commands, self.file.commands, "--command")
        tasks = tasks_of(self.file, chosen, os.path.exists)
        self.tasks: list[SweepTask] = tasks[:1] if options.is_debug else tasks
        self.folder = SweepFolder(options.output, chosen.title, has_folders=options.has_folders)
        disk.check_output(self.folder.home, f"--output {options.output}")
        self.when = time.strftime(WHEN)
        self._files = TaskFiles(self.folder, self.when)

    @property
    def resource(self) -> list[str] | NodeShape | None:
        """The slots that were typed, else those of the file."""
        return read_resource(self.options.resource or self.file.resource)

    def plan(self, place: Place) -> Plan:
        """Return what is to be done; changes nothing."""
        is_forced = self.options.is_forced or self.options.is_debug
        wanted = Wanted(
            self.tasks, self.file.commands, is_forced, self.when, place.resources, self.file.timeouts
        )  # fmt: skip
        return make_plan(self.folder, self._files, FormerRows(self.folder), wanted)

    def run(
        self, place: Place, tell: Callable[[Plan], None], show: Callable[[Progress], None]
    ) -> Progress:
        """Run what is to be run; returns how it has ended. A Ctrl-C ends all commands.

        Parameters
        ----------
        place : Place
        tell : callable
            Given the plan, before.
        show : callable
            Given the progress, now and then.

        Raises
        ------
        RunError
            A sweep of this title runs already, or one that has the same tasks.
        """
        with locked(self.folder.lock, "a sweep of this title runs", _JOIN):
            _refuse_rivals(self.folder)
            plan = self.plan(place)
            _claim(self.folder, plan)
            tell(plan)
            self._write(place)
            for one in plan.tasks:
                path = self.folder.path(one.task.name)
                with disk.naming(path):
                    path.mkdir(exist_ok=True)
            # a manager that a killed sweep has left would wait for more tasks: the run is closed then
            if not plan.count(Action.RUN, Action.FOLLOW) and not has_manager(self.folder.run):
                return self._noted(plan)
            return self._run(plan, place, show)

    def _noted(self, plan: Plan) -> Progress:
        for one in plan.tasks:
            note_successes(one, self.folder, self._files)
        return Progress(0, skipped=plan.count(Action.SKIP, Action.NOTE))

    def _run(self, plan: Plan, place: Place, show: Callable[[Progress], None]) -> Progress:
        name = f"sweep-{self.folder.run_name}"
        with Executor(
            place.where, folder=self.folder.run.home, name=name, max_jobs=place.max_jobs
        ) as executor:
            driver = SweepDriver(
                executor.options(resources=place.resources), self.folder, self._files, self.when,
                self.file.timeouts,
            )  # fmt: skip
            if isinstance(place.where, Here):
                self._remove_pools(executor)
            driver.launches_ranks = place.launches_ranks
            driver.progress.slots = place.slots
            driver.progress.skipped = plan.count(Action.SKIP, Action.NOTE)
            try:
                driver.submit(plan)
                driver.follow(show, place.cores)
            except KeyboardInterrupt:
                driver.interrupt()
            except BrokenExecutor as error:
                raise RunError(str(error)) from error
            except BaseException:
                driver.interrupt()  # else its end would wait for all that was submitted
                raise
        return driver.progress

    def _remove_pools(self, executor: Executor) -> None:
        """End the pools of an earlier sweep: this one submits no jobs."""
        for one in TaskRun(self.folder.run).pools():
            if not one.pool.is_removed:
                executor.remove_pool(one.pool.name)

    def _write(self, place: Place) -> None:
        """Write down how the sweep was started: a copy of its file, and what it does not say."""
        copy = self.folder.home / Path(self.options.yaml).name
        if self.options.selection.title is not None:
            copy = copy.with_name(f"{copy.name}.{self.folder.run_name}")
        with disk.naming(copy):
            data = Path(self.options.yaml).read_bytes()
            if not (copy.exists() and copy.samefile(self.options.yaml)):
                disk.write_atomically(copy, data)
        record: dict[str, Any] = {
            "yaml": str(copy), "datetime": self.when, "title": self.options.selection.title,
            "sample": self.options.selection.sample, "seed": self.options.selection.seed,
            "resource": self.options.resource, "cores_per_slot": place.resources.cores_per_node,
            "in_jobs": not isinstance(place.where, Here),
        }  # fmt: skip
        disk.write_atomically(self.folder.record, json.dumps(record, indent=1).encode())


def _refuse_rivals(folder: SweepFolder) -> None:
    """Raise RunError if a sweep without a title runs, or this is one: it has the tasks of all titles."""
    for run in folder.others():
        name = run.home.name
        if ALL in (name, folder.run_name) and (who := _who_runs(run)):
            title = "without a title" if name == ALL else f"of the title {name}"
            raise RunError(
                f"{folder.output}: a sweep {title} runs there ({who}), and its tasks may be those of this "
                f"one. {_WAIT}"
            )


def _claim(folder: SweepFolder, plan: Plan) -> None:
    """Say which tasks this sweep runs; RunError if one of another title runs some of them.

    Each says so before it looks, so that of two that begin at once at least one sees the other.
    """
    mine = [one.task.name for one in plan.tasks if one.with_action(Action.RUN, Action.FOLLOW)]
    disk.write_atomically(folder.run.home / TASKS_NAME, json.dumps(mine).encode())
    for run in folder.others():
        common = set(mine).intersection(_tasks_of(run))
        if common and (who := _who_runs(run)):
            raise RunError(
                f"{folder.output}: a sweep of the title {run.home.name} runs there ({who}), and has "
                f"{counted(len(common), 'task')} of this one, such as {min(common)}. {_WAIT}"
            )


def _tasks_of(run: RunFolder) -> list[str]:
    try:
        found: list[str] = json.loads((run.home / TASKS_NAME).read_bytes())
    except FileNotFoundError:  # it has not come so far: then it will look
        return []
    return found


def _who_runs(run: RunFolder) -> str:
    """The process that runs a sweep, or the jobs that go on for one that was killed; "" if there is none."""
    return holder(run.home / LOCK_NAME) or _jobs_of(run)


def _jobs_of(run: RunFolder) -> str:
    """The jobs that go on for a sweep that was killed; "" if there are none."""
    if not run.config.exists():
        return ""
    with ManagerClient(run) as client:
        if not client.lives():
            return ""
        try:
            snapshot = client.snapshot("none")
        except ManagerUnreachableError:
            return ""  # it has just ended
    return counted(len(snapshot.jobs), "job") if snapshot.jobs and snapshot.unfinished else ""


def read_file(name: str) -> SweepFile:
    """Read the file of a sweep.

    Raises
    ------
    InputError
        It cannot be read, or something in it makes no sense.
    """
    try:
        text = Path(name).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is no YAML: it is not UTF-8 ({error.reason}).") from error
    except OSError as error:
        raise InputError(
            f"{name} cannot be read: {error.strerror}. Give the sweep's file: -y FILE."
        ) from error
    return check_file(read_documents(text, name), name)
