"""`RunManager`: describes and starts a run."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from adaptive_scheduler.core.options.checks import flag, path
from adaptive_scheduler.core.options.keywords import accept_aliases
from adaptive_scheduler.core.options.run_options import Limits, Network, Saving, from_arguments
from adaptive_scheduler.core.paths import DATABASE_NAME, RunFolder, refuse_url
from adaptive_scheduler.core.rows.row import TASK
from adaptive_scheduler.core.times import TimeLike
from adaptive_scheduler.errors import InputError, RunError
from adaptive_scheduler.io.storage import row_codec
from adaptive_scheduler.io.storage.read_only import read_tables
from adaptive_scheduler.io.storage.run_config import kind_of
from adaptive_scheduler.io.system.hosts import Hosts
from adaptive_scheduler.io.system.submit import run_command
from adaptive_scheduler.io.system.trial_submit import TrialSubmit, trial_submits
from adaptive_scheduler.runs.compat.batch.public_scheduler import is_stranger, stand_in
from adaptive_scheduler.runs.compat.frame_files import Format
from adaptive_scheduler.runs.compat.learners.accepted import accepts_former
from adaptive_scheduler.runs.compat.learners.frames import frame_saver
from adaptive_scheduler.runs.compat.learners.members import FormerMembers
from adaptive_scheduler.runs.compat.learners.one_by_one import start_one_by_one
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.runs.run import Run
from adaptive_scheduler.runs.start.launch import start_and_wait, try_cluster
from adaptive_scheduler.runs.start.own_folder import folder_of, moved, removed_if_refused
from adaptive_scheduler.runs.start.plan import CheckedRun, make_plan, resolved
from adaptive_scheduler.runs.start.prepare import make_config, prepare
from adaptive_scheduler.runs.start.previous_run import match_rows
from adaptive_scheduler.schedulers.base import Scheduler, check_scheduler

#: Default parent of run folders, in the working directory.
DEFAULT_HOME = "adaptive-scheduler-runs"
#: Seconds that a manager may take to end after its last learner.
EXIT_GRACE = 30.0


class RunManager(FormerMembers):
    """Runs many learners to their goal, in jobs of a batch system.

    Parameters
    ----------
    scheduler : Scheduler
        ``SLURM(...)``, ``PBS(...)`` or ``LocalScheduler(...)``, with the resources of each job.
    learners : sequence of adaptive.BaseLearner
        What is run: at least one learner. They are pickled for the jobs.
    fnames : sequence of str, path or list of str
        The data file of each learner; a list of files for a BalancingLearner whose learners
        each have one. Made absolute. No two learners may have the same file.
    goal : callable, int, float, timedelta, str, datetime or None
        When a learner is done: ``goal(learner) -> bool``; a number of points; a loss; the time
        that jobs worked on it (a timedelta, or ``"2h"``; waiting in the queue does not count);
        a moment; None: when it has no more points (SequenceLearner, IntegratorLearner).
    name : str
        What the jobs are called in the queue; it also names the default `folder`.
    folder : path-like, optional
        The run's folder: database, logs, and all that is needed to find the run again.
        Default: ``adaptive-scheduler-runs/NAME`` in the working directory, and with
        ``-2``, ``-3``, ... behind it if that holds a run of other learners. All nodes must
        see it.
    dependencies : mapping of int to int or list of int, optional
        Which learners wait for others: ``{2: [0, 1]}`` starts ``learners[2]`` when
        ``learners[0]`` and ``learners[1]`` are done. Default: none waits.
    runner_kwargs : mapping, optional
        Settings of the runner of each learner, as `adaptive.Runner` names them: ``retries``,
        ``raise_if_retries_exceeded``, ``log``; and ``grace``, how long points in flight are
        waited for after the goal is met.
    initializers : list, optional
        Functions without arguments that prepare a worker. A list of functions: each worker calls
        all of them once before its first point. A list with a list or None in it has one entry for each learner
        (None, a function or a list of functions): those run once in each worker before its
        first point of that learner; ``[[load_a], [load_b], None]`` is one each for three.
    interval : float, str or timedelta
        Longest time between two listings of the queue (``squeue``, ``qstat``).
    check_goal_on_start : bool
        Whether `start` first loads the data that exist, and counts learners that meet the goal
        already as done. With False every learner gets a job, which looks itself.
    check : bool
        Whether one small job first tries Python, imports, MPI and the network; nothing is
        started if it finds a fault.
    run_script : path-like, optional
        A script of yours that jobs run in place of the package's own client; see
        `adaptive_scheduler.client_support`.
    overwrite : bool
        Start from scratch although the folder has a run; its database is kept as ``.old``.
        By default that run is carried on: learners that are done stay done, if they meet the
        goal and have their data, and failed ones are tried again.
    max_jobs : int
        Most jobs in the queue at a time, waiting ones included.
    max_fails : int
        Times that a learner may fail before it is given up. The count starts again at zero when
        the learner has as many new points as its job has workers; after 20 times this number
        in all it is given up nevertheless.
    max_crashes : int
        Times that a learner's job may crash before the learner is given up.
    point_timeout : float, str or timedelta, optional
        Time that one evaluation may take. One that takes longer counts as a failure of its
        learner (see `max_fails`), and the client is started again in its job, because
        nothing else ends a call that runs. Default: no limit; `status` then shows
        what makes no progress.
    point_retries : int
        Times that a point whose evaluation raised is tried again at once; only when it has failed
        once more is that one failure of its learner. (A slow one, over 10 s, is not tried again
        before some other point has succeeded, so that a function that always raises shows soon.)
    client_patience : float, str or timedelta
        Time that jobs go on computing while the run has no manager. Then they save and
        leave; their learners go on when the run is resumed. Jobs that have nothing to
        compute leave after ten minutes, or after this time if it is shorter.
    limits : Limits, optional
        The six before this one together: ``limits=Limits(max_jobs=10, point_timeout="5m")``.
    save_interval : float, str or timedelta
        Time between two saves of a learner's data file while a job runs it.
    points_interval : float, str or timedelta
        Time between two writes of the point journal beside the data file: a job that is
        killed loses the points in flight, and those that returned in this last while.
    log_interval : float, str or timedelta
        Time between two lines of progress in a job's log.
    saving : Saving, optional
        The three before this one together: ``saving=Saving(save_interval="10m")``.
    url : str, optional
        Address at which the manager listens for jobs, ``tcp://host:port``. Default: this host
        and any free port.
    interface : str, optional
        Network interface (``"ib0"``) or address of this host by which jobs reach the manager.
        Default: all interfaces.
    ports : str, optional
        Ports that a firewall leaves open, ``"50000-50100"``: the manager listens on one of them.
    network : Network, optional
        The three before this one together: ``network=Network(ports="50000-50100")``.
    save_dataframe : bool
        When a job saves a learner, it also saves its table beside the data (see
        `adaptive_scheduler.utils.fname_to_dataframe`), for `load_dataframes`.
    dataframe_format : str
        ``"pickle"``, ``"parquet"``, ``"csv"``, ``"hdf"``, ``"feather"``, ``"excel"`` or ``"json"``.

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

    _plan: CheckedRun
    _is_starting: bool = False

    @accepts_former
    @accept_aliases(limits=Limits, saving=Saving, network=Network)
    def __init__(
        self,
        scheduler: Scheduler,
        learners: Sequence[Any],
        fnames: Sequence[Any],
        *,
        goal: Any = None,
        name: str = "adaptive-scheduler",
        folder: str | os.PathLike[str] | None = None,
        dependencies: Mapping[int, Any] | None = None,
        runner_kwargs: Mapping[str, Any] | None = None,
        initializers: Sequence[Any] | None = None,
        interval: TimeLike = 30.0,
        check_goal_on_start: bool = True,
        check: bool = False,
        run_script: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        max_jobs: int = 100,
        max_fails: int = 3,
        max_crashes: int = 5,
        point_timeout: TimeLike | None = None,
        point_retries: int = 2,
        client_patience: TimeLike = 86400.0,
        limits: Limits | None = None,
        save_interval: TimeLike = 300.0,
        points_interval: TimeLike = 1.0,
        log_interval: TimeLike = 30.0,
        saving: Saving | None = None,
        url: str | None = None,
        interface: str | None = None,
        ports: str | None = None,
        network: Network | None = None,
        save_dataframe: bool = False,
        dataframe_format: Format = "pickle",
    ) -> None:
        options = from_arguments(locals())  # what a group holds is in its fields by now
        self._stranger = scheduler if is_stranger(scheduler) else None
        known = stand_in() if self._stranger is not None else scheduler
        plan = make_plan(known, learners, fnames, options)
        if flag(save_dataframe, "save_dataframe"):
            plan = replace(plan, after_save=frame_saver(dataframe_format))
        self.save_dataframe, self.dataframe_format = save_dataframe, dataframe_format
        default = run_folder(options.folder, options.name)
        self._has_default_folder = folder is None and not options.overwrite
        chosen = folder_of(default, plan.fnames) if self._has_default_folder else default
        _refuse_tasks(chosen)
        super().__init__(chosen, plan.fnames, plan)
        self._wanted, self.overwrite = default, options.overwrite

    @staticmethod
    def attach(folder: str | os.PathLike[str]) -> Run:
        """Find a run again, from any process on any host that sees its folder.

        Parameters
        ----------
        folder : path-like
            The run's folder, or its database.

        Raises
        ------
        InputError
            It is a run of tasks.
        RunError, DatabaseError
            There is no run.
        """
        _refuse_tasks(RunFolder(path(folder, "folder")))
        return Run.attach(folder)

    # ----------------------------------------------------------------- start and end

    def start(self, wait_for: RunManager | None = None, *, check: bool | None = None) -> RunManager:
        """Start the run, or carry it on, with a manager in its own process, which outlives this one.

        If the run has a manager already, attach to it.

        Parameters
        ----------
        wait_for : RunManager, optional
            Start when that run has ended: then this returns at once, and a task of this process waits.
        check : bool, optional
            First check the cluster with one small job; default: as given to `RunManager`.

        Returns
        -------
        RunManager
            This one.

        Raises
        ------
        AdaptiveSchedulerError
            Something is wrong with an argument, a folder or the batch system; nothing
            was submitted.
        """
        if isinstance(wait_for, bool):  # `start(True)` of version 0.2.0 checks
            wait_for, check = None, wait_for
        if wait_for is not None:
            start_one_by_one(wait_for, self)
            return self
        if self._has_default_folder and not self._row_of:
            self.choose_folder()
        if self._viewer.lives() and not self._ends():
            self._attach_to_living()
        else:
            self._is_starting = True  # to who waits for it in another thread
            try:
                self._start(self.check if check is None else check)
            finally:
                self._is_starting = False
        self._was_started = True
        return self

    def _start(self, check: bool) -> None:
        check_scheduler(self.scheduler)
        self._plan = resolved(self._plan)
        try:
            with removed_if_refused(self.folder):
                if check:
                    try_cluster(self._plan, self.folder)
                prepared = prepare(self._plan, self.folder, self.overwrite)
        except RunError:
            if not self._viewer.lives():
                raise
            self._attach_to_living()  # another process has just started it
            return
        self.overwrite = False  # a second start of this object carries its run on
        self._row_of = prepared.row_of
        start_and_wait(self.folder, self._viewer)
        for remark in prepared.remarks:
            print(remark)

    def trial_submit(self) -> list[TrialSubmit]:
        """Ask the batch system whether it would take the jobs; nothing is submitted or written.

        SLURM says when the first job would start; PBS and localbatch cannot be asked.

        Returns
        -------
        list of TrialSubmit
            For each kind of job that the learners need.
        """
        from adaptive_scheduler.schedulers.job_script import first_submits  # with all executors

        config = make_config(self._plan, self.folder, None)
        scheduler = self._plan.scheduler
        hosts = Hosts(scheduler, run_command)
        return trial_submits(
            scheduler, [*first_submits(scheduler, config.shapes, config, self.folder, hosts.of)]
        )

    def _ends(self) -> bool:
        """Return whether the manager has nothing left to do, and ends within `EXIT_GRACE`."""
        deadline = time.monotonic() + EXIT_GRACE
        while self._viewer.snapshot("none").over and time.monotonic() < deadline:
            if not self._viewer.lives():
                return True
            time.sleep(0.1)
        return False

    def choose_folder(self) -> None:
        """Before a start: use a folder beside the wanted one if that has a run of other learners.

        `start` does so itself if no folder was given.
        """
        self.folder = folder_of(self._wanted, self.fnames)
        self._viewer = ManagerClient(self.folder)
        if self.folder.home != self._wanted.home:
            print(moved(self._wanted, self.folder))

    def _attach_to_living(self) -> None:
        rows = row_codec.read_items(read_tables(self.folder), self.folder)
        if self.overwrite:
            raise RunError(
                f"overwrite=True: a manager of the run in {self.folder.home} is alive. "
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
            f"folder: {self.folder.home} belongs to another run, whose manager is alive. Give another "
            "folder=... or name=..., or RunManager.attach(folder) to see that one."
        )


def _refuse_tasks(folder: RunFolder) -> None:
    if kind_of(folder) == TASK:
        raise InputError(
            f"folder: {folder.home} has a run of tasks. To see it: Executor.attach(folder); for a run "
            "of learners give another folder."
        )


def run_folder(folder: str | os.PathLike[str] | None, name: str) -> RunFolder:
    """Return the run folder in the folder that a user gave, or in the default one."""
    if folder is None:
        safe = re.sub(r"[^\w.+=@-]+", "-", name).lstrip(".")[:100] or "run"
        folder = Path(DEFAULT_HOME) / safe
    refuse_url(folder)
    home = Path(folder).expanduser().absolute()
    if home.is_file() or home.name.endswith(".run"):
        raise InputError(
            f"folder={os.fspath(folder)!r} must be a folder for one run, and its name must not end in '.run'. "
            "To see a run that exists: attach(folder) of RunManager or Executor."
        )
    return RunFolder(home / DATABASE_NAME)
