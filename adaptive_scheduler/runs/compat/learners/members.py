"""What `RunManager` has besides: the methods and attributes of adaptive-scheduler 2."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from adaptive_scheduler.core.jobs.records import JobRecord
from adaptive_scheduler.core.options.aliases import ALIASES
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import Item
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.core.times import TimeLike
from adaptive_scheduler.errors import InputError, RunError
from adaptive_scheduler.io.storage import database, row_codec
from adaptive_scheduler.io.storage.read_only import read_tables
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.io.system.read_logs import log_files, read_events
from adaptive_scheduler.runs.compat.frame_files import load_dataframes
from adaptive_scheduler.runs.compat.job_waits import seconds_in_queue
from adaptive_scheduler.runs.compat.learners import data_removal
from adaptive_scheduler.runs.compat.learners.accepted import USUAL
from adaptive_scheduler.runs.compat.learners.rows import DatabaseView, described, progress_rows
from adaptive_scheduler.runs.compat.learners.run_task import NOT_OVER, RunTask
from adaptive_scheduler.runs.load_data import import_pandas
from adaptive_scheduler.runs.run import Run

if TYPE_CHECKING:
    import pandas as pd

    from adaptive_scheduler.runs.compat.frame_files import Format
    from adaptive_scheduler.runs.start.plan import CheckedRun

#: What `info` can return.
FORMATS = ("widget", "text", "data")
#: Seconds that the jobs of a run that is over may take to leave the queue.
_LEAVING = 60.0


class FormerMembers(Run):
    """A run with what notebooks for adaptive-scheduler 2 ask of a `RunManager`."""

    _plan: CheckedRun
    _stranger: Any = None
    #: While `start` has not returned: its folder is there, and its manager is not yet.
    _is_starting: bool = False
    #: Whether `start` of this object has started it, or has attached to it.
    _was_started: bool = False
    save_dataframe: bool = False
    dataframe_format: Format = "pickle"

    @property
    def scheduler(self) -> Any:
        """As it was given."""
        return self._plan.scheduler if self._stranger is None else self._stranger

    @property
    def job_names(self) -> list[str]:
        """What its jobs are called in the queue: all have the same name."""
        return [self._plan.options.name]

    @property
    def url(self) -> str | None:
        """As it was given; None: the manager has chosen a free port."""
        return self._plan.options.url

    @property
    def db_fname(self) -> Path:
        """The database."""
        return self.folder.database

    def __getattr__(self, name: str) -> Any:
        """The options as they were given, by all names that are accepted (``job_name``)."""
        plan = self.__dict__.get("_plan")
        option = ALIASES.get(name, name)
        if plan is not None and not name.startswith("_"):
            if hasattr(plan.options, option):
                return getattr(plan.options, option)
            if name in USUAL:
                return self.__dict__.get("_given", {}).get(name, USUAL[name])
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # -------------------------------------------------------------------- the run

    @property
    def is_started(self) -> bool:
        """Whether the run was started."""
        return not self._is_starting and self.before_start() is None

    @property
    def awaits_start(self) -> bool:
        """Whether `start` would carry it on: it was not started here and no manager has it, or that has died."""
        if not self.is_started:
            return True
        if self._viewer.lives():
            return False
        return not self._was_started or str(self.status()) == "manager dead"

    @property
    def task(self) -> RunTask | None:
        """The end of all learners, to be awaited; None before its start.

        Their data are saved then. Jobs may be about to leave, for which ``wait()`` waits, too.
        """
        waits = partial(self._wait, attrgetter("over"))
        return RunTask(self.status, waits, self.cancel) if self.is_started else None

    def task_status(self) -> None:
        """Print how the run stands; its manager is a process of its own, without tasks here."""
        print(repr(self.status()))

    def start_with(self, most: int) -> None:
        """Start with at most so many jobs; a later start has the run's own limit again."""
        own = self._plan.options.max_jobs
        self._set_max_jobs(min(most, own))
        try:
            self.start()
        finally:
            self._set_max_jobs(own)

    def _set_max_jobs(self, n: int) -> None:
        self._plan = replace(self._plan, options=replace(self._plan.options, max_jobs=n))

    def start(self) -> Any:
        """Start the run; see `RunManager`."""
        raise NotImplementedError

    def elapsed_time(self) -> float:
        """Return the seconds from the start of the run until now, or until its last learner ended."""
        if not self.is_started:
            return 0.0
        begun = self.folder.learners.stat().st_mtime
        if str(self.status()) in NOT_OVER:
            return max(0.0, time.time() - begun)
        return max(0.0, max(item.changed for item in self._items()) - begun)

    def info(self, interval: TimeLike = 2.0, format: str = "widget") -> Any:  # noqa: A002
        """Show the run, or return how it stands.

        Parameters
        ----------
        interval : float, str or timedelta
            Time between two updates.
        format : str
            ``"widget"`` shows it; ``"text"`` returns a text, ``"data"`` a `RunSnapshot`.
        """
        chosen = interval if interval in FORMATS else format
        if chosen not in FORMATS:
            raise InputError(f"format={format!r} must be one of {', '.join(map(repr, FORMATS))}.")
        if chosen == "widget":
            return super().info(2.0 if interval == "widget" else interval)
        return self.snapshot("all") if chosen == "data" else self.status().text

    # ------------------------------------------------------------------- its tables

    @property
    def database_manager(self) -> DatabaseView:
        """What the database says; the manager itself is a process of its own."""
        return DatabaseView(self._described, self.parse_log_files)

    def get_database(self) -> pd.DataFrame:
        """Return the database as a table: a row for each learner."""
        return self.database_manager.as_df()

    def _items(self) -> list[Item]:
        rows = row_codec.read_items(read_tables(self.folder), self.folder)
        return [rows[self.row_of(place)] for place in range(len(self))]

    def _jobs(self) -> dict[str, JobRecord]:
        rows = read_tables(self.folder).get(database.JOBS, {}).values()
        return {job.id: job for job in (msgspec.convert(row, JobRecord) for row in rows)}

    def _described(self) -> list[dict[str, Any]]:
        if not self.is_started:
            return []
        jobs = self._jobs()
        views = {view.id: view for view in self.snapshot("all").items}
        logs = Path(read_config(self.folder).log_folder)
        return [described(item, views[item.id], jobs, logs) for item in self._items()]

    def parse_log_files(self, *, only_last: bool = True) -> pd.DataFrame:
        """Return how far the learners were, as the logs of jobs say.

        Parameters
        ----------
        only_last : bool
            Only the last line of each learner; else all.
        """
        pandas = import_pandas()
        if not self.is_started:
            return pandas.DataFrame()
        folder = Path(read_config(self.folder).log_folder)
        events = [
            {**event, "log_fname": str(path)}
            for path in (log_files(folder) if folder.is_dir() else [])
            for event in read_events(path)
        ]
        place_of = {self.row_of(place): place for place in range(len(self))}
        known = [
            {**one, "item": place_of[one["item"]]} for one in events if one.get("item") in place_of
        ]
        known.sort(key=lambda event: str(event.get("timestamp", "")))
        frame = pandas.DataFrame(progress_rows(known, self._described(), only_last))
        if "timestamp" in frame:
            frame["timestamp"] = pandas.to_datetime(frame["timestamp"], utc=True, errors="coerce")
            frame["elapsed_time"] = pandas.to_timedelta(frame["elapsed_time"], unit="s")
        return frame

    def job_starting_times(self) -> list[float]:
        """Return for each job that has begun the seconds that it waited, also after the end of the run."""
        return seconds_in_queue(self.folder) if self.is_started else []

    def load_dataframes(self) -> pd.DataFrame:
        """Return the tables of all learners as one.

        With ``save_dataframe=True`` those that jobs have saved beside the data, else such tables of the
        data there are.
        """
        if self.save_dataframe:
            return load_dataframes(self.fnames, format=self.dataframe_format)
        return self.to_dataframe()

    # ------------------------------------------------------------------- removal

    def cleanup(self, *, remove_old_logs_folder: bool = False) -> None:
        """Remove the run's folder with its logs and scripts; data files stay.

        Parameters
        ----------
        remove_old_logs_folder : bool
            Ignored: there are no older logs.

        Raises
        ------
        RunError
            The run goes on: cancel it first; or the folder has a run of other learners.
        """
        del remove_old_logs_folder
        if not self.folder.config.exists():
            return
        if self.before_start() is not None:
            raise RunError(
                f"cleanup: {self.folder.home} holds a run of other learners, which stays. Remove the folder yourself "
                "if nobody needs it."
            )
        self._must_not_run("cleanup")
        logs = Path(read_config(self.folder).log_folder)
        remove_run(self.folder, logs)
        self._row_of = []

    def remove_existing_data(
        self, *, move_to: str | Path | None = None, force: bool = False
    ) -> None:
        """Remove the data of all learners, with their point journals and tables.

        Parameters
        ----------
        move_to : path-like, optional
            A folder into which they are moved instead.
        force : bool
            Even while the run goes on.

        Raises
        ------
        RunError
            The run goes on.
        """
        if not force and self.is_started:
            self._must_not_run("remove_existing_data")
        n = data_removal.remove(self.fnames, Path(move_to) if move_to is not None else None)
        print(f"{counted(n, 'file')} {'moved' if move_to is not None else 'removed'}.")

    def _must_not_run(self, what: str) -> None:
        if str(self.status()) not in NOT_OVER:  # its last jobs may be leaving
            with suppress(TimeoutError):
                self.wait(_LEAVING, progress=False)
        if str(self.status()) in ("running", "held") or self._viewer.lives():
            raise RunError(
                f"{what}: the run in {self.folder.home} goes on. cancel() it, then wait()."
            )


def remove_run(folder: RunFolder, logs: Path) -> None:
    """Remove what a run has written in its folder, and that folder if nothing else is there."""
    shutil.rmtree(folder.folder, ignore_errors=True)
    own = Path(folder.home, "logs")
    if logs == own:
        shutil.rmtree(logs, ignore_errors=True)
    for path in (folder.database, folder.database.with_name(folder.database.name + ".old")):
        path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.home.rmdir()
