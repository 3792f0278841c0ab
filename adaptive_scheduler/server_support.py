"""What a notebook calls: `RunManager`, or the database manager and the job manager one by one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from adaptive_scheduler.core.paths import RunFolder
    from adaptive_scheduler.core.times import TimeLike
    from adaptive_scheduler.runs.run_manager import RunManager
    from adaptive_scheduler.schedulers.base import Scheduler

__all__ = [
    "RunManager",
    "create_empty_db",
    "get_allowed_url",
    "get_database",
    "manage_database",
    "manage_jobs",
    "parse_log_files",
]

DbName = str | os.PathLike[str]


def __getattr__(name: str) -> Any:
    if name == "RunManager":
        from adaptive_scheduler.runs.run_manager import RunManager

        return RunManager
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def create_empty_db(
    db_fname: DbName, fnames: Sequence[Any], combos: Sequence[Mapping[str, Any]] | None = None
) -> None:
    """Make a database in which nothing has happened yet.

    An existing one is kept as ``NAME.old``.

    Parameters
    ----------
    db_fname : str or path
        Its file; its run folder is ``db_fname.run`` beside it.
    fnames : sequence of str, path or list of str
        Where the data of each learner go; made absolute.
    combos : sequence of mapping, optional
        For each learner the parameters that made it, to find it by in the jobs.

    Raises
    ------
    InputError
        Lengths differ, fnames collide, or a combo holds what cannot be stored.
    RunError
        A manager of this database lives.
    """
    from adaptive_scheduler.runs.start.create_database import create

    create(_folder(db_fname), fnames, combos)


def get_allowed_url(interface: str | None = None, ports: str | None = None) -> str:
    """Return a url of this host at which a database manager may listen.

    Parameters
    ----------
    interface : str, optional
        A network interface (``"eth0"``) or an address. Default: the first that others can reach.
    ports : str, optional
        ``"50000-50100"``: choose from these.

    Returns
    -------
    str
        ``tcp://host:port``, free at the moment.
    """
    from adaptive_scheduler.io.transport.addresses import free_url

    return free_url(interface, ports)


async def manage_database(url: str | None, db_fname: DbName) -> None:
    """Serve jobs from a database until every learner has ended and no job is left.

    Runs in a thread of its own: a busy cell does not hold it up. Cancelling the task
    stops it; jobs go on, and wait for the next manager.

    Parameters
    ----------
    url : str or None
        Where to listen, from `get_allowed_url`; None: any free port.
    db_fname : str or path
        Made by `create_empty_db`; one that was used before is carried on.

    Raises
    ------
    RunError
        Another manager of this database lives.
    DatabaseError
        There is no such database, or it cannot be read.
    InputError
        Nothing can listen at `url`.
    """
    import msgspec

    from adaptive_scheduler.manager import in_process as low_level
    from adaptive_scheduler.runs.start import create_database as empty

    folder = _folder(db_fname)
    config = msgspec.structs.replace(empty.config_of(folder), url=url)
    await low_level.run_engine(low_level.open_engine(folder, config))


async def manage_jobs(
    job_names: Sequence[str],
    db_fname: DbName,
    ioloop: asyncio.AbstractEventLoop | None = None,  # noqa: ARG001  of older notebooks
    cores: int = 1,
    interval: TimeLike = 30,
    run_script: str | os.PathLike[str] = "run_learner.py",
    python_executable: str | None = None,
    *,
    scheduler: Scheduler | None = None,
    job_script_function: Callable[..., str] | None = None,
    max_simultaneous_jobs: int | None = None,
    max_fails_per_job: int = 3,
    max_crashes: int = 5,
    client_patience: TimeLike = 86400.0,
    **options: Any,
) -> None:
    """Keep jobs in the queue until every learner of a database has ended.

    Needs `manage_database` of the same database in the same process, started before or
    within the next seconds.

    Parameters
    ----------
    job_names : sequence of str
        As many as there may be jobs at a time; each job gets one that is free.
    db_fname : str or path
        As given to `manage_database`.
    ioloop : asyncio.AbstractEventLoop, optional
        Not needed; taken because notebooks give it.
    cores : int
        MPI ranks of each job.
    interval : float, str or timedelta
        Longest time between two looks at the queue.
    run_script : str or path
        What each job runs; it asks `client_support.get_learner` for a learner.
    python_executable : str, optional
        Python of the jobs; ``~`` is expanded. Default: this Python.
    scheduler : Scheduler, optional
        Default: the batch system of this machine with `cores`, `python_executable` and
        `options`; if it is given, these are not.
    job_script_function : callable, optional
        Returns the text of a job script. It is given those of these keyword arguments
        that it takes: ``name``, ``cores``, ``run_script``, ``python_executable``,
        ``mpiexec_executable``, ``executor_type``, ``num_threads``, ``walltime`` (seconds),
        ``log_folder``, ``header`` (the directive lines), ``setup``. What jobs must be told
        of the run is put behind its leading comment lines.
    max_simultaneous_jobs : int, optional
        Fewer than there are names.
    max_fails_per_job, max_crashes : int
        As in `RunManager`.
    client_patience : float, str or timedelta
        Time that jobs go on while no manager lives: this process has ended, and nobody has
        called `manage_database` anew. As in `RunManager`; a script of yours that uses
        `get_learner` and a runner of its own finishes its learner first.
    **options
        More options of the scheduler: ``mpiexec_executable``, ``walltime``, ``partition``, …

    Raises
    ------
    InputError
        An argument is wrong, or no batch system is found.
    RunError
        There is no manager of this database in this process.
    """
    from adaptive_scheduler.core.config import Limits
    from adaptive_scheduler.manager import in_process as low_level
    from adaptive_scheduler.manager.named_jobs import NamedJobs
    from adaptive_scheduler.schedulers.user_script import script_writer

    chosen = scheduler or _detected(cores, python_executable, options)
    most = max_simultaneous_jobs or len(job_names)
    jobs = NamedJobs(
        chosen, list(job_names), run_script, interval,
        Limits(min(most, len(job_names)), max_fails_per_job, max_crashes),
        client_patience,
    )  # fmt: skip
    jobs.check()
    writer = script_writer(job_script_function) if job_script_function else None
    await low_level.manage(_folder(db_fname), jobs, writer)


def _detected(cores: int, python_executable: str | None, options: dict[str, Any]) -> Scheduler:
    """Return the scheduler of this machine."""
    from adaptive_scheduler.schedulers.registry import detect, scheduler_class

    found = scheduler_class(detect(os.environ))
    return found(cores, python_executable=python_executable, **options)


def get_database(db_fname: DbName) -> list[dict[str, Any]]:
    """Return the rows of a database as they are now, also while a manager runs.

    Parameters
    ----------
    db_fname : str or path
        The database, or the folder of a run.

    Returns
    -------
    list of dict
        In the order of the learners; keys as in `adaptive_scheduler.core.rows.items.Item`,
        and ``combo`` where the database was made with combos.

    Raises
    ------
    DatabaseError
        There is none, or it cannot be read.
    """
    from adaptive_scheduler.io.storage import database
    from adaptive_scheduler.io.storage.read_only import read_tables

    tables = read_tables(_folder(db_fname))
    combos = tables.get(database.COMBOS, {})
    rows = tables.get(database.ITEMS, {})
    return [rows[key] | combos.get(key, {}) for key in sorted(rows, key=int)]


def parse_log_files(logs: str | os.PathLike[str] | Iterable[str]) -> pd.DataFrame:
    """Read what the jobs logged.

    Parameters
    ----------
    logs : str, path or iterable of them
        Folders (``RunManager.folder.logs``) or ``.log`` files.

    Returns
    -------
    pandas.DataFrame
        One row an event, in the order of time (column ``timestamp``); ``job`` is the name of
        the file. A line that cannot be read is the event ``unreadable``.

    Raises
    ------
    InputError
        There is no such file or folder.
    EnvironmentMismatchError
        pandas is not installed.
    """
    from adaptive_scheduler.io.system.read_logs import log_files, read_events
    from adaptive_scheduler.runs.load_data import import_pandas

    pandas = import_pandas()
    where = Path(logs) if isinstance(logs, os.PathLike) else logs
    frame = pandas.DataFrame(
        [{"job": path.stem, **event} for path in log_files(where) for event in read_events(path)]
    )
    if "timestamp" not in frame:
        return frame
    frame["timestamp"] = pandas.to_datetime(frame["timestamp"], utc=True, errors="coerce")
    return frame.sort_values("timestamp", kind="stable", ignore_index=True)


def _folder(db_fname: DbName) -> RunFolder:
    from adaptive_scheduler.core.paths import RunFolder

    path = Path(db_fname).expanduser().absolute()
    if path.suffix or path.is_dir():
        return RunFolder(path)
    named = RunFolder(path)
    named.database = path  # a database may have a name without a suffix
    named.folder = path.with_name(path.name + ".run")
    return named
