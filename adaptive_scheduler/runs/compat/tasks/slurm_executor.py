"""`SlurmExecutor`: tasks in jobs of Slurm, with the fields of adaptive-scheduler 2."""

from __future__ import annotations

import copy
import os
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor as BaseExecutor
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from adaptive_scheduler.core.options.aliases import REPLACED
from adaptive_scheduler.core.options.checks import count, optional
from adaptive_scheduler.core.paths import DATABASE_NAME
from adaptive_scheduler.core.times import TimeLike
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.runs.compat.batch.slurm_scheduler import slurm_scheduler
from adaptive_scheduler.runs.compat.learners.accepted import USUAL, say_once, take_former
from adaptive_scheduler.runs.compat.tasks.groups import TaskGroups
from adaptive_scheduler.runs.compat.tasks.slurm_task import SlurmTask
from adaptive_scheduler.runs.compat.tasks.task_jobs import (
    TaskRunManager,
    TaskSettings,
    WaitingTask,
)

#: Fields that have no effect on tasks, with what they are by default.
_IGNORED: Mapping[str, Any] = {
    **{name: value for name, value in USUAL.items() if name not in ("db_fname", "move_old_logs_to")},
    "cleanup_first": True, "quiet": True, "goal": None, "check_goal_on_start": True, "url": None,
    "save_interval": 300, "log_interval": 300, "overwrite_db": True, "save_dataframe": False,
    "dataframe_format": "pickle", "extra_run_manager_kwargs": None,
    "max_fails_per_job": 50,
}  # fmt: skip
#: What there is instead.
_INSTEAD: Mapping[str, str] = {
    **REPLACED,
    "dataframe_format": "the values of tasks are in their futures",
    "executor_type": "each core of a job runs a task, in a process of its own",
    "extra_run_manager_kwargs": "a run of tasks has no RunManager of learners",
    "goal": "a task has ended when its function has returned",
    "log_interval": "tasks have no progress but their end",
    "max_fails_per_job": "give runner_kwargs={'retries': 2}, the times that a task is tried again",
    "max_log_lines": "`adaptive-scheduler logs` shows what jobs printed",
    "runner_kwargs": "only 'retries' of it counts",
    "save_dataframe": "the values of tasks are in their futures; load_dataframes() makes a table of them",
    "save_interval": "the value of a task is on disk when it has ended",
    "url": "the manager chooses a free port",
}
_OF_JOBS = (
    "partition", "nodes", "cores_per_node", "memory", "num_threads", "exclusive", "extra_scheduler",
    "extra_env_vars",
)  # fmt: skip


@dataclass(eq=False)
class SlurmExecutor(BaseExecutor):
    """Runs calls as tasks in jobs of Slurm, which start when `finalize` is called.

    Fields that may be a tuple have one value for each group of tasks: the tasks of one function, or
    `size_per_learner` of them. `Executor` does the same without groups and `finalize`.

    Parameters
    ----------
    name : str
        What the jobs are called.
    folder : path-like, optional
        Where the run's folder goes. Default: a new one in ``.adaptive_scheduler`` in the working directory.
    partition, nodes, cores_per_node, memory, num_threads, exclusive, extra_scheduler, extra_env_vars
        See `adaptive_scheduler.slurm_run`.
    executor_type : str or tuple
        ``"sequential"``: a task has all cores of its job's node. Others have no effect: each core runs a task.
    runner_kwargs : mapping, optional
        ``{"retries": 2}``: times that a task is tried again after it raised.
    job_manager_interval, max_simultaneous_jobs
        Longest time between two listings of the queue; most jobs.
    size_per_learner : int, optional
        Tasks of one group. There are as many jobs as groups, and a job holds no more tasks at a time.
    extra_scheduler_kwargs : mapping, optional
        More arguments of `SLURM`.
    goal, check_goal_on_start, url, save_interval, log_interval, kill_interval, kill_on_error
        Of adaptive-scheduler 2; they have no effect.
    overwrite_db, job_manager_kwargs, kill_manager_kwargs, loky_start_method, cleanup_first
        Of adaptive-scheduler 2; they have no effect.
    save_dataframe, dataframe_format, max_log_lines, max_fails_per_job, quiet, extra_run_manager_kwargs
        Of adaptive-scheduler 2; they have no effect.

    Examples
    --------
    >>> executor = SlurmExecutor(name="powers", cores_per_node=4)
    >>> tasks = [executor.submit(pow, 2, n) for n in range(100)]
    >>> run_manager = executor.finalize()
    >>> values = [task.result() for task in tasks]
    """

    name: str = "adaptive-scheduler"
    folder: str | os.PathLike[str] | None = None
    partition: str | tuple[Any, ...] | None = None
    nodes: int | tuple[Any, ...] | None = 1
    cores_per_node: int | tuple[Any, ...] | None = 1
    memory: int | str | tuple[Any, ...] | None = None
    num_threads: int | tuple[Any, ...] = 1
    exclusive: bool | tuple[Any, ...] = False
    executor_type: Any = "process-pool"
    extra_scheduler: Sequence[str] | tuple[Any, ...] | None = None
    extra_env_vars: Mapping[str, object] | Sequence[str] | tuple[Any, ...] | None = None
    goal: Any = None
    check_goal_on_start: bool = True
    runner_kwargs: Mapping[str, Any] | None = None
    url: str | None = None
    save_interval: TimeLike = 300
    log_interval: TimeLike = 300
    job_manager_interval: TimeLike = 30
    kill_interval: TimeLike = 60
    kill_on_error: Any = "srun: error:"
    overwrite_db: bool = True
    job_manager_kwargs: Mapping[str, Any] | None = None
    kill_manager_kwargs: Mapping[str, Any] | None = None
    loky_start_method: str = "loky"
    cleanup_first: bool = True
    save_dataframe: bool = False
    dataframe_format: str = "pickle"
    max_log_lines: int = 500
    max_fails_per_job: int = 50
    max_simultaneous_jobs: int = 100
    quiet: bool = True
    extra_run_manager_kwargs: Mapping[str, Any] | None = None
    extra_scheduler_kwargs: Mapping[str, Any] | None = None
    size_per_learner: int | None = None
    _run_manager: Any = field(default=None, repr=False)
    _groups: TaskGroups = field(init=False, repr=False)
    _waiting: list[WaitingTask] = field(default_factory=list, init=False, repr=False)
    _all_tasks: list[SlurmTask] = field(default_factory=list, init=False, repr=False)
    _is_shut: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.folder is None:
            new = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex}"
            self.folder = Path.cwd() / ".adaptive_scheduler" / new
        self.folder = Path(self.folder).expanduser().absolute()
        self._groups = TaskGroups(optional(count(1))(self.size_per_learner, "size_per_learner"))
        given = {one: getattr(self, one) for one in _IGNORED}
        take_former(given, _IGNORED, _INSTEAD, frozenset())
        if _needs_warning(self.executor_type):
            say_once("executor_type", _INSTEAD["executor_type"])
        if set(self.runner_kwargs or ()) - {"retries"}:
            say_once("runner_kwargs", _INSTEAD["runner_kwargs"])

    @property
    def is_started(self) -> bool:
        """Whether the tasks were sent to jobs."""
        return self._run_manager is not None and bool(self._run_manager.is_started)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> SlurmTask:
        """Let ``fn(*args, **kwargs)`` run as a task; before `finalize` it waits for that."""
        if self._is_shut:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if not callable(fn):
            raise TypeError(f"{fn!r} is not callable")
        task = SlurmTask(self, self._groups.add(fn))
        self._all_tasks.append(task)
        call = WaitingTask(task, fn, args, kwargs)
        if self._run_manager is None:
            self._waiting.append(call)
        else:
            self._run_manager.add(call)
        return task

    def map(  # type: ignore[override]
        self,
        fn: Callable[..., Any],
        /,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> list[SlurmTask]:
        """Submit ``fn`` for the arguments of each place; returns the tasks, not their values.

        Parameters
        ----------
        fn : callable
        *iterables
            Of equal length.
        timeout : None
            Give it to ``task.result(timeout)``.
        chunksize : int
            Has no effect: tasks travel by the thousand anyway.
        """
        if chunksize != 1:
            say_once("chunksize", "tasks travel by the thousand anyway")
        if timeout is not None:
            raise InputError("map(timeout=...) returns at once: give the timeout to task.result().")
        return [self.submit(fn, *args) for args in zip(*iterables, strict=True)]

    def finalize(self, *, start: bool = True) -> TaskRunManager | None:
        """Start jobs for what was submitted; tasks may still be submitted afterwards.

        Parameters
        ----------
        start : bool
            False: ``start()`` of what is returned starts them.

        Returns
        -------
        TaskRunManager or None
            The run, in the words of a `RunManager`; None if nothing was submitted.

        Raises
        ------
        InputError
            A job would fit on no node of its partition; the tasks have failed with the same.
        """
        if self._run_manager is None:
            if not self._waiting:
                return None
            made = TaskRunManager(self._settings(), self._scheduler(), self._groups)
            for call in self._waiting:
                made.add(call)
            self._waiting, self._run_manager = [], made
        found: TaskRunManager = self._run_manager
        return found.start() if start else found

    def _settings(self) -> TaskSettings:
        folder = self.folder
        assert isinstance(folder, Path)
        kwargs = dict(self.runner_kwargs or {})
        return TaskSettings(
            name=self.name, folder=_free(folder / self.name), size=self.size_per_learner,
            most_jobs=self.max_simultaneous_jobs, interval=self.job_manager_interval,
            retries=kwargs.get("retries", 0),
        )  # fmt: skip

    def _scheduler(self) -> Any:
        given = {one: getattr(self, one) for one in _OF_JOBS}
        nodes = self.nodes if isinstance(self.nodes, tuple) else (self.nodes,)
        has_several = any(callable(one) or (one or 1) > 1 for one in nodes)
        # workers of tasks are started by the run itself: this only says how cores are asked for, and shared
        given["executor_type"] = "mpi4py" if has_several else _kinds(self.executor_type)
        return slurm_scheduler(given, self.extra_scheduler_kwargs)

    def cleanup(self) -> None:
        """Remove the folder of the run, which must have ended."""
        if self._run_manager is not None:
            self._run_manager.cleanup(remove_old_logs_folder=True)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks; with `wait`, until all have ended. Those that wait for `finalize` are started.

        Parameters
        ----------
        wait : bool
        cancel_futures : bool
            Cancel tasks that do not run yet.
        """
        if cancel_futures:
            for call in self._waiting:
                call.task.cancel()
            self._waiting.clear()
        self._is_shut = True
        if self._run_manager is not None and self._run_manager.is_refused:
            return  # finalize() has said so
        if isinstance(found := self.finalize(), TaskRunManager):
            found.close(wait, cancel_futures)

    def new(self, update: Mapping[str, Any] | None = None) -> SlurmExecutor:
        """Return another executor with the same fields, but for those in `update`."""
        own = {
            one.name: copy.deepcopy(getattr(self, one.name))
            for one in fields(SlurmExecutor)
            if not one.name.startswith("_")
        }
        return SlurmExecutor(**{**own, **(update or {})})


def _kinds(given: Any) -> Any:
    """Return ``"sequential"`` where that is given, and one name for all others."""
    if isinstance(given, tuple):
        return tuple(_kinds(one) for one in given)
    if callable(given):
        return lambda: _kinds(given())
    return given if given == "sequential" else "process-pool"


def _needs_warning(given: Any) -> bool:
    """Whether an ``executor_type`` says something that has no effect."""
    some = given if isinstance(given, tuple) else (given,)
    return any(
        one not in ("process-pool", "sequential", None) and not callable(one) for one in some
    )


def _free(wanted: Path) -> Path:
    """Return the folder, or one beside it if that has a run already: tasks of another are not joined."""
    number, found = 1, wanted
    while (found / DATABASE_NAME).exists():
        number += 1
        found = wanted.with_name(f"{wanted.name}-{number}")
    return found
