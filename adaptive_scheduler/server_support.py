"""What a notebook uses: `RunManager`, or a database manager and a job manager one by one."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.core.options.keywords import accept_aliases

if TYPE_CHECKING:
    import asyncio

    from adaptive_scheduler.core.options.run_options import Limits, Network, Saving
    from adaptive_scheduler.core.paths import RunFolder
    from adaptive_scheduler.core.times import TimeLike
    from adaptive_scheduler.runs.compat.learners.one_by_one import start_one_by_one
    from adaptive_scheduler.runs.compat.learners.run_task import MaxRestartsReachedError
    from adaptive_scheduler.runs.compat.learners.several_runs import MultiRunManager
    from adaptive_scheduler.runs.compat.learners.slurm_run import slurm_run
    from adaptive_scheduler.runs.compat.logs.former_files import (
        cleanup_scheduler_files,
        periodically_clean_ipython_profiles,
    )
    from adaptive_scheduler.runs.compat.logs.log_search import logs_with_string_or_condition
    from adaptive_scheduler.runs.compat.logs.log_table import parse_log_files
    from adaptive_scheduler.runs.compat.logs.messages_to_user import console, log
    from adaptive_scheduler.runs.compat.logs.watchers import BaseManager, KillManager
    from adaptive_scheduler.runs.run_manager import RunManager
    from adaptive_scheduler.schedulers.base import Scheduler

__all__ = [
    "BaseManager",
    "KillManager",
    "Limits",
    "MaxRestartsReachedError",
    "MultiRunManager",
    "Network",
    "RunManager",
    "Saving",
    "cleanup_scheduler_files",
    "console",
    "create_empty_db",
    "get_allowed_url",
    "get_database",
    "log",
    "logs_with_string_or_condition",
    "manage_database",
    "manage_jobs",
    "parse_log_files",
    "periodically_clean_ipython_profiles",
    "slurm_run",
    "start_one_by_one",
]

#: Where each name that is made elsewhere has its home.
_HOMES = {
    "BaseManager": "runs.compat.logs.watchers",
    "KillManager": "runs.compat.logs.watchers",
    "Limits": "core.options.run_options",
    "MaxRestartsReachedError": "runs.compat.learners.run_task",
    "MultiRunManager": "runs.compat.learners.several_runs",
    "Network": "core.options.run_options",
    "RunManager": "runs.run_manager",
    "Saving": "core.options.run_options",
    "cleanup_scheduler_files": "runs.compat.logs.former_files",
    "console": "runs.compat.logs.messages_to_user",
    "log": "runs.compat.logs.messages_to_user",
    "logs_with_string_or_condition": "runs.compat.logs.log_search",
    "parse_log_files": "runs.compat.logs.log_table",
    "periodically_clean_ipython_profiles": "runs.compat.logs.former_files",
    "slurm_run": "runs.compat.learners.slurm_run",
    "start_one_by_one": "runs.compat.learners.one_by_one",
}

DbName = str | os.PathLike[str]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"adaptive_scheduler.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


def create_empty_db(
    db_fname: DbName, fnames: Sequence[Any], combos: Sequence[Mapping[str, Any]] | None = None
) -> None:
    """Create a database of learners that have not started yet.

    An existing one is renamed to ``NAME.old``.

    Parameters
    ----------
    db_fname : str or path
        The file; its run folder is ``db_fname.run`` beside it.
    fnames : sequence of str, path or list of str
        The data files of each learner; made absolute.
    combos : sequence of mapping, optional
        For each learner the parameters that it was made with; jobs find it by them.

    Raises
    ------
    InputError
        Lengths differ, fnames collide, or a combo has a value that cannot be stored.
    RunError
        A manager of this database is alive.
    """
    from adaptive_scheduler.runs.start.create_database import create

    create(_folder(db_fname), fnames, combos)


def get_allowed_url(interface: str | None = None, ports: str | None = None) -> str:
    """Return a url of this host at which a database manager may listen.

    Parameters
    ----------
    interface : str, optional
        A network interface (``"eth0"``) or an address. Default: the first that is not loopback.
    ports : str, optional
        ``"50000-50100"``: choose from these.

    Returns
    -------
    str
        ``tcp://host:port``; nobody listens there at the moment.
    """
    from adaptive_scheduler.core.options.run_options import Network
    from adaptive_scheduler.io.transport.addresses import free_url

    given = Network(interface=interface, ports=ports)
    return free_url(given.interface, given.ports)


async def manage_database(url: str | None, db_fname: DbName) -> None:
    """Give the learners of a database to jobs, until every learner has ended and no job is left.

    Runs in its own thread, so that a busy notebook cell does not block it. Cancelling the task
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
        Another manager of this database is alive.
    DatabaseError
        There is no such database, or it cannot be read.
    InputError
        The manager cannot listen at `url`.
    """
    import msgspec

    from adaptive_scheduler.manager import in_process
    from adaptive_scheduler.runs.start.create_database import config_of

    folder = _folder(db_fname)
    config = msgspec.structs.replace(config_of(folder), url=url)
    await in_process.run_engine(in_process.open_engine(folder, config))


@accept_aliases()
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
    max_jobs: int | None = None,
    max_fails: int = 3,
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
        The most jobs at a time; each job gets a name that no other job has at the time.
    db_fname : str or path
        As given to `manage_database`.
    ioloop : asyncio.AbstractEventLoop, optional
        Ignored; older notebooks give it.
    cores : int
        MPI ranks of each job.
    interval : float, str or timedelta
        Longest time between two listings of the queue.
    run_script : str or path
        The script that each job runs; it calls `client_support.get_learner`.
    python_executable : str, optional
        Python of the jobs; ``~`` is expanded. Default: this Python.
    scheduler : Scheduler, optional
        Default: the batch system of this machine with `cores`, `python_executable` and
        `options`; if it is given, do not give those.
    job_script_function : callable, optional
        Returns the text of a job script. It is called with those of these keyword arguments
        that it has: ``name``, ``cores``, ``run_script``, ``python_executable``,
        ``mpiexec_executable``, ``executor_type``, ``num_threads``, ``walltime`` (seconds),
        ``log_folder``, ``header`` (the directive lines), ``setup``. The variables that
        jobs need are inserted after its leading comment lines.
    max_jobs : int, optional
        Most jobs at a time, if less than there are names.
    max_fails, max_crashes : int
        As in `RunManager`.
    client_patience : float, str or timedelta
        Time that jobs go on without a manager (this process has ended, and nobody has called
        `manage_database` again). As in `RunManager`; but a script that uses `get_learner` and
        its own runner finishes its learner first.
    **options
        More options of the scheduler: ``mpiexec_executable``, ``walltime``, ``partition``, …

    Raises
    ------
    InputError
        An argument is wrong, or no batch system is found.
    RunError
        This process has no manager of this database.
    """
    from adaptive_scheduler.core.config import JobLimits
    from adaptive_scheduler.core.options.run_options import Limits
    from adaptive_scheduler.errors import InputError
    from adaptive_scheduler.manager import in_process
    from adaptive_scheduler.manager.named_jobs import NamedJobs
    from adaptive_scheduler.schedulers.base import check_scheduler
    from adaptive_scheduler.schedulers.user_script import script_writer

    own = {"python_executable": python_executable, **options}
    given = [*(["cores"] if cores != 1 else []), *(key for key in own if own[key] is not None)]
    if scheduler is not None and given:
        raise InputError(
            f"scheduler= and {given[0]}= are both given: give {given[0]}= to the scheduler."
        )
    if job_script_function is not None and not callable(job_script_function):
        raise InputError(f"job_script_function={job_script_function!r} must be a function.")
    if isinstance(job_names, str) or not isinstance(job_names, Iterable):
        raise InputError(f"job_names={job_names!r} must be a list of texts.")
    names = list(job_names)
    most = len(names) or 1 if max_jobs is None else max_jobs
    limits = Limits(max_jobs=most, max_fails=max_fails, max_crashes=max_crashes)
    jobs = NamedJobs(
        _detected(cores, own) if scheduler is None else check_scheduler(scheduler),
        names, run_script, interval,
        JobLimits(min(limits.max_jobs, len(names)), limits.max_fails, limits.max_crashes),
        client_patience,
    )  # fmt: skip
    jobs.check()
    writer = script_writer(job_script_function) if job_script_function else None
    await in_process.manage(_folder(db_fname), jobs, writer)


def _detected(cores: int, options: dict[str, Any]) -> Scheduler:
    """Return the scheduler of this machine."""
    from adaptive_scheduler.schedulers.registry import detect, scheduler_class

    found = scheduler_class(detect(os.environ))
    return found(cores, **options)


def get_database(db_fname: DbName) -> list[dict[str, Any]]:
    """Return the present rows of a database, also while a manager runs.

    Parameters
    ----------
    db_fname : str or path
        The database, or the folder of a run.

    Returns
    -------
    list of dict
        In the order of the learners; keys as in `adaptive_scheduler.core.rows.items.Item`,
        and ``combo`` if the database was made with combos.

    Raises
    ------
    DatabaseError
        There is no such database, or it cannot be read.
    """
    from adaptive_scheduler.io.storage import database
    from adaptive_scheduler.io.storage.read_only import read_tables

    tables = read_tables(_folder(db_fname))
    combos = tables.get(database.COMBOS, {})
    rows = tables.get(database.ITEMS, {})
    return [rows[key] | combos.get(key, {}) for key in sorted(rows, key=int)]


def _folder(db_fname: DbName) -> RunFolder:
    from adaptive_scheduler.core.options.checks import path
    from adaptive_scheduler.core.paths import RunFolder

    where = Path(path(db_fname, "db_fname")).expanduser().absolute()
    if where.suffix or where.is_dir():
        return RunFolder(where)
    named = RunFolder(where)
    named.database = where  # a database may have a name without a suffix
    named.folder = where.with_name(where.name + ".run")
    return named
