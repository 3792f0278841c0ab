"""A run as its user sees it: status, waiting, cancel, retry, and results."""

from __future__ import annotations

import asyncio
import os
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, overload

from adaptive_scheduler.core.options.checks import path
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.reasons.explanation import Explanation
from adaptive_scheduler.core.rows.row import Phase
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.core.times import TimeLike, optional_seconds, seconds
from adaptive_scheduler.errors import AdaptiveSchedulerError, DataFileError, InputError, RunError
from adaptive_scheduler.io.pickling.callables_file import read_callable
from adaptive_scheduler.io.pickling.learner_file import LearnerFile
from adaptive_scheduler.io.storage import row_codec
from adaptive_scheduler.io.storage.read_only import read_tables
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.io.system.hosts import Hosts
from adaptive_scheduler.io.system.submit import run_command
from adaptive_scheduler.runs import load_data
from adaptive_scheduler.runs import retry as retrying
from adaptive_scheduler.runs.manager_client import ManagerClient, Rows
from adaptive_scheduler.runs.reasons.explain import explain_item, explain_job
from adaptive_scheduler.runs.run_item import RunItem, place_of
from adaptive_scheduler.runs.start import change_run
from adaptive_scheduler.runs.start.fnames import Fname
from adaptive_scheduler.runs.start.plan import CheckedRun
from adaptive_scheduler.runs.start.prepare import make_config
from adaptive_scheduler.runs.start.previous_run import match_rows
from adaptive_scheduler.runs.views import notebook, render, status
from adaptive_scheduler.runs.views.live.while_waiting import WaitView
from adaptive_scheduler.runs.views.status import RunSnapshot, RunStatus

if TYPE_CHECKING:
    import pandas as pd

#: Seconds between two times that `wait` asks the manager.
_POLL = 0.5


def _is_end(now: RunSnapshot) -> bool:
    return now.over and not now.alive


class Run:
    """What can be done with a run, however it was found.

    ``run[17]`` and ``run["data/x=1"]`` are single learners (`RunItem`); ``len(run)`` is their
    number, and a loop over the run gives them all.

    Parameters
    ----------
    folder : RunFolder
    fnames : list
        Of all learners.
    plan : CheckedRun, optional
        The run as described in this process; None after `attach`.

    Attributes
    ----------
    folder : RunFolder
        Every path of the run.
    fnames : list
        Absolute.
    """

    def __init__(
        self, folder: RunFolder, fnames: list[Fname], plan: CheckedRun | None = None
    ) -> None:
        self.folder = folder
        self.fnames = fnames
        self._plan = plan
        self._learners = plan.learners if plan is not None else None
        self._row_of: list[int] = []
        self._viewer = ManagerClient(folder)

    @staticmethod
    def attach(folder: str | os.PathLike[str]) -> Run:
        """Find a run again, from any process on any host that sees its folder.

        Parameters
        ----------
        folder : path-like
            The run's folder, or its database.

        Raises
        ------
        RunError, DatabaseError
            There is no run.
        """
        where = RunFolder(path(folder, "folder"))
        read_config(where)
        rows = row_codec.read_items(read_tables(where), where)
        return Run(where, [row.fname for row in rows])

    def __repr__(self) -> str:
        n = counted(len(self.fnames), "learner")
        return f"{type(self).__name__} of {n} in {self.folder.home}"

    def _repr_html_(self) -> str:
        if not self.folder.config.exists():
            return self.status()._repr_html_()
        try:
            return self.snapshot()._repr_html_()
        except AdaptiveSchedulerError as error:
            return render.as_html(f"{self!r}: {error}")

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any] | None:
        """In a notebook: the same as `info`."""
        return notebook.widget_bundle(self.folder)

    # ----------------------------------------------------------------- single learners

    def __len__(self) -> int:
        return len(self.fnames)

    def __iter__(self) -> Iterator[RunItem]:
        return (RunItem(self, place) for place in range(len(self)))

    @overload
    def __getitem__(self, which: slice) -> list[RunItem]: ...

    @overload
    def __getitem__(self, which: int | str | os.PathLike[str] | list[str]) -> RunItem: ...

    def __getitem__(self, which: Any) -> RunItem | list[RunItem]:
        """Return one learner, by its number, its fname or the end of its fname.

        Raises
        ------
        InputError
            There is none, or more than one.
        """
        if isinstance(which, slice):
            return [RunItem(self, place) for place in range(*which.indices(len(self)))]
        return RunItem(self, place_of(which, self.fnames))

    def row_of(self, place: int) -> int:
        """Return the row of the database that holds the learner of this place in the list."""
        return self._rows()[place]

    @property
    def learners(self) -> list[Any]:
        """All learners; after `attach` they are read from the run's folder."""
        if self._learners is None:
            with closing(LearnerFile(self.folder.learners)) as file:
                self._learners = [file.read(row) for row in range(len(file))]
        return self._learners

    # ----------------------------------------------------------------- cancel, resume, retry

    def cancel(self) -> int:
        """End the run: its learners are cancelled, its jobs save their data and end.

        Returns when this is on disk; `wait` waits for the last job.

        Returns
        -------
        int
            How many learners were cancelled; those that had ended before are left out. If all
            had, a printed line says so.
        """
        self._must_have_started()
        n = change_run.cancel(self._viewer)
        if not n:
            self._say_if_over("cancel")
        return n

    def cancel_items(self, places: Sequence[int]) -> int:
        """End these learners alone, and return how many had not ended before."""
        return change_run.cancel_items(self._viewer, [self.row_of(place) for place in places])

    def resume(self) -> int:
        """Go on: after the run was held, after `cancel`, or after the manager died.

        Returns
        -------
        int
            How many cancelled learners are queued again. If all had ended, a printed line says
            so.
        """
        self._must_have_started()
        n = change_run.resume(self._viewer)
        if not n:
            self._say_if_over("resume")
        return n

    def _say_if_over(self, what: str) -> None:
        now = self._viewer.snapshot("none")
        if now.over and not now.jobs:
            again = now.phases.get(Phase.FAILED) and what == "resume"
            advice = " retry() runs the failed ones again." if again else ""
            print(f"Nothing to {what}: {render.how_it_ended(now)}.{advice}")

    def retry(self, learners: Any = None) -> int:
        """Run learners again with the functions and the goal of this object.

        Their data are kept; failures and crashes are counted from zero.

        Parameters
        ----------
        learners : int, str, path, learner, RunItem or a sequence of them, optional
            Places in the list, fnames or the learners themselves, finished ones too. Default:
            all that failed or were cancelled, and finished ones that do not meet the goal.

        Returns
        -------
        int
            How many learners are queued again.

        Raises
        ------
        InputError
            One is not of this run.
        """
        places = (
            None if learners is None else retrying.places(learners, self._learners, self.fnames)
        )
        rows = retrying.rows_to_retry(self.folder, self._plan, self._rows(), places)
        return change_run.retry(self._viewer, rows)

    def _rows(self) -> list[int]:
        if not self._row_of:
            self._must_have_started()
            rows = row_codec.read_items(read_tables(self.folder), self.folder)
            self._row_of = match_rows(rows, self.fnames)[1]
        return self._row_of

    # ------------------------------------------------------------------------- status

    def job_script(self) -> str:
        """Return the job script that is submitted; nothing is submitted or written.

        The number of the submit is filled in when it is made. If learners differ in their
        resources there is one script for each different shape, below a line that names its
        learners. PBS is asked for its hosts if the request depends on them. Show it with
        ``print(run.job_script())``.
        """
        from adaptive_scheduler.schedulers.job_script import preview  # with all executors

        plan = self._plan
        if plan is not None:
            config = make_config(plan, self.folder, None)
            scheduler, shape_of = plan.scheduler, plan.shape_of
        else:
            config = read_config(self.folder)
            scheduler = read_callable(self.folder.callables, "scheduler")
            rows = row_codec.read_items(read_tables(self.folder), self.folder)
            shape_of = [row.shape for row in rows]
        hosts = Hosts(scheduler, run_command)
        return preview(scheduler, config.shapes, shape_of, config, self.folder, hosts.of)

    def snapshot(self, rows: Rows = "active") -> RunSnapshot:
        """Return how the run stands now: learners, jobs, points. It shows itself in a notebook.

        Parameters
        ----------
        rows : str
            ``"all"`` learners, only ``"active"`` and failed ones, or ``"none"``.
        """
        if rows not in get_args(Rows):
            raise InputError(f"rows={rows!r} must be 'all', 'active' or 'none'.")
        self._must_have_started()
        return self._viewer.snapshot(rows)

    def _must_have_started(self) -> None:
        if not self.folder.config.exists():
            raise RunError(f"The run in {self.folder.home} was never started: call start().")

    def status(self) -> RunStatus:
        """Return how the run stands, as one word whose ``.text`` has the details.

        Returns
        -------
        RunStatus
            A str: ``not started``, ``running``, ``held`` (nothing is submitted until
            `resume`; the text says why), ``finished``, ``failed`` (ended, some learners
            failed), ``cancelled`` or ``manager dead``.
        """
        before = self.before_start()
        return status.status_of(self.snapshot()) if before is None else before

    def before_start(self) -> RunStatus | None:
        """Return the status ``not started`` with its reason; None if the run was started."""
        if not self.folder.config.exists():
            return RunStatus(status.NOT_STARTED, f"call start(). Folder: {self.folder.home}")
        if self._plan is not None:
            try:
                self._rows()
            except InputError as error:
                return RunStatus(status.NOT_STARTED, str(error))
        return None

    def explain_row(self, row: int) -> Explanation:
        """Say why the learner of a row does not run or is not done; see `RunItem.explain`."""
        return explain_item(self._viewer, row)

    def explain_job(self, job: str) -> Explanation:
        """Say why a job does not run, or how it ended.

        Parameters
        ----------
        job : str
            The batch system's id, as `snapshot` and the batch system show it.

        Raises
        ------
        InputError
            The run has no such job; ids that are near are named.
        """
        self._must_have_started()
        return explain_job(self._viewer, job)

    def info(self, interval: TimeLike = 2.0) -> None:
        """Show the run: in a terminal as tables; in a notebook as a view that updates itself.

        The view has the progress, the jobs, a table of all learners, the data of each, and buttons
        to cancel, retry and resume. Without anywidget a notebook shows tables, too.

        Parameters
        ----------
        interval : float, str or timedelta
            Time between two updates.
        """
        self._must_have_started()
        every = seconds(interval, "interval")
        notebook.show(lambda: notebook.local_views(self.folder, every), self.snapshot, every)

    def wait(self, timeout: TimeLike | None = None, progress: bool = True) -> RunSnapshot:
        """Wait until every learner has ended and no job is left.

        How far the run is appears on stderr: in a terminal it moves, elsewhere a line is printed
        now and then.

        Parameters
        ----------
        timeout : float, str or timedelta, optional
            Give up after this time; a number is seconds.
        progress : bool
            Show how far the run is.

        Returns
        -------
        RunSnapshot
            How it ended, with the failed learners.

        Raises
        ------
        TimeoutError
            The run has not ended; it goes on.
        RunError
            The run is held, or its manager is dead: it would not end by itself.
        """
        patience = optional_seconds(timeout, "timeout", zero=True)
        deadline = None if patience is None else time.monotonic() + patience
        with WaitView() as view:
            while not _is_end(now := self._still_waiting()):
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError(f"not over after {patience:g} s: {self.status().text}")
                if progress:
                    view.show(now)
                time.sleep(_POLL)
            view.end(now)
        return now

    def __await__(self) -> Generator[Any, None, RunSnapshot]:
        return self._wait().__await__()

    async def _wait(self, is_end: Callable[[RunSnapshot], bool] = _is_end) -> RunSnapshot:
        while not is_end(now := await asyncio.to_thread(self._still_waiting)):
            await asyncio.sleep(_POLL)
        return now

    def _still_waiting(self) -> RunSnapshot:
        """Return how it stands; RunError if it would not end by itself."""
        now = self.snapshot()
        word = status.word_of(now)
        if word == status.HELD or (word == status.DEAD and not self._viewer.lives()):
            raise RunError(f"{self.folder.home}: {status.status_of(now)!r}")
        return now

    # ------------------------------------------------------------------------- results

    def load_learners(self, progress: bool = True) -> list[Any]:
        """Load all data that exist so far into the learners, and return them.

        These are the data that the jobs have saved, and the points in their point journals since
        then; only points of the last `points_interval` are missing. Nothing is written, and
        running jobs are not disturbed.

        Raises
        ------
        DataFileError
            Some data cannot be loaded; all others are loaded.
        """
        load_data.load_learners(self.learners, self.fnames, progress)
        return self.learners

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write a report of the run so far: one HTML file that opens anywhere, also offline.

        It shows which jobs ran what and when, what became of the cores, waiting times, the slowest
        learners, failures with their tracebacks, and the settings. A path that ends in ``.json``
        or ``.md`` gives the same numbers for programs, or as Markdown.

        Parameters
        ----------
        path : path-like
            The file, which is replaced; its folder must exist.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        InputError
            It cannot be written there.
        """
        from adaptive_scheduler.runs.report.write import write_report  # with what it draws

        self._must_have_started()
        return write_report(self.folder, path)

    def to_dataframe(self, **names: Any) -> pd.DataFrame:
        """Load the learners and join their data, with the columns ``learner`` and ``fname``.

        A warning names what cannot be loaded or made a table; the rest is in the table.

        Parameters
        ----------
        **names
            Names for columns: ``x_name``, ``y_name``, ``z_name``, ``seed_name``,
            ``index_name``, ``extra_data_name``, ``function_prefix``; of a LearnerND
            ``point_names`` (one for each dimension) and ``value_name``.
        """
        load_data.import_pandas()
        try:
            self.load_learners(progress=False)
        except DataFileError as error:  # the other learners are loaded
            warnings.warn(f"to_dataframe: {error}", stacklevel=2)
        return load_data.to_dataframe(self.learners, self.fnames, names)
