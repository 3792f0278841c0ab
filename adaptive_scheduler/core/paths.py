"""Every path of a run, in one place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

#: The environment variable that tells a job where its run is; the only thing jobs are told.
RUN_VARIABLE = "ADAPTIVE_SCHEDULER_RUN"
#: Id, restart count, try and submit number of the job, set by the job script.
JOB_VARIABLE = "ADAPTIVE_SCHEDULER_JOB"
RESTART_VARIABLE = "ADAPTIVE_SCHEDULER_RESTART"
TRY_VARIABLE = "ADAPTIVE_SCHEDULER_TRY"
SUBMIT_VARIABLE = "ADAPTIVE_SCHEDULER_SUBMIT"
#: MPI ranks or worker processes asked for, the name of the executor that uses them, the
#: walltime asked for in seconds (or empty), and the seconds since 1970 at which the job
#: script began.
CORES_VARIABLE = "ADAPTIVE_SCHEDULER_CORES"
EXECUTOR_VARIABLE = "ADAPTIVE_SCHEDULER_EXECUTOR"
WALLTIME_VARIABLE = "ADAPTIVE_SCHEDULER_WALLTIME"
STARTED_VARIABLE = "ADAPTIVE_SCHEDULER_STARTED"
#: A file that the client makes when no further try in this job makes sense.
END_VARIABLE = "ADAPTIVE_SCHEDULER_END"
#: Absolute folder of the job's ``.out`` and ``.log``.
LOGS_VARIABLE = "ADAPTIVE_SCHEDULER_LOGS"
#: Which batch system, for `manage_jobs(scheduler=None)`.
SYSTEM_VARIABLE = "ADAPTIVE_SCHEDULER_SYSTEM"

#: The database's name in a folder that belongs to a `RunManager`.
DATABASE_NAME = "db.tinydb"


def state_folder(environ: Mapping[str, str]) -> Path:
    """The user's folder for state that belongs to no single run (XDG Base Directory)."""
    home = environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(home) / "adaptive_scheduler"


class RunFolder:
    """Paths of one run. A database ``D`` always has its run folder ``D.run`` beside it.

    Parameters
    ----------
    path : path-like
        The database (``running.tinydb``), its run folder (``running.tinydb.run``),
        or a `RunManager`'s folder, which holds ``db.tinydb``. Nothing need exist:
        a path with a suffix is a database, any other a `RunManager`'s folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
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
        """The folder that people see: it holds the database, and the logs unless told otherwise."""
        return self.database.parent

    @property
    def journals(self) -> Path:
        """Segments of the database's journal."""
        return self.folder / "journal"

    @property
    def keys(self) -> Path:
        """CURVE keys of this run."""
        return self.folder / "keys"

    @property
    def manager(self) -> Path:
        """Where the manager listens; written after the bind."""
        return self.folder / "manager.json"

    @property
    def lock(self) -> Path:
        """One manager per run."""
        return self.folder / "manager.lock"

    @property
    def manager_log(self) -> Path:
        """What the manager did, one JSON line an event."""
        return self.folder / "manager.log"

    @property
    def manager_output(self) -> Path:
        """What the manager's process printed: empty unless it died badly."""
        return self.folder / "manager.out"

    @property
    def config(self) -> Path:
        """How the run is to be run."""
        return self.folder / "run.json"

    @property
    def learners(self) -> Path:
        """All learners, one pickle behind the other."""
        return self.folder / "learners.pickles"

    @property
    def callables(self) -> Path:
        """Pickles by name that are no learners: scheduler, goal, initializers, runner_kwargs, ..."""
        return self.folder / "callables.pickle"

    @property
    def programs(self) -> Path:
        """Large functions on their way to the workers; each is removed when its learner ends."""
        return self.folder / "programs"

    @property
    def scripts(self) -> Path:
        """Job scripts, one a submit."""
        return self.folder / "scripts"

    @property
    def ends(self) -> Path:
        """Marks of clients that want no further try; removed by the job script."""
        return self.folder / "ends"

    @property
    def complaints(self) -> Path:
        """What clients that reached no manager tried, one file a job."""
        return self.folder / "complaints"

    @property
    def offline_goodbyes(self) -> Path:
        """Goodbyes of clients that could not reach a manager, one file a job."""
        return self.folder / "last-words"

    @property
    def logs(self) -> Path:
        """Job output and client logs, unless the scheduler names another folder."""
        return self.home / "logs"
