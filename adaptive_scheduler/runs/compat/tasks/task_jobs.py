"""The run of a `SlurmExecutor`: tasks in jobs, in the words of a `RunManager`."""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.core.paths import DATABASE_NAME, RunFolder
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.core.times import TimeLike
from adaptive_scheduler.errors import AdaptiveSchedulerError, InputError, RunError
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.runs.compat.batch.node_sizes import refuse_too_large
from adaptive_scheduler.runs.compat.job_waits import seconds_in_queue
from adaptive_scheduler.runs.compat.learners.members import FORMATS
from adaptive_scheduler.runs.compat.learners.rows import DatabaseView, files_of_job
from adaptive_scheduler.runs.compat.learners.run_task import NOT_OVER, RunTask
from adaptive_scheduler.runs.compat.tasks.groups import TaskGroups
from adaptive_scheduler.runs.compat.tasks.slurm_task import SlurmTask
from adaptive_scheduler.runs.driver.executor import Executor
from adaptive_scheduler.runs.load_data import import_pandas
from adaptive_scheduler.runs.manager_client import ManagerClient, Rows
from adaptive_scheduler.runs.views.status import RunSnapshot, RunStatus

if TYPE_CHECKING:
    import pandas as pd

    from adaptive_scheduler.runs.compat.batch.public_scheduler import PublicScheduler

#: Seconds between two looks of who awaits the run.
PAUSE = 0.5
#: Seconds that a job without tasks stays: others may wait for its cores, and few tasks come later.
IDLE = 3.0


@dataclass
class WaitingTask:
    """A call that was submitted before its run was started."""

    task: SlurmTask
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True)
class TaskSettings:
    """What the run of a `SlurmExecutor` is told.

    Attributes
    ----------
    name : str
    folder : Path
        Its own.
    size : int, optional
        Tasks of a group; a job holds no more at a time.
    most_jobs : int
    interval : float
        Seconds between two listings of the queue.
    retries : int
    """

    name: str
    folder: Path
    size: int | None
    most_jobs: int
    interval: Any
    retries: int = 0


class TaskRunManager:
    """What `SlurmExecutor.finalize` returns: its run, to be watched and cancelled as a `RunManager`.

    Parameters
    ----------
    settings : TaskSettings
    scheduler : PublicScheduler
        With the resources of each group of tasks.
    groups : TaskGroups
    """

    def __init__(
        self, settings: TaskSettings, scheduler: PublicScheduler, groups: TaskGroups
    ) -> None:
        self.scheduler, self.job_name = scheduler, settings.name
        self._settings, self._groups = settings, groups
        self._waiting: list[WaitingTask] = []
        self._tasks: list[SlurmTask] = []
        self._executor: Executor | None = None
        self._pools = _Pools(settings, scheduler)
        self._times: list[float] = []
        self._lock = threading.RLock()

    #: Of a run of learners that saves tables; this one's are made when they are asked for.
    save_dataframe, dataframe_format = False, "pickle"

    # -------------------------------------------------------------------- tasks

    def add(self, call: WaitingTask) -> None:
        """Send a task, or keep it until the start."""
        with self._lock:
            self._tasks.append(call.task)
            if self._executor is None:
                self._waiting.append(call)
            else:
                self._send(self._executor, call)

    def _send(self, executor: Executor, call: WaitingTask) -> None:
        if call.task.cancelled():
            call.task.set_running_or_notify_cancel()
            return
        group = self._groups.group_of(call.task.task_id)
        options = self._pools.options_for(executor, group)
        view = executor.options(retries=self._settings.retries, **options)
        call.task.follow(view.submit(call.function, *call.args, **call.kwargs))

    def start(self, wait_for: Any = None) -> TaskRunManager:
        """Start jobs, and send all tasks that wait.

        Parameters
        ----------
        wait_for : RunManager, optional
            Wait until that run has ended, in a thread.
        """
        if wait_for is not None:
            threading.Thread(target=self._start_after, args=(wait_for,), daemon=True).start()
            return self
        with self._lock:
            if self._executor is None:
                self._begin()
                self._executor = self._pools.executor()
                self._times.append(time.time())
                waiting, self._waiting = self._waiting, []
                for call in waiting:
                    self._send(self._executor, call)
        return self

    def _begin(self) -> None:
        """Find what jobs are needed; if that is refused, no future waits for them."""
        try:
            self._pools.begin(self._groups.count())
        except InputError as error:
            refused, self._waiting = self._waiting, []
            for call in refused:
                if not call.task.done():
                    call.task.set_exception(error)
            raise

    @property
    def is_refused(self) -> bool:
        """Whether `start` refused what the tasks ask for."""
        return self._executor is None and bool(self._tasks) and not self._waiting

    def _start_after(self, other: Any) -> None:
        other.wait()
        self.start()

    def close(self, wait: bool, cancel_futures: bool) -> None:
        """Take no more tasks; see `Executor.shutdown`."""
        if cancel_futures:
            for task in self._tasks:
                task.cancel()
        if self._executor is not None:
            self._executor.shutdown(wait, cancel_futures=cancel_futures)

    def cancel(self) -> None:
        """Cancel all tasks, and end the jobs."""
        for task in self._tasks:
            task.cancel()
        if self._executor is not None:
            viewer = ManagerClient(self._executor.folder)
            if viewer.lives():
                viewer.cancel()
            self._executor.shutdown(wait=False)

    def cleanup(self, *, remove_old_logs_folder: bool = False) -> None:
        """Remove the run's folder.

        Raises
        ------
        RunError
            Tasks have not ended.
        """
        del remove_old_logs_folder
        if str(self.status()) in NOT_OVER and self.is_started:
            raise RunError(
                f"cleanup: the tasks in {self._settings.folder} have not ended. cancel() them."
            )
        if self._executor is not None:
            self._executor.shutdown()
            viewer = ManagerClient(self._executor.folder)
            while viewer.lives():
                time.sleep(PAUSE / 5)
        shutil.rmtree(self._settings.folder, ignore_errors=True)

    # ------------------------------------------------------------------- a RunManager's

    @property
    def folder(self) -> RunFolder:
        """Every path of the run."""
        return RunFolder(self._settings.folder / DATABASE_NAME)

    @property
    def job_names(self) -> list[str]:
        """What its jobs are called in the queue."""
        return [self.job_name]

    @property
    def learners(self) -> list[Any]:
        """None: tasks are no learners here."""
        return []

    @property
    def fnames(self) -> list[str]:
        """None, likewise."""
        return []

    @property
    def is_started(self) -> bool:
        """Whether the tasks were sent."""
        return self._executor is not None

    @property
    def awaits_start(self) -> bool:
        """Whether `start` is still to be called."""
        return not self.is_started

    @property
    def task(self) -> RunTask | None:
        """The end of all tasks, to be awaited; None before the start."""
        return RunTask(self.status, self._wait, self.cancel) if self.is_started else None

    def task_status(self) -> None:
        """Print how the run stands; its manager is a process of its own."""
        print(repr(self.status()))

    def status(self) -> RunStatus:
        """Return ``not started``, ``running``, ``held``, ``finished``, ``failed`` or ``cancelled``, with details."""
        if not self.is_started:
            return RunStatus("not started", f"{counted(len(self._tasks), 'task')}; call start().")
        found = Counter(_word(task) for task in self._tasks)
        text = ", ".join(f"{n} {word}" for word, n in sorted(found.items())) or "no tasks"
        if found["running"] and (why := self._why_held()):
            return RunStatus("held", f"{text}\n{why}")
        order = ("running", "cancelled", "failed")
        return RunStatus(next((word for word in order if found[word]), "finished"), text)

    def _why_held(self) -> str:
        """Return why nothing is submitted; "" if that is not so, or nobody knows."""
        assert self._executor is not None
        try:
            notes = ManagerClient(self._executor.folder).snapshot("none").notes
        except AdaptiveSchedulerError:  # its manager has just ended
            return ""
        return "\n".join(note for note in notes if note.startswith("held:"))

    def elapsed_time(self) -> float:
        """Return the seconds since the start, or from the start to the end."""
        if not self._times:
            return 0.0
        if str(self.status()) not in NOT_OVER and len(self._times) == 1:
            self._times.append(time.time())
        end = time.time() if str(self.status()) in NOT_OVER else self._times[1]
        return end - self._times[0]

    def wait(self, timeout: float | None = None) -> RunStatus:
        """Wait until all tasks have ended; TimeoutError if they have not within `timeout` seconds."""
        from concurrent.futures import wait

        if wait(self._tasks, timeout).not_done:
            raise TimeoutError(f"not over after {timeout:g} s: {self.status()!r}")
        return self.status()

    async def _wait(self) -> RunStatus:
        import asyncio

        while not all(task.done() for task in self._tasks):
            await asyncio.sleep(PAUSE)
        return self.status()

    def __await__(self) -> Any:
        return self._wait().__await__()

    def info(self, interval: TimeLike = 2.0, format: str = "widget") -> Any:  # noqa: A002
        """Show how the tasks stand, as `Executor.info` does; ``"text"`` and ``"data"`` return it."""
        chosen = interval if interval in FORMATS else format
        if chosen not in FORMATS:
            raise InputError(f"format={format!r} must be one of {', '.join(map(repr, FORMATS))}.")
        if chosen != "widget":
            return self.status().text if chosen == "text" else self.status()
        if self._executor is None or not self.folder.config.exists():
            print(repr(self.status()))
        else:
            self._executor.info(2.0 if interval == "widget" else interval)
        return None

    def __repr__(self) -> str:
        return f"TaskRunManager {self.job_name!r} in {self._settings.folder}: {self.status()!r}"

    def _repr_html_(self) -> str:
        return self.status()._repr_html_()

    # ------------------------------------------------------------------- its tables

    @property
    def database_manager(self) -> DatabaseView:
        """What the database says of each task."""
        return DatabaseView(self._rows, self.parse_log_files)

    def _rows(self) -> list[dict[str, Any]]:
        if self._executor is None:
            return []
        table, logs = self._executor.tasks(), Path(read_config(self.folder).log_folder)
        return [
            {
                **row,
                "is_done": row["state"] == "done",
                "phase": row["state"],
                "job_id": row["job"],
                "job_name": self.job_name if row["job"] else None,
                **files_of_job(row["job"], logs),
            }
            for row in table
        ]

    def get_database(self) -> pd.DataFrame:
        """Return the table of all tasks."""
        return self.database_manager.as_df()

    def parse_log_files(self, *, only_last: bool = True) -> pd.DataFrame:
        """Return the table of all tasks: they have no progress but their end."""
        del only_last
        return self.get_database()

    def load_learners(self) -> list[Any]:
        """Return no learners: values are in the futures."""
        return []

    def job_starting_times(self) -> list[float]:
        """Return for each job that has begun the seconds that it waited, also after the end of the run."""
        return [] if self._executor is None else seconds_in_queue(self.folder)

    def snapshot(self, rows: Rows = "active") -> RunSnapshot:
        """Return how the run stands; see `RunManager.snapshot`."""
        with ManagerClient(self.folder) as client:
            return client.snapshot(rows)

    def load_dataframes(self) -> pd.DataFrame:
        """Return a table of the values there are, by the number of their task."""
        done = [task for task in self._tasks if _word(task) == "finished"]
        rows = [{"task": task.task_id.sequence_index, "function": task.task_id.learner_index,
                 "y": task.result()} for task in done]  # fmt: skip
        return import_pandas().DataFrame(rows)


def _word(task: SlurmTask) -> str:
    if not task.done():
        return "running"
    if task.cancelled():
        return "cancelled"
    return "finished" if task.exception() is None else "failed"


class _Pools:
    """One pool of jobs for each different request for resources."""

    def __init__(self, settings: TaskSettings, scheduler: PublicScheduler) -> None:
        self._settings, self._scheduler = settings, scheduler
        self._shapes: list[Any] = []
        self._shape_of: list[int] = []
        self._schedulers: list[PublicScheduler] = []
        self._jobs: list[int] = []

    def begin(self, groups: int) -> None:
        """Find the requests of so many groups of tasks, by what callables give now; refuse what never starts."""
        n = max(1, groups)
        now = self._scheduler.resolved() if self._scheduler.has_callables else self._scheduler
        self._shapes, self._shape_of = now.shapes(n)
        refuse_too_large(self._shapes)
        firsts = [self._shape_of.index(shape) for shape in range(len(self._shapes))]
        self._schedulers = [now.of_learner(first) for first in firsts]
        self._jobs = [
            self._fair(self._shape_of.count(shape), n) for shape in range(len(self._shapes))
        ]

    def _fair(self, groups: int, of: int) -> int:
        """A job for each group, but no more than its part of all jobs that there may be."""
        return min(groups, max(1, self._settings.most_jobs * groups // of))

    def executor(self) -> Executor:
        """Start the run with the first pool, and add the others."""
        settings = self._settings
        made = Executor(
            self._schedulers[0], settings.folder, name=settings.name, pool=_pool(0),
            interval=settings.interval, **self._of_pool(0), max_jobs=self._jobs[0],
        )  # fmt: skip
        for shape in range(1, len(self._shapes)):
            self._add(made, shape)
        return made

    def _of_pool(self, shape: int) -> dict[str, Any]:
        return {"accepts": [_pool(shape)], "batch_size": self._settings.size, "idle": IDLE}

    def _add(self, executor: Executor, shape: int) -> None:
        executor.add_pool(
            self._schedulers[shape], self._jobs[shape], name=_pool(shape), **self._of_pool(shape)
        )

    def options_for(self, executor: Executor, group: int) -> dict[str, Any]:
        """Return the options of the tasks of a group; one that is new may have a job of its own."""
        while group >= len(self._shape_of):
            if not self._scheduler.single_job_script:
                raise InputError(
                    f"Resources were given as tuples of {len(self._shape_of)} values, one for each group of "
                    "tasks, and this task is of one more. Give it to another SlurmExecutor."
                )
            self._shape_of.append(0)
            if self._jobs[0] < self._settings.most_jobs:
                self._jobs[0] += 1
                self._add(executor, 0)
        shape = self._shape_of[group]
        asked = self._shapes[shape]
        threads = asked.num_threads
        if asked.executor_type == "sequential":  # the task uses the node's cores itself
            threads *= asked.cores_on_each
        resources = TaskResources(threads_per_rank=threads)
        return {"tag": _pool(shape), "resources": resources}


def _pool(shape: int) -> str:
    return f"jobs-{shape}"
