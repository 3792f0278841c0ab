"""What a user holds in hand: a run, described, started and found again."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adaptive_scheduler.core.config import CLIENT_PATIENCE, POINT_RETRIES
from adaptive_scheduler.core.paths import DATABASE_NAME, RunFolder
from adaptive_scheduler.core.times import TimeLike
from adaptive_scheduler.errors import InputError, RunError
from adaptive_scheduler.io.storage import row_codec as state
from adaptive_scheduler.io.storage.read_only import read_tables
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.runs.run import Run
from adaptive_scheduler.runs.start.launch import start_and_wait, try_cluster
from adaptive_scheduler.runs.start.own_folder import folder_of, moved
from adaptive_scheduler.runs.start.plan import RunOptions, make_plan
from adaptive_scheduler.runs.start.prepare import prepare
from adaptive_scheduler.runs.start.previous_run import match_rows
from adaptive_scheduler.schedulers.base import Scheduler

#: Runs that are given no folder get one in here, below the working directory.
DEFAULT_HOME = "adaptive-scheduler-runs"
#: Seconds that a manager has to end after its last learner.
ENDING = 30.0


class RunManager(Run):
    """Many learners, run to their goal by jobs of a batch system.

    Parameters
    ----------
    scheduler : Scheduler
        ``SLURM(...)``, ``PBS(...)`` or ``LocalScheduler(...)``: says what a job asks for.
    learners : sequence of adaptive.BaseLearner
        At least one. They travel to the jobs as pickles.
    fnames : sequence of str, path or list of str
        Where the data of each learner go; a list for a BalancingLearner whose learners
        each have a file. Made absolute. No two may be the same file.
    goal : callable, int, float, timedelta, str, datetime or None
        When a learner is done: ``goal(learner) -> bool``; a number of points; a loss; the
        time that clients worked on it (a timedelta, or ``"2h"``; waiting in the queue does
        not count); a moment;
        None: when it has no more points (SequenceLearner, IntegratorLearner).
    folder : path-like, optional
        The run's folder: database, logs, and all that is needed to find the run again.
        Default: ``adaptive-scheduler-runs/JOB_NAME`` in the working directory, and with
        ``-2``, ``-3``, ... behind it if that holds a run of other learners. All nodes must
        see it.
    dependencies : mapping of int to int or list of int, optional
        ``{child: [parents]}``, places in `learners`: a child starts when its parents are done.
    runner_kwargs : mapping, optional
        Of the runner: ``retries``, ``raise_if_retries_exceeded``, ``grace`` (time that
        points in flight are waited for after the goal), ``log``.
    initializers : list, optional
        Functions without arguments. A list of functions: each worker calls all of them once
        before its first point. A list with a list or None in it has one entry for each learner
        (None, a function or a list of functions): those run once in each worker before its
        first point of that learner; ``[[load_a], [load_b], None]`` is one each for three.
    job_name : str
        What the jobs are called in the queue.
    max_simultaneous_jobs : int
        Most jobs in the queue at a time, waiting ones included.
    max_fails_per_job : int
        Times that a learner's function may raise before the learner is given up. The count
        begins anew when the learner has as many new points as its job has workers; at 20 times
        this number in all it is given up nevertheless.
    max_crashes : int
        Times that a learner's job may die by its own fault before the learner is given up.
    point_timeout : float, str or timedelta, optional
        Time that one evaluation may take. One that takes longer counts as a failure of its
        learner (see `max_fails_per_job`), and the client is started again in its job, because
        nothing else ends a call that runs. Default: as long as it likes; `status` then shows
        what makes no progress.
    point_retries : int
        Times that a point whose evaluation raised is tried again at once; only when it has failed
        once more is that one failure of its learner. (A slow one, over 10 s, is not tried again
        before some other point has succeeded: a function that always raises is told soon.)
    log_interval : float, str or timedelta
        Time between two lines of progress in a job's log.
    save_interval : float, str or timedelta
        Time between two saves.
    points_interval : float, str or timedelta
        Time between two writes of the point journal beside the data file: a job that is
        killed loses the points in flight, and those that returned in this last while.
    client_patience : float, str or timedelta
        Time that jobs go on computing while no manager of the run lives. Then they save and
        leave; their learners go on when somebody resumes the run. Jobs that have nothing to
        compute leave after ten minutes, or after this time if it is shorter.
    check_goal_on_start : bool
        Load the data that exist and do not run learners that meet the goal already.
    check : bool
        Submit one small job first that tries Python, imports, MPI and the way back.
    job_manager_interval : float, str or timedelta
        Longest time between two looks at the queue.
    run_script : path-like, optional
        A script of yours that jobs run in place of the package's own client; see
        `adaptive_scheduler.client_support`.
    url : str, optional
        ``tcp://host:port`` at which the manager is to listen. Default: any free port.
    interface : str, optional
        Listen only on this network interface (``"ib0"``), or on this address.
    ports : str, optional
        Listen on one of these, ``"50000-50100"``, where a firewall lets no others through.
    overwrite_db : bool
        Begin anew although the folder holds a run; its database is kept as ``.old``.
        Otherwise that run is carried on: learners that are done stay done, if they meet the
        goal and their data are there, and failed ones are tried again.

    Raises
    ------
    InputError
        An argument is wrong; nothing was written or submitted.

    Notes
    -----
    All lengths of time: a number is seconds; ``"90s"``, ``"30m"``, ``"12h"``, ``"2d"``,
    ``"1h30m"``; ``"MM:SS"``, ``"HH:MM:SS"``, ``"D-HH"``, ``"D-HH:MM"`` and ``"D-HH:MM:SS"`` as
    SLURM reads them; a timedelta.

    Examples
    --------
    >>> scheduler = adaptive_scheduler.scheduler.SLURM(cores=10)
    >>> run_manager = adaptive_scheduler.server_support.RunManager(
    ...     scheduler, learners, fnames, goal=lambda learner: learner.npoints > 200)
    >>> run_manager.start()
    >>> run_manager.info()
    """

    check: bool = False
    overwrite_db: bool = False

    def __init__(
        self,
        scheduler: Scheduler,
        learners: Sequence[Any],
        fnames: Sequence[Any],
        *,
        goal: Any = None,
        folder: str | os.PathLike[str] | None = None,
        dependencies: Mapping[int, Any] | None = None,
        runner_kwargs: Mapping[str, Any] | None = None,
        initializers: Sequence[Any] | None = None,
        job_name: str = "adaptive-scheduler",
        max_simultaneous_jobs: int = 100,
        max_fails_per_job: int = 3,
        max_crashes: int = 5,
        point_timeout: TimeLike | None = None,
        point_retries: int = POINT_RETRIES,
        log_interval: TimeLike = 30.0,
        save_interval: TimeLike = 300.0,
        points_interval: TimeLike = 1.0,
        client_patience: TimeLike = CLIENT_PATIENCE,
        check_goal_on_start: bool = True,
        check: bool = False,
        job_manager_interval: TimeLike = 30.0,
        run_script: str | os.PathLike[str] | None = None,
        url: str | None = None,
        interface: str | None = None,
        ports: str | None = None,
        overwrite_db: bool = False,
    ) -> None:
        settings = RunOptions(
            goal, dependencies, runner_kwargs, initializers, job_name, max_simultaneous_jobs,
            max_fails_per_job, max_crashes, log_interval, save_interval, points_interval,
            job_manager_interval,
            check_goal_on_start, run_script, url, interface, ports, point_timeout,
            client_patience, point_retries,
        )  # fmt: skip
        plan = make_plan(scheduler, learners, fnames, settings)
        default = run_folder(folder, job_name)
        self._has_default_folder = folder is None and not overwrite_db
        chosen = folder_of(default, plan.fnames) if self._has_default_folder else default
        super().__init__(chosen, plan.fnames, plan)
        self._wanted = default
        self.check, self.overwrite_db = check, overwrite_db

    @classmethod
    def attach(cls, folder: str | os.PathLike[str]) -> RunManager:
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
        where = RunFolder(folder)
        read_config(where)
        rows = state.read_items(read_tables(where), where)
        run = cls.__new__(cls)
        Run.__init__(run, where, [row.fname for row in rows])
        return run

    # ----------------------------------------------------------------- start and end

    def start(self, check: bool | None = None) -> None:
        """Start the run, or carry it on: its manager is a process that outlives this one.

        A second start finds the manager that lives and attaches to it.

        Parameters
        ----------
        check : bool, optional
            Try the cluster with one small job first; default as given to `RunManager`.

        Raises
        ------
        AdaptiveSchedulerError
            Something is wrong with an argument, a folder or the batch system; nothing
            was submitted.
        """
        if self._plan is None:
            self.resume()
            return
        if self._has_default_folder and not self._row_of:
            self.step_aside()
        if self._viewer.lives() and not self._ends():
            self._attach_to_living()
            return
        if self.check if check is None else check:
            try_cluster(self._plan, self.folder)
        try:
            prepared = prepare(self._plan, self.folder, self.overwrite_db)
        except RunError:
            if not self._viewer.lives():
                raise
            self._attach_to_living()  # somebody else has started it meanwhile
            return
        self.overwrite_db = False  # a second start of this object carries its run on
        self._row_of = prepared.row_of
        start_and_wait(self.folder, self._viewer)
        for remark in prepared.remarks:
            print(remark)

    def _ends(self) -> bool:
        """Whether the manager that lives has nothing left to do, and ends while we wait."""
        deadline = time.monotonic() + ENDING
        while self._viewer.snapshot("none").over and time.monotonic() < deadline:
            if not self._viewer.lives():
                return True
            time.sleep(0.1)
        return False

    def step_aside(self) -> None:
        """Before the start: take a folder beside the wanted one if that is of other learners.

        `start` does so itself where no folder was given.
        """
        self.folder = folder_of(self._wanted, self.fnames)
        self._viewer = ManagerClient(self.folder)
        if self.folder.home != self._wanted.home:
            print(moved(self._wanted, self.folder))

    def _attach_to_living(self) -> None:
        rows = state.read_items(read_tables(self.folder), self.folder)
        if self.overwrite_db:
            raise RunError(
                f"overwrite_db=True: a manager of the run in {self.folder.home} lives. "
                "cancel() that run first, or give another folder=..."
            )
        try:
            _, row_of = match_rows(rows, self.fnames)
        except InputError as error:
            raise self._of_another_run() from error
        if len(row_of) != len(rows):
            raise self._of_another_run()
        self._row_of = row_of
        print(
            f"The run in {self.folder.home} has a manager already: attached to it. Its functions "
            "and goal stay; retry() gives it new ones."
        )

    def _of_another_run(self) -> RunError:
        return RunError(
            f"folder: {self.folder.home} belongs to another run, whose manager lives. Give another "
            "folder=... or job_name=..., or RunManager.attach(folder) to see that one."
        )


def run_folder(folder: str | os.PathLike[str] | None, job_name: str) -> RunFolder:
    """Name the run folder below the folder that a user gave, or did not give."""
    if folder is None:
        safe = re.sub(r"[^\w.+=@-]+", "-", job_name).lstrip(".")[:100] or "run"
        folder = Path(DEFAULT_HOME) / safe
    home = Path(folder).expanduser().absolute()
    if home.is_file() or home.name.endswith(".run"):
        raise InputError(
            f"folder={os.fspath(folder)!r} must be a folder of its own, and not end in '.run'. "
            "To see a run that exists: RunManager.attach(folder)."
        )
    return RunFolder(home / DATABASE_NAME)
