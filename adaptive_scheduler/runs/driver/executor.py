"""`Executor`: a `concurrent.futures.Executor` whose calls are tasks of a run."""

from __future__ import annotations

import itertools
import os
import subprocess
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor as BaseExecutor
from concurrent.futures import as_completed
from functools import partial
from typing import Any

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import TaskItem
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.storage import row_codec
from adaptive_scheduler.io.storage.read_only import read_tables
from adaptive_scheduler.io.system.processes import end_process, start_head
from adaptive_scheduler.runs.driver.future import TaskFuture
from adaptive_scheduler.runs.driver.settings import Settings
from adaptive_scheduler.runs.driver.start_run import start_run
from adaptive_scheduler.runs.driver.task_book import TaskBook
from adaptive_scheduler.runs.run_manager import run_folder
from adaptive_scheduler.schedulers.here import Here

#: Seconds that a head may take to end what runs in it.
HEAD_GRACE = 20.0


class _Closing:
    """What is to be done at the end of an executor: when it is shut, freed, or at Python's end."""

    def __init__(
        self, book: TaskBook, head: subprocess.Popen[bytes] | None, closes_run: bool
    ) -> None:
        self.is_shut = False
        self._book, self._head, self._closes_run = book, head, closes_run
        self._lock = threading.Lock()
        self._is_closed = False
        _open_ones.add(self)

    def begin(self) -> None:
        """Take no more tasks, and end when all have ended, beside what else is done here."""
        self.is_shut = True
        threading.Thread(target=self.finish, name="executor's end", daemon=True).start()

    def finish(self) -> None:
        """Wait until all tasks have ended, then end."""
        self.is_shut = True
        if self._closes_run:
            self._book.wait()
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._book.close(closes_run=self._closes_run and self._book.fault is None)
            if self._head is not None:
                end_process(self._head, HEAD_GRACE)
        _open_ones.discard(self)


_open_ones: set[_Closing] = set()


def _finish_all() -> None:
    """At Python's end: as its own executors, wait for what was submitted."""
    for closing in list(_open_ones):
        closing.is_shut = True
    for closing in list(_open_ones):
        closing.finish()


# as concurrent.futures does: before threads are joined, and long before `atexit`
threading._register_atexit(_finish_all)  # type: ignore[attr-defined]  # noqa: SLF001


class Executor(BaseExecutor):
    """Runs calls and commands as tasks of a run.

    Parameters
    ----------
    scheduler : Here, optional
        Where tasks run: ``scheduler.Here(slots=4)``. Default: this machine.
    folder : path-like, optional
        The run's folder; one that has a run of tasks is carried on: with ``key=`` of
        `options`, tasks that it has already are not run again.
    name : str
        Of the run, and of the default folder.
    max_workers : int, optional
        The same as ``Here(slots=max_workers)``, for who comes from `concurrent.futures`.
    initializer : callable, optional
        Each worker calls ``initializer(*initargs)`` before its first task.
    initargs : tuple

    Notes
    -----
    A function is pickled at its first `submit`; what it refers to is as it was then.

    Examples
    --------
    >>> with Executor(scheduler.Here(slots=4), folder="powers") as executor:
    ...     print(executor.submit(pow, 2, 5).result())
    32
    """

    def __init__(
        self,
        scheduler: Here | None = None,
        folder: str | os.PathLike[str] | None = None,
        *,
        name: str = "tasks",
        max_workers: int | None = None,
        initializer: Callable[..., Any] | None = None,
        initargs: tuple[Any, ...] = (),
    ) -> None:
        where = _checked(scheduler, max_workers)
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self.folder = run_folder(folder, name)
        start_run(self.folder, name)
        initializers = [partial(initializer, *initargs)] if initializer is not None else []
        book = TaskBook(self.folder, initializers)
        head = start_head(self.folder, where.slots, where.gpus)
        book.start()
        self._open(book, head, closes_run=True)

    def _open(
        self, book: TaskBook, head: subprocess.Popen[bytes] | None, *, closes_run: bool
    ) -> None:
        self._book = book
        self._settings = Settings()
        self._closing = _Closing(book, head, closes_run)
        weakref.finalize(self, self._closing.begin).atexit = False
        self._found: list[TaskFuture[Any]] = []

    @classmethod
    def attach(cls, folder: str | os.PathLike[str]) -> Executor:
        """Return an executor on a run that exists: `futures` has its tasks.

        Its end does not end the run. If the run has no manager, one is started.
        """
        self = cls.__new__(cls)
        self.folder = (
            RunFolder(folder) if os.fspath(folder).endswith(".run") else run_folder(folder, "")
        )
        if not self.folder.database.exists():
            raise InputError(f"folder={os.fspath(folder)!r}: there is no run.")
        start_run(self.folder, "tasks")
        book = TaskBook(self.folder, [])
        found = [_future_of(book, row) for row in _rows(self.folder)]
        for future in found:
            book.adopt(future)
        book.start()
        self._open(book, None, closes_run=False)
        self._found = found
        return self

    @property
    def futures(self) -> list[TaskFuture[Any]]:
        """The futures of the tasks that the run had when it was attached to."""
        return list(self._found)

    # ------------------------------------------------------------------- tasks in

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> TaskFuture[Any]:
        """Let ``fn(*args, **kwargs)`` run as a task."""
        if self._closing.is_shut:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if not callable(fn):
            raise TypeError(f"{fn!r} is not callable")
        return self._book.submit(self._settings, fn, args, kwargs)

    def submit_many(self, fn: Callable[..., Any], iterable: Iterable[Any]) -> list[TaskFuture[Any]]:
        """Submit ``fn(x)`` for each x; a dict is given to a `Command` as its parameters."""
        if isinstance(fn, _command_class()):
            return [self.submit(fn, **one) for one in iterable]
        return [self.submit(fn, one) for one in iterable]

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

    def options(self, **options: Any) -> Executor:
        """Return a view of this executor that submits with other settings.

        Parameters
        ----------
        priority : float
            The highest goes first.
        tag, name : str
            For pools that accept only some, and for people.
        resources : TaskResources
        retries : int
            Times that it is tried again after it failed.
        timeout : float, str or timedelta
        key : str
            A second task of the same key is the first one: it is not run again.
        after : sequence of TaskFuture
            Tasks that must have succeeded before.
        """
        view = _View.__new__(_View)
        view.__dict__.update(
            self.__dict__, _settings=self._settings.with_options(options), _whole=self
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
        if pop and not isinstance(futures, list):
            raise InputError("as_completed(..., pop=True) needs a list, from which it can remove.")
        return _completed(futures, n, pop, timeout)

    def update_priorities(
        self, futures: Sequence[TaskFuture[Any]], priorities: Iterable[float]
    ) -> None:
        """Give tasks that wait new priorities."""
        self._book.prioritise(list(futures), list(priorities))

    def tasks(self, state: str | None = None, tag: str | None = None) -> list[dict[str, Any]]:
        """Return what is on disk of each task, in the order of their ids.

        Parameters
        ----------
        state : str, optional
            Only ``waiting``, ``queued``, ``running``, ``done``, ``failed`` or ``cancelled`` ones.
        tag : str, optional
            Only those of this tag.
        """
        return [
            _described(row)
            for row in _rows(self.folder)
            if state in (None, row.phase.value) and tag in (None, row.tag)
        ]

    # ------------------------------------------------------------------- the end

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


def _command_class() -> type:
    from adaptive_scheduler.runs.driver.command import Command

    return Command


def _checked(scheduler: Any, max_workers: int | None) -> Here:
    if max_workers is not None:
        if scheduler is not None:
            raise InputError("Give scheduler=... or max_workers=..., not both.")
        if max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        return Here(slots=max_workers)
    if scheduler is None:
        return Here()
    if not isinstance(scheduler, Here):
        raise InputError(
            f"scheduler={scheduler!r}: an Executor runs on scheduler.Here(...) so far."
        )
    return scheduler


def _completed(
    futures: Iterable[TaskFuture[Any]], n: int | None, pop: bool, timeout: float | None
) -> Iterator[TaskFuture[Any]]:
    taken: set[TaskFuture[Any]] = set()
    try:
        done: Iterator[Any] = as_completed(list(futures), timeout)  # type: ignore[arg-type]
        for future in itertools.islice(done, n):
            if pop:
                taken.add(future)
            yield future
    finally:
        if taken and isinstance(futures, list):
            futures[:] = [one for one in futures if one not in taken]


def _rows(folder: RunFolder) -> list[TaskItem]:
    rows = row_codec.read_items(read_tables(folder), folder)
    return [row for row in rows if type(row) is TaskItem]


def _future_of(book: TaskBook, row: TaskItem) -> TaskFuture[Any]:
    settings = Settings(
        row.priority, row.tag, row.name, row.key, None, row.retries, row.timeout, ()
    )
    future: TaskFuture[Any] = TaskFuture(book, (), {}, settings)
    future.number = row.id
    return future


def _described(row: TaskItem) -> dict[str, Any]:
    return {
        "task": row.id, "state": row.phase.value, "tag": row.tag, "name": row.name, "key": row.key,
        "priority": row.priority, "attempts": row.attempts, "job": row.job or "",
        "reason": row.reason, "seconds": row.worked, "changed": row.changed,
    }  # fmt: skip
