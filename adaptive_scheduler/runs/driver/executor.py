"""`Executor`: a `concurrent.futures.Executor` whose calls are tasks of a run."""

from __future__ import annotations

import os
import uuid
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Executor as BaseExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from adaptive_scheduler.core import paths
from adaptive_scheduler.core.config import Timing
from adaptive_scheduler.core.options.checks import duration
from adaptive_scheduler.core.options.keywords import accept_aliases
from adaptive_scheduler.core.reasons.explanation import Explanation
from adaptive_scheduler.core.tasks.pools import IDLE
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.times import TimeLike, seconds
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.runs.driver.closing import Closing
from adaptive_scheduler.runs.driver.future import TaskFuture, completed
from adaptive_scheduler.runs.driver.pools import RunPools, pool_where, where_to_run
from adaptive_scheduler.runs.driver.settings import Settings
from adaptive_scheduler.runs.driver.task_book import TaskBook
from adaptive_scheduler.runs.driver.tasks.tasks_of_run import TasksOfRun
from adaptive_scheduler.runs.sites.find_site import (
    closed_if_refused,
    site_for,
    site_of,
    views_of,
)
from adaptive_scheduler.runs.views import notebook
from adaptive_scheduler.schedulers.base import Scheduler
from adaptive_scheduler.schedulers.here import Here

#: The pool of an executor's own scheduler, unless it is named.
FIRST_POOL = "pool"


class Executor(BaseExecutor):
    """Runs calls and commands as tasks of a run.

    Parameters
    ----------
    scheduler : Here or Scheduler, optional
        Where tasks run: ``scheduler.Here(slots=4)``, or in jobs: ``SLURM(...)``, ``PBS(...)`` or
        ``LocalScheduler(...)``, with the resources of each job. Default: this machine.
    folder : path-like, optional
        The run's folder; one that has a run of tasks is carried on: with ``key=`` of
        `options`, tasks that it has already are not run again. All nodes must see it.
        On another host: ``"ssh://user@host:port/path"``; see docs/remote.md.
    python : str, optional
        For a run on another host: the path there of the Python that has this package. Default:
        that with which the run was begun, else ``python3``.
    name : str
        What the run and its jobs are called; it also names the default folder.
    pool : str
        Name of the pool of `scheduler`, by which it can be changed and removed; `Here` cannot be.
    max_jobs : int
        Most jobs in the queue at a time, waiting ones included.
    min_jobs : int
        Jobs that are there also when there is nothing to do.
    idle : float, str or timedelta
        Time after which a job without tasks ends.
    accepts : list of str, optional
        Tags of the tasks that its jobs take; default: all tasks.
    batch_size, threshold : int, optional
        How many tasks a job holds, and when it gets more: see `add_pool`.
    interval : float, str or timedelta
        Longest time between two listings of the queue.
    driver_patience : float, str or timedelta
        Time after which a run ends that has nothing to do and no program like this one.
    max_workers : int, optional
        The same as ``Here(slots=max_workers)``, for who comes from `concurrent.futures`.
    initializer : callable, optional
        Each worker calls ``initializer(*initargs)`` before its first task.
    initargs : tuple
        What `initializer` is called with.

    Notes
    -----
    A function is pickled at its first `submit`; what it refers to is as it was then.

    Examples
    --------
    >>> with Executor(scheduler.Here(slots=4), folder="powers") as executor:
    ...     print(executor.submit(pow, 2, 5).result())
    32
    """

    @accept_aliases()
    def __init__(
        self,
        scheduler: Here | Scheduler | None = None,
        folder: str | os.PathLike[str] | None = None,
        *,
        python: str | None = None,
        name: str = "tasks",
        pool: str = FIRST_POOL,
        max_jobs: int = 1,
        min_jobs: int = 0,
        idle: TimeLike = IDLE,
        accepts: Sequence[str] = (),
        batch_size: int | None = None,
        threshold: int = 1,
        interval: TimeLike = 30.0,
        driver_patience: TimeLike = 3600.0,
        max_workers: int | None = None,
        initializer: Callable[..., Any] | None = None,
        initargs: tuple[Any, ...] = (),
    ) -> None:
        where = where_to_run(scheduler, max_workers)
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        timing = Timing(
            interval=duration(interval, "interval"),
            driver_patience=duration(driver_patience, "driver_patience"),
            kill_wait=where.kill_wait if isinstance(where, Scheduler) else Timing().kill_wait,
        )
        made = pool_where(pool, where, (min_jobs, max_jobs), accepts, (batch_size, threshold), idle)
        initializers = [partial(initializer, *initargs)] if initializer is not None else []
        site = site_for(folder, name, where, python)
        with closed_if_refused(site):
            site.start(name, where if isinstance(where, Scheduler) else None, timing)
            book = TaskBook(site, name, initializers)
        self._open(book, Closing(book, closes_run=True, waits=True, stops=True))
        try:
            self._pools.let_run(made, where)
        except BaseException:
            self._closing.leave()
            raise

    def _open(self, book: TaskBook, closing: Closing) -> None:
        self._book = book
        self.folder = book.site.folder
        self._tasks = TasksOfRun(book)
        self._settings = Settings()
        self._closing = closing
        self._pools = RunPools(book, closing.heads)
        weakref.finalize(self, self._closing.begin).atexit = False
        book.start()

    @classmethod
    def attach(
        cls, folder: str | os.PathLike[str] | None = None, *, python: str | None = None
    ) -> Executor:
        """Return an executor on a run that exists: `futures` has its tasks.

        Its end does not end the run, and waits for no task. If the run has no manager, one is
        started. In a task, the folder may be left out: it is that of the task's own run.

        Parameters
        ----------
        folder : path-like, optional
            On another host: ``"ssh://user@host:port/path"``.
        python : str, optional
            On another host, as `Executor` takes it.

        Raises
        ------
        InputError
            There is no run, or it is one of learners.
        FarHostError
            The other host cannot be used.
        """
        self = cls.__new__(cls)
        site = site_of(_folder_of(folder), python)
        with closed_if_refused(site):
            if not site.exists():
                raise InputError(
                    f"folder={site.name}: there is no run. Executor(folder=...) begins one."
                )
            starts, was_closed = not site.lives(), site.is_closed()
            site.start("tasks")
            book = TaskBook(site, "tasks", [])
        self._open(
            book, Closing(book, closes_run=was_closed, waits=False, stops=starts or was_closed)
        )
        book.keeper.tell_if_stuck(at_once=True)
        return self

    @property
    def futures(self) -> list[TaskFuture[Any]]:
        """New futures of all tasks that the run has, in the order of their ids."""
        return self._tasks.futures()

    def futures_of(self, keys: Collection[str]) -> dict[str, TaskFuture[Any]]:
        """Return new futures of the tasks that have one of these keys, by their keys."""
        return self._tasks.futures_of(keys)

    # ------------------------------------------------------------------- where tasks run

    @accept_aliases()
    def add_pool(
        self,
        scheduler: Here | Scheduler,
        jobs: int = 1,
        *,
        name: str | None = None,
        min_jobs: int = 0,
        accepts: Sequence[str] = (),
        batch_size: int | None = None,
        threshold: int = 1,
        idle: TimeLike = IDLE,
    ) -> str:
        """Let tasks run in more jobs, also of another shape, or on this machine.

        Parameters
        ----------
        scheduler : Here or Scheduler
            With the resources of each job; of the same kind as the other ones of this run.
        jobs : int
            Most jobs in the queue at a time, waiting ones included.
        name : str, optional
            By which it can be changed and removed. One that exists is changed.
        min_jobs : int
            Jobs that are there also when there is nothing to do.
        accepts : list of str, optional
            Tags of the tasks that it takes; default: all tasks.
        batch_size : int, optional
            Tasks that one job holds at most, whether they run or wait there. Default: as many as it
            can run, and of short ones a few more.
        threshold : int
            A job gets tasks only when it has room for at least so many.
        idle : float, str or timedelta
            Time after which a job without tasks ends.

        Returns
        -------
        str
            Its name.
        """
        chosen = f"{FIRST_POOL}-{uuid.uuid4().hex[:6]}" if name is None else name
        pool = pool_where(
            chosen, scheduler, (min_jobs, jobs), accepts, (batch_size, threshold), idle
        )
        self._pools.let_run(pool, scheduler)
        return chosen

    def remove_pool(self, name: str) -> None:
        """Let a pool end: it is given nothing more, and its jobs end with what runs in them."""
        self._pools.remove(name)

    def __repr__(self) -> str:
        unfinished = self._tasks.count_unfinished(only_own=self._closing.waits)
        return (
            f"<Executor of {self._book.site.name} on {self._pools}: {unfinished} tasks have not ended"
            f"{', and it takes no more' if self._closing.is_shut else ''}>"
        )

    def info(self, interval: TimeLike = 2.0) -> None:
        """Show the run of these tasks: in a notebook as a view that updates itself, else as text.

        Parameters
        ----------
        interval : float, str or timedelta
            Time between two updates.
        """
        site, every = self._book.site, seconds(interval, "interval")
        notebook.show(lambda: views_of(site, every), site.snapshot, every)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any] | None:
        """In a notebook: the same as `info`."""
        return notebook.widget_of(lambda: views_of(self._book.site, 2.0), 2.0)

    # ------------------------------------------------------------------- tasks in

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> TaskFuture[Any]:
        """Let ``fn(*args, **kwargs)`` run as a task."""
        self._check_open(fn)
        return self._book.submit(self._settings, fn, args, kwargs)

    def _check_open(self, fn: Any) -> None:
        if self._closing.is_shut:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if not callable(fn):
            raise TypeError(f"{fn!r} is not callable")

    def submit_many(self, fn: Callable[..., Any], iterable: Iterable[Any]) -> list[TaskFuture[Any]]:
        """Submit ``fn(x)`` for each x; a dict is given to a `Command` as its parameters.

        One that cannot be sent has an error as its result, and does not hinder the others.
        """
        self._check_open(fn)
        return self._book.submit_many(self._settings, fn, iterable)

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[Any]:
        """Return the values of ``fn`` in the order of its arguments; see `concurrent.futures`.

        Tasks travel by the thousand anyway, so `chunksize` changes nothing.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        return super().map(fn, *iterables, timeout=timeout)

    @accept_aliases()
    def options(
        self,
        *,
        priority: float | None = None,
        tag: str | None = None,
        name: str | None = None,
        resources: TaskResources | None = None,
        retries: int | None = None,
        max_crashes: int | None = None,
        delay: TimeLike | None = None,
        timeout: TimeLike | None = None,
        key: str | None = None,
        after: Sequence[TaskFuture[Any]] | None = None,
    ) -> Executor:
        """Return a view of this executor that submits with other settings; those left out stay.

        Parameters
        ----------
        priority : float
            The highest goes first.
        tag : str
            A word by which pools choose tasks (`accepts`), and commands find them.
        name : str
            What people, and commands such as ``task RUN NAME``, call it.
        resources : TaskResources
            What it occupies in its job: nodes, ranks, cores, GPUs, memory. Default: one core.
        retries : int
            Times that it is tried again after it failed; 0 unless given.
        max_crashes : int
            Times that it is tried again after the process that ran it died. Unless given: as
            `retries`, and once at least.
        delay : float, str or timedelta
            Time until it is tried again after it failed or its process died.
        timeout : float, str or timedelta
            How long it may run; then it has failed. Default: no limit.
        key : str
            A second task of the same key is the first one: it is not run again.
        after : sequence of TaskFuture
            Tasks that must have succeeded before; if one fails, this one fails too.
        """
        given = {
            "priority": priority, "tag": tag, "name": name, "resources": resources,
            "retries": retries, "max_crashes": max_crashes, "delay": delay, "timeout": timeout,
            "key": key, "after": after,
        }  # fmt: skip
        chosen = {option: value for option, value in given.items() if value is not None}
        view = _View.__new__(_View)
        view.__dict__.update(
            self.__dict__, _settings=self._settings.with_options(chosen), _whole=self
        )
        return view

    # ------------------------------------------------------------------- results out

    def as_completed(
        self,
        futures: Iterable[TaskFuture[Any]],
        n: int | None = None,
        *,
        pop: bool = False,
        timeout: float | None = None,
    ) -> Iterator[TaskFuture[Any]]:
        """Yield futures as they end.

        Parameters
        ----------
        futures : iterable of TaskFuture
        n : int, optional
            Only so many.
        pop : bool
            Remove those from the list `futures`, at the end of the loop.
        timeout : float, optional
            Seconds, for all together.
        """
        if n is not None and (not isinstance(n, int) or n < 0):
            raise InputError(f"as_completed(..., n={n!r}): n must be a whole number, 0 or more.")
        if pop and not isinstance(futures, list):
            raise InputError("as_completed(..., pop=True) needs a list, from which it can remove.")
        return completed(futures, n, pop, timeout)

    def update_priorities(
        self, futures: Sequence[TaskFuture[Any]], priorities: Iterable[float]
    ) -> None:
        """Give tasks that wait new priorities."""
        self._book.prioritise(list(futures), list(priorities))

    def tasks(self, state: str | None = None, tag: str | None = None) -> list[dict[str, Any]]:
        """Return a table of the tasks, in the order of their ids; times are seconds since 1970.

        Each row has task, state, tag, name, key, priority, attempts, job, node, pid, created,
        handed_out, begun, ended, collected (by a driver, for the first time), seconds and reason.

        Parameters
        ----------
        state : str, optional
            Only ``waiting``, ``queued``, ``running``, ``done``, ``failed`` or ``cancelled`` ones.
        tag : str, optional
            Only those of this tag.
        """
        return self._tasks.table(state, tag)

    def explain(self, task: TaskFuture[Any] | int) -> Explanation:
        """Say why a task does not run, or is not done, and what to do; printed, it is a paragraph.

        Its ``cause`` is one of those in docs/explain.md, its ``reasons`` are all that hold.

        Parameters
        ----------
        task : TaskFuture or int
            A future of this run, or the id of a task.

        Raises
        ------
        InputError
            The run has no such task.
        """
        return self._tasks.explain(task)

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write a report of the run so far: one HTML file that opens anywhere, also offline.

        It shows which jobs ran what and when, what became of the cores, waiting times, the slowest
        tasks, failures with their tracebacks, and the settings. A path that ends in ``.json`` or
        ``.md`` gives the same numbers for programs, or as Markdown.

        Parameters
        ----------
        path : path-like
            The file, on this machine, which is replaced; its folder must exist.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        InputError
            It cannot be written there.
        """
        from adaptive_scheduler.runs.report.write import save_report  # with what it draws

        return save_report(self._book.site.report, path)

    # ------------------------------------------------------------------- the end

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait until all tasks have ended; after a Ctrl-C do not wait, and leave them in the run."""
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self._closing.leave()
        else:
            self.shutdown()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks; with `wait`, until all have ended.

        Parameters
        ----------
        wait : bool
        cancel_futures : bool
            Cancel tasks that have not been handed out.
        """
        if cancel_futures and not self._closing.is_shut:
            self._book.withdraw_waiting()
        if wait:
            self._closing.finish()
        elif not self._closing.is_shut:
            self._closing.begin()


class _View(Executor):
    """An executor with other settings; it keeps the whole one alive."""

    _whole: Executor


def _folder_of(folder: str | os.PathLike[str] | None) -> str | os.PathLike[str]:
    """Return the folder that was given, or that of the run whose task this is."""
    found = os.environ.get(paths.RUN_VARIABLE) if folder is None else folder
    if found is None:
        raise InputError("Executor.attach(): give the folder of a run; this is no task of one.")
    return found
