"""`slurm_run`: a `RunManager` on Slurm, by one call."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.times import TimeLike
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.runs.compat.batch.slurm_scheduler import slurm_scheduler
from adaptive_scheduler.runs.compat.frame_files import Format
from adaptive_scheduler.runs.compat.learners.accepted import USUAL, take_former
from adaptive_scheduler.runs.run_manager import RunManager
from adaptive_scheduler.runs.start.fnames import absolute_fnames
from adaptive_scheduler.runs.start.own_folder import folder_of, moved

#: Of the scheduler; the others are of the run.
_OF_JOBS = (
    "partition", "nodes", "cores_per_node", "num_threads", "exclusive", "executor_type", "memory",
    "extra_scheduler", "extra_env_vars",
)  # fmt: skip
_OF_RUNS = (
    "goal", "check_goal_on_start", "dependencies", "runner_kwargs", "url", "save_interval",
    "log_interval", "initializers", "save_dataframe", "dataframe_format",
)  # fmt: skip
#: As `USUAL`, with the defaults of `slurm_run`.
_USUAL = {**USUAL, "cleanup_first": True}


def slurm_run(
    learners: Sequence[Any],
    fnames: Sequence[Any],
    *,
    name: str = "adaptive-scheduler",
    folder: str | os.PathLike[str] | None = "",
    partition: str | tuple[Any, ...] | None = None,
    nodes: int | tuple[Any, ...] | None = 1,
    cores_per_node: int | tuple[Any, ...] | None = None,
    memory: int | str | tuple[Any, ...] | None = None,
    num_threads: int | tuple[Any, ...] = 1,
    exclusive: bool | tuple[Any, ...] = False,
    executor_type: Any = "process-pool",
    extra_scheduler: Sequence[str] | tuple[Any, ...] | None = None,
    extra_env_vars: Mapping[str, object] | Sequence[str] | tuple[Any, ...] | None = None,
    goal: Any = None,
    check_goal_on_start: bool = True,
    dependencies: Mapping[int, Any] | None = None,
    runner_kwargs: Mapping[str, Any] | None = None,
    url: str | None = None,
    save_interval: TimeLike = 300,
    log_interval: TimeLike = 30,
    job_manager_interval: TimeLike = 30,
    kill_interval: TimeLike = 60,
    kill_on_error: str | Callable[[list[str]], bool] | None = "srun: error:",
    overwrite_db: bool = True,
    job_manager_kwargs: Mapping[str, Any] | None = None,
    kill_manager_kwargs: Mapping[str, Any] | None = None,
    loky_start_method: str = "loky",
    cleanup_first: bool = True,
    save_dataframe: bool = True,
    dataframe_format: Format = "pickle",
    max_log_lines: int = 500,
    max_fails_per_job: int = 3,
    max_simultaneous_jobs: int = 100,
    initializers: Sequence[Any] | None = None,
    quiet: bool = False,
    extra_run_manager_kwargs: Mapping[str, Any] | None = None,
    extra_scheduler_kwargs: Mapping[str, Any] | None = None,
) -> RunManager:
    """Describe a run on Slurm. It is started by ``slurm_run(...).start()``.

    Parameters
    ----------
    learners, fnames, goal, check_goal_on_start, dependencies, runner_kwargs, url, initializers
        See `RunManager`. As many `initializers` as learners are one for each.
    save_interval, log_interval, save_dataframe, dataframe_format
        See `RunManager`. Without pandas no tables are saved.
    name : str
        What the jobs are called, and the run's folder in `folder`.
    folder : path-like, optional
        Where the run's folder goes. Default: ``adaptive-scheduler-runs`` in the working directory.
    partition : str or tuple, optional
        Default: sinfo's default partition.
    nodes, cores_per_node : int or tuple, optional
        Of each job; ``cores_per_node=None``: all cores of the partition's nodes.
    memory, num_threads, exclusive, executor_type, extra_scheduler, extra_env_vars
        See `adaptive_scheduler.scheduler.SLURM`.
    job_manager_interval, max_simultaneous_jobs, max_fails_per_job
        ``interval``, ``max_jobs`` and ``max_fails`` of `RunManager`.
    overwrite_db : bool
        Either way a run of these learners that `folder` has is carried on, and their data are used.
    cleanup_first, kill_interval, kill_on_error, kill_manager_kwargs, job_manager_kwargs
        Of adaptive-scheduler 2; they have no effect.
    loky_start_method
        Of adaptive-scheduler 2; it has no effect.
    max_log_lines : int
        Lines of a file that `adaptive_scheduler.widgets.log_explorer` shows.
    quiet : bool
        Do not print which partition is used.
    extra_run_manager_kwargs, extra_scheduler_kwargs : mapping, optional
        More arguments of `RunManager` and of `SLURM`.

    Returns
    -------
    RunManager
        Not started.

    Raises
    ------
    InputError
        An argument is wrong; nothing was written or submitted.
    """
    given = dict(locals())
    scheduler = slurm_scheduler({one: given[one] for one in _OF_JOBS}, extra_scheduler_kwargs)
    if partition is None and not quiet:
        print(f"Partition {scheduler.partition!r}, {scheduler.cores_per_node} cores on each node.")
    take_former({one: given[one] for one in _USUAL if one in given}, _USUAL | {"quiet": quiet})
    options: dict[str, Any] = {one: given[one] for one in _OF_RUNS}
    if initializers and len(initializers) == len(learners):  # there, one for each learner
        options["initializers"] = [[one] if callable(one) else one for one in initializers]
    options["save_dataframe"] = save_dataframe and importlib.util.find_spec("pandas") is not None
    options |= {"max_jobs": max_simultaneous_jobs, "max_fails": max_fails_per_job}
    options |= {"interval": job_manager_interval, "name": name, "max_log_lines": max_log_lines}
    if folder:
        options["folder"] = _own_folder(Path(folder), name, fnames, learners)
    return RunManager(scheduler, learners, fnames, **_updated(options, extra_run_manager_kwargs))


def _updated(options: Mapping[str, Any], more: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return options with others in their place, which may have their other names."""
    from adaptive_scheduler.core.options.aliases import ALIASES

    return {**options, **{ALIASES.get(name, name): value for name, value in (more or {}).items()}}


def _own_folder(folder: Path, name: str, fnames: Any, learners: Any) -> Path:
    """Return the folder of the run: several runs may have one `folder`, as there."""
    if folder.is_file():
        raise InputError(f"folder={str(folder)!r} is a file.")
    wanted = RunFolder(folder.expanduser().absolute() / name)
    found = folder_of(wanted, absolute_fnames(fnames, list(learners)))
    if found.home != wanted.home:
        print(moved(wanted, found))
    return found.home
