"""`LocalSite`: a run on the disks of this machine."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.core.config import Timing
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.reasons.explanation import Explanation
from adaptive_scheduler.core.rows.row import TaskItem
from adaptive_scheduler.core.tasks.command_spec import PARAM_FILE
from adaptive_scheduler.core.wire.tasks import TaskResult
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.pickling.callables_file import read_callable
from adaptive_scheduler.io.system.commands import refuse_missing_programs
from adaptive_scheduler.io.transport.whereabouts import InFolder
from adaptive_scheduler.runs.driver import start_run
from adaptive_scheduler.runs.driver.tasks.task_table import (
    Specs,
    read_results,
    read_rows,
    task_table,
)
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.runs.reasons.explain import explain_item
from adaptive_scheduler.runs.sites.site import CallPlace
from adaptive_scheduler.runs.views.status import RunSnapshot
from adaptive_scheduler.schedulers.base import Scheduler

if TYPE_CHECKING:
    from adaptive_scheduler.runs.report.write import Form


class LocalSite:
    """A run on the disks of this machine; `Site` says what each method does.

    Parameters
    ----------
    folder : RunFolder

    Attributes
    ----------
    folder : RunFolder
    name, remedy : str
        See `Site`.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.name = os.fspath(folder.home)
        self.remedy = (
            "To run them here: executor.add_pool(scheduler.Here()), or in a terminal: "
            f"adaptive-scheduler pool join {shlex.quote(self.name)}"
        )
        self._specs = Specs(folder)

    def exists(self) -> bool:
        """Whether there is a database."""
        return self.folder.database.exists()

    def lives(self) -> bool:
        """As far as its lock shows."""
        return start_run.has_manager(self.folder)

    def start(
        self, name: str, scheduler: Scheduler | None = None, timing: Timing | None = None
    ) -> None:
        """Start it here; one that is carried on, with no timing of its own, must still be there."""
        start_run.start_run(self.folder, name, scheduler, timing, may_begin=timing is not None)

    def whereabouts(self) -> InFolder:
        """Its folder has all."""
        return InFolder(self.folder)

    def is_closed(self) -> bool:
        """Ask the manager, or read the disk."""
        return start_run.is_closed(self.folder)

    def count_unfinished(self) -> int:
        """Ask the manager, or read the disk."""
        return start_run.count_unfinished(self.folder)

    def wait(self) -> float:
        """Nothing is to be waited for."""
        return 0.0

    def close(self) -> None:
        """Close the files that were read."""
        self._specs.close()

    # ------------------------------------------------------------------- how it stands

    def snapshot(self) -> RunSnapshot:
        """Ask the manager, or read it."""
        with ManagerClient(self.folder) as client:
            return client.snapshot("active")

    def adapted(self, scheduler: Scheduler) -> Scheduler:
        """It is as it must be."""
        return scheduler

    def refuse_missing_programs(self, scheduler: Scheduler) -> None:
        """Look for them here."""
        refuse_missing_programs(scheduler)

    def known_scheduler(self) -> Scheduler | None:
        """Load it."""
        found: Scheduler | None = read_callable(self.folder.callables, "scheduler")
        return found

    def rows(self) -> list[TaskItem]:
        """Read them."""
        return read_rows(self.folder)

    def results(self) -> list[TaskResult]:
        """Read them."""
        return read_results(self.folder)

    def table(self, state: str | None, tag: str | None) -> list[dict[str, Any]]:
        """Read it."""
        return task_table(self.folder, state, tag)

    def explain(self, task: int) -> Explanation:
        """Ask the manager, or read the disk."""
        with ManagerClient(self.folder) as viewer:
            return explain_item(viewer, task)

    def report(self, form: Form) -> str:
        """Make it of what the disk has."""
        from adaptive_scheduler.runs.report.write import report_text  # with what it draws

        return report_text(self.folder, form)

    def spec(self, task: int) -> bytes:
        """Read it."""
        return self._specs.get(task)

    def call_place(self) -> CallPlace:
        """Where this process is at the moment."""
        return CallPlace(os.getcwd(), tuple(sys.path))

    def read(self, path: str | os.PathLike[str]) -> bytes:
        """Read it."""
        return Path(path).read_bytes()

    def make_folder(self, path: Path) -> None:
        """Make it."""
        path.mkdir(parents=True, exist_ok=True)

    def make_task_folder(
        self, path: Path, parameters: str, inputs: Sequence[Path], links: Sequence[Path] = ()
    ) -> None:
        """Make it beside its place, and move it there."""
        if path.exists():  # of a task that was submitted before, by its key: it may run now
            return
        around = [str(one) for one in inputs if path.resolve().is_relative_to(one.resolve())]
        if around:  # the copy would be copied into itself
            raise InputError(
                f"inputs: {around[0]} has the run's folder in it. Name the files in it instead."
            )
        new = new_folder(path)
        try:
            write_parameters(new, parameters)
            for one in inputs:
                copy = shutil.copytree if one.is_dir() else shutil.copy2
                copy(one, new / one.name)
            put_links(new, links)
        except BaseException:  # an input is gone, or the disk is full
            shutil.rmtree(new, ignore_errors=True)
            raise
        put_in_place(new, path)


def new_folder(path: Path) -> Path:
    """Make an empty folder beside the place of a command's folder."""
    new = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    # whatever the umask, no other user may write what the program reads
    new.parent.mkdir(mode=0o775, parents=True, exist_ok=True)
    new.mkdir(mode=0o775)
    return new


def write_parameters(new: Path, parameters: str) -> None:
    """Write a command's parameters into its folder."""
    (new / PARAM_FILE).touch(mode=0o664)
    (new / PARAM_FILE).write_text(parameters)


def put_links(new: Path, links: Sequence[Path]) -> None:
    """Link to files and folders; InputError if one does not exist."""
    for one in links:
        if not one.exists():
            raise InputError(f"links: {one} does not exist.")
        (new / one.name).symlink_to(one)


def put_in_place(new: Path, path: Path) -> None:
    """Rename a command's folder, whole or not at all: this process may be killed at any moment."""
    try:
        new.rename(path)
    except OSError:  # another process has submitted it at the same moment
        if not path.exists():
            raise
        shutil.rmtree(new)
