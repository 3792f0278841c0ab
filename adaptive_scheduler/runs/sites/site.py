"""`Site`: where a run lies, and what its driver does there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from adaptive_scheduler.core.config import Timing
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.reasons.explanation import Explanation
from adaptive_scheduler.core.rows.row import TaskItem
from adaptive_scheduler.core.wire.tasks import TaskResult
from adaptive_scheduler.io.transport.whereabouts import Whereabouts
from adaptive_scheduler.runs.views.status import RunSnapshot
from adaptive_scheduler.schedulers.base import Scheduler

if TYPE_CHECKING:
    from adaptive_scheduler.runs.report.write import Form


class CallPlace(NamedTuple):
    """Where functions run.

    Attributes
    ----------
    folder : str
        Their working directory.
    path : tuple of str
        Entries of ``sys.path`` to add there.
    obstacle : str
        Why functions cannot be sent there; "" if they can.
    """

    folder: str
    path: tuple[str, ...]
    obstacle: str = ""


class Site(Protocol):
    """The file system and the machine on which a run lies: this one, or one behind ssh.

    Whatever a driver does with the run's folder, and with processes beside it, it does here. All
    paths are those of that machine. Any thread may call it. Of another machine, each call waits
    until there is a connection, and may be made there twice.

    Attributes
    ----------
    folder : RunFolder
    name : str
        The folder as its user has typed it: for messages.
    remedy : str
        How tasks that nothing runs are run, for messages.
    """

    folder: RunFolder
    name: str
    remedy: str

    # ------------------------------------------------------------------- the run

    def exists(self) -> bool:
        """Whether there is a run."""

    def lives(self) -> bool:
        """Whether it has a manager; as far as was known last, if there is no connection."""

    def start(
        self, name: str, scheduler: Scheduler | None = None, timing: Timing | None = None
    ) -> None:
        """Start its manager unless it lives; see `runs.driver.start_run.start_run`."""

    def whereabouts(self) -> Whereabouts:
        """Return how connections find the manager."""

    def is_closed(self) -> bool:
        """Whether its driver has closed it: its manager says so, or its disk."""

    def count_unfinished(self) -> int:
        """How many tasks have not ended, whoever submitted them."""

    def wait(self) -> float:
        """Wait until there is a connection; returns for how many seconds."""

    def close(self) -> None:
        """Close what was opened; files can still be read after."""

    # ------------------------------------------------------------------- how it stands

    def snapshot(self) -> RunSnapshot:
        """Return how the run stands."""

    # ------------------------------------------------------------------- its batch system

    def adapted(self, scheduler: Scheduler) -> Scheduler:
        """Return a scheduler whose jobs run the Python of there, unless another one was named."""

    def refuse_missing_programs(self, scheduler: Scheduler) -> None:
        """Raise CommandMissingError if a program of the batch system is not installed."""

    def known_scheduler(self) -> Scheduler | None:
        """Return the scheduler that submits the jobs of this run."""

    # ------------------------------------------------------------------- its tasks, as its disk has them

    def rows(self) -> list[TaskItem]:
        """Return the rows of all tasks, in the order of their ids."""

    def results(self) -> list[TaskResult]:
        """Return how all tasks that have ended did so."""

    def table(self, state: str | None, tag: str | None) -> list[dict[str, Any]]:
        """Return what is known of each task; see `runs.driver.tasks.task_table.task_table`."""

    def explain(self, task: int) -> Explanation:
        """Say why a task does not run, or is not done; InputError if there is none of this id."""

    def report(self, form: Form) -> str:
        """Return the report of the run; see `runs.report.write.report_text`."""

    def spec(self, task: int) -> bytes:
        """Return what a task was submitted with; InputError if it is not on disk."""

    # ------------------------------------------------------------------- functions, commands, values

    def call_place(self) -> CallPlace:
        """Return where functions run."""

    def read(self, path: str | os.PathLike[str]) -> bytes:
        """Return the content of a file; raises OSError."""

    def make_folder(self, path: Path) -> None:
        """Make a folder, with those that it lies in, if it is not there."""

    def make_task_folder(
        self, path: Path, parameters: str, inputs: Sequence[Path], links: Sequence[Path] = ()
    ) -> None:
        """Make a command's folder, whole or not at all, unless it is there.

        Parameters
        ----------
        path : Path
        parameters : str
            What its file of parameters holds.
        inputs : sequence of Path
            Files and folders of this machine that are copied into it.
        links : sequence of Path
            Files and folders of the run's machine to which it has links.

        Raises
        ------
        InputError, OSError
        """
