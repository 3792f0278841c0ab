"""Every path of a run, and the environment variables that tell a job about its run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from adaptive_scheduler.errors import InputError

#: The run folder, for jobs; everything else they read from there.
RUN_VARIABLE = "ADAPTIVE_SCHEDULER_RUN"
#: Id, restart count, try and submit number of the job, set by the job script.
JOB_VARIABLE = "ADAPTIVE_SCHEDULER_JOB"
RESTART_VARIABLE = "ADAPTIVE_SCHEDULER_RESTART"
TRY_VARIABLE = "ADAPTIVE_SCHEDULER_TRY"
SUBMIT_VARIABLE = "ADAPTIVE_SCHEDULER_SUBMIT"
#: Name of the node, in what runs tasks there: on one machine there can be several, in tests.
NODE_VARIABLE = "ADAPTIVE_SCHEDULER_NODE"
#: Requested MPI ranks or worker processes, the name of the executor that uses them, the requested
#: walltime in seconds (or empty), and when the job script began, in seconds since 1970.
CORES_VARIABLE = "ADAPTIVE_SCHEDULER_CORES"
EXECUTOR_VARIABLE = "ADAPTIVE_SCHEDULER_EXECUTOR"
WALLTIME_VARIABLE = "ADAPTIVE_SCHEDULER_WALLTIME"
STARTED_VARIABLE = "ADAPTIVE_SCHEDULER_STARTED"
#: A file that the client creates if it must not be started again in this job.
END_VARIABLE = "ADAPTIVE_SCHEDULER_END"
#: Absolute path of the folder for the job's ``.out`` and ``.log``.
LOGS_VARIABLE = "ADAPTIVE_SCHEDULER_LOGS"
#: Name of the batch system, for `manage_jobs(scheduler=None)`.
SYSTEM_VARIABLE = "ADAPTIVE_SCHEDULER_SYSTEM"

#: The ``ssh://`` url by which somebody on another host has named the run, for commands that run here for them.
URL_VARIABLE = "ADAPTIVE_SCHEDULER_URL"

#: The database's name in a folder that belongs to a `RunManager`.
DATABASE_NAME = "db.tinydb"
#: The file that names the Python of a run's last manager.
PYTHON_NAME = "python"
#: What must be installed wherever a part of a run is.
PACKAGE = "adaptive_scheduler"
#: The folder with the runs of sweeps, in their output folder.
SWEEPS_NAME = ".adaptive-scheduler"


def state_folder(environ: Mapping[str, str]) -> Path:
    """The user's folder for state that belongs to no single run (XDG Base Directory)."""
    home = environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(home) / "adaptive_scheduler"


def refuse_url(path: str | os.PathLike[str]) -> None:
    """Raise InputError if a path is a url, which would become a folder ``ssh:`` here."""
    scheme, colon, rest = os.fspath(path).partition(":/")
    if not (colon and scheme.isalpha()):
        return
    if scheme != "ssh" and rest.startswith("/"):
        raise InputError(
            f"{os.fspath(path)}: a folder is a path of this machine, or of another host: "
            "'ssh://host/path', in small letters."
        )
    if scheme == "ssh":
        raise InputError(
            f"{os.fspath(path)}: only Executor and the command line take a folder on another host, as a "
            "text: 'ssh://host/path'. A run of learners is started on the host itself."
        )


class RunFolder:
    """Paths of one run. A database ``D`` always has its run folder ``D.run`` beside it.

    Parameters
    ----------
    path : path-like
        The database (``running.tinydb``), its run folder (``running.tinydb.run``),
        or a `RunManager`'s folder, which holds ``db.tinydb``. For one that does not exist: a
        path with a suffix is a database, any other a `RunManager`'s folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        refuse_url(path)
        absolute = Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100 keep symlinks
        if absolute.name.endswith(".run"):
            self.database = absolute.with_name(absolute.name.removesuffix(".run"))
        elif os.path.isdir(absolute) or not absolute.suffix:  # noqa: PTH112 raises nothing
            self.database = absolute / DATABASE_NAME
        else:
            self.database = absolute
        #: Private (0700): keys, pickles, the journal, what the manager needs.
        self.folder = self.database.with_name(self.database.name + ".run")

    def __fspath__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        return f"RunFolder({str(self.database)!r})"

    @property
    def home(self) -> Path:
        """The folder that holds the database and, by default, the logs."""
        return self.database.parent

    @property
    def journals(self) -> Path:
        """Segments of the database's journal."""
        return self.folder / "journal"

    @property
    def history(self) -> Path:
        """What has happened in the run, up to the last checkpoint (`core.history`)."""
        return self.folder / "history.msgpack"

    @property
    def keys(self) -> Path:
        """CURVE keys of this run."""
        return self.folder / "keys"

    @property
    def manager(self) -> Path:
        """Where the manager listens; written once it does."""
        return self.folder / "manager.json"

    @property
    def lock(self) -> Path:
        """One manager per run."""
        return self.folder / "manager.lock"

    @property
    def manager_log(self) -> Path:
        """The manager's log: one JSON line for each event."""
        return self.folder / "manager.log"

    @property
    def manager_output(self) -> Path:
        """What the manager's process printed: empty unless it crashed."""
        return self.folder / "manager.out"

    @property
    def python(self) -> Path:
        """Has the path of the Python of its last manager, for who comes from another host."""
        return self.folder / PYTHON_NAME

    @property
    def config(self) -> Path:
        """The run's settings (`RunConfig`)."""
        return self.folder / "run.json"

    @property
    def learners(self) -> Path:
        """All learners, one pickle after the other."""
        return self.folder / "learners.pickles"

    @property
    def callables(self) -> Path:
        """Pickled by name: scheduler, goal, initializers, runner_kwargs, ..."""
        return self.folder / "callables.pickle"

    @property
    def programs(self) -> Path:
        """Large functions for the workers to read; each is removed when its learner ends."""
        return self.folder / "programs"

    @property
    def facts(self) -> Path:
        """Arguments and results of tasks."""
        return self.folder / "facts"

    @property
    def values(self) -> Path:
        """Results of tasks that are large, a file each."""
        return self.folder / "values"

    @property
    def tasks(self) -> Path:
        """Folders of commands that have one."""
        return self.home / "tasks"

    @property
    def functions(self) -> Path:
        """Functions of tasks, each under the digest of its pickle."""
        return self.folder / "functions"

    def function(self, key: str) -> Path:
        """The file of one function."""
        return self.functions / key

    @property
    def scripts(self) -> Path:
        """Job scripts, one for each submit."""
        return self.folder / "scripts"

    @property
    def ends(self) -> Path:
        """Empty files of clients that must not be started again; the job script removes them."""
        return self.folder / "ends"

    @property
    def invitations(self) -> Path:
        """What the other nodes of jobs are told when they come, one file for each head."""
        return self.folder / "invitations"

    @property
    def complaints(self) -> Path:
        """Reports of clients that could not reach a manager, one file for each job."""
        return self.folder / "complaints"

    def complaint(self, job: str) -> Path:
        """That of one job."""
        return self.complaints / job.replace(os.sep, "_")

    @property
    def offline_goodbyes(self) -> Path:
        """Goodbyes of clients that could not reach a manager, one file a job."""
        return self.folder / "last-words"

    @property
    def logs(self) -> Path:
        """Job output and client logs, unless the scheduler names another folder."""
        return self.home / "logs"
