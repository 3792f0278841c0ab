"""What runs the tasks of a driver: pools of jobs, and heads on this machine."""

from __future__ import annotations

import itertools
import os
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import TASK
from adaptive_scheduler.core.tasks.pools import IDLE, Pool, check_name, check_pool
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.core.times import TimeLike, seconds
from adaptive_scheduler.core.wire.messages import Picture, Status
from adaptive_scheduler.core.wire.pools import AddPool, PoolList, Pools, RemovePool
from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.errors import InputError, RequestRefusedError, RunError
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.io.system.processes import end_process, new_head, start_head
from adaptive_scheduler.runs.driver.start_run import has_manager, is_closed
from adaptive_scheduler.runs.driver.task_book import TaskBook
from adaptive_scheduler.runs.sites.find_site import refuse_here
from adaptive_scheduler.schedulers.base import Scheduler
from adaptive_scheduler.schedulers.here import Here

#: Seconds that a head may take to end what runs in it.
HEAD_GRACE = 20.0
#: Seconds that a manager may take to know a head that was started.
HELLO_PATIENCE = 60.0
#: Seconds before it is started again, after its first, second, ... death in short order.
PAUSES = (0.2, 1.0, 3.0)
#: A head that dies so often within so many seconds is not started again.
MOST_DEATHS, DEATHS_WITHIN = len(PAUSES) + 1, 60.0
#: Seconds between two looks whether a head is needed again.
PAUSE = 0.2
#: Seconds between two looks whether the run that a machine has joined is still there.
LOOK = 5.0
#: Options of a scheduler that all pools of a run have in common, because one manager submits them.
COMMON = ("setup", "python_executable", "mpiexec_executable", "log_folder", "kill_wait", "state")


class LocalHead:
    """A head on this machine, which is started again if it dies while there is work.

    Parameters
    ----------
    folder : RunFolder
    where : Here
    has_work : callable
        Whether a head is needed.
    give_up : callable
        Given an error, if it dies again and again.

    Attributes
    ----------
    where : Here
    process : subprocess.Popen
    name : str
        What it is for the manager, in the place of a job.
    """

    def __init__(
        self, folder: RunFolder, where: Here, has_work: Callable[[], bool],
        give_up: Callable[[Exception], None],
    ) -> None:  # fmt: skip
        self._folder, self.where = folder, where
        self.name, self._starts = new_head(), itertools.count()
        self._has_work, self._give_up = has_work, give_up
        self._is_closing = threading.Event()
        self._lock = threading.Lock()
        self.process: subprocess.Popen[bytes] = self._start()
        self._thread = threading.Thread(target=self._watch, name="head's watch", daemon=True)
        self._thread.start()

    def _start(self) -> subprocess.Popen[bytes]:
        life = self.name, next(self._starts)
        return start_head(self._folder, self.where.slots, self.where.gpus, life)

    def _watch(self) -> None:
        deaths: deque[float] = deque(maxlen=MOST_DEATHS)
        while True:
            status = self.process.wait()
            while not self._has_work():
                if self._is_closing.wait(PAUSE):
                    return
            now = time.monotonic()
            deaths.append(now)
            recent = sum(now - death < DEATHS_WITHIN for death in deaths)
            if recent == MOST_DEATHS:
                self._give_up(
                    RunError(
                        f"The head on this machine, which runs the tasks, ended {MOST_DEATHS} times in "
                        f"{DEATHS_WITHIN:g} s (exit status {status}). What it printed says why. Tasks "
                        "that have ended keep their results: run this program again."
                    )
                )
                return
            if self._is_closing.wait(PAUSES[recent - 1]):
                return
            with self._lock:
                if self._is_closing.is_set():
                    return
                try:
                    self.process = self._start()
                except OSError as error:
                    self._give_up(RunError(f"The head on this machine cannot be started: {error}"))
                    return

    @property
    def has_ended(self) -> bool:
        """Whether it is not there at this moment."""
        return self.process.poll() is not None

    def end(self, grace: float = HEAD_GRACE) -> None:
        """End it, and what runs in it, within `grace` seconds."""
        with self._lock:
            self._is_closing.set()
        end_process(self.process, grace)
        self._thread.join()


class RunPools:
    """Where the tasks of a run are run, as its driver adds and removes it. Printed: all that it has added.

    Parameters
    ----------
    book : TaskBook
    heads : list of LocalHead
        Those of this machine, to which new ones are added.
    """

    def __init__(self, book: TaskBook, heads: list[LocalHead]) -> None:
        self._book, self._heads = book, heads
        self._site, self._keeper = book.site, book.keeper
        self._added: dict[str, str] = {}

    def __str__(self) -> str:
        here = [repr(head.where) for head in self._heads]
        places = [*here, *map(" ".join, self._added.items())]
        return ", ".join(places) or "what it has already"

    def let_run(self, pool: Pool | None, where: Here | Scheduler) -> None:
        """Let tasks run on this machine, or in the jobs of a pool.

        One of its name whose jobs have other resources ends.

        Parameters
        ----------
        pool : Pool, optional
            None for this machine.
        where : Here or Scheduler

        Raises
        ------
        InputError
            Its jobs would need another scheduler than the run has, or this machine does not see the run.
        RequestRefusedError
        """
        refuse_here(where, self._site.name)
        if isinstance(where, Here):
            book = self._book
            head = LocalHead(self._site.folder, where, lambda: book.has_work, book.broken)
            self._heads.append(head)
            self._wait_for(head)
        elif pool is not None:
            self._add(pool, where)

    def _add(self, pool: Pool, scheduler: Scheduler) -> None:
        """Let the manager have a pool.

        It must know the heads of this machine before: it would take the pool for all that will ever
        run tasks, and refuse what only they can hold.
        """
        check_pool(pool)
        self._site.refuse_missing_programs(scheduler)
        known = self._site.known_scheduler()
        if known is not None:
            _refuse_other(pool.name, self._site.adapted(scheduler), known)
        for head in self._heads:
            self._wait_until_known(head)
        try:
            self._keeper.ask(AddPool(pool))
        except RequestRefusedError as error:
            if error.code == "no_scheduler":
                self._keeper.give_scheduler(scheduler)
            elif error.code == "pool_exists":
                self._keeper.ask(RemovePool(pool.name))
            else:
                raise
            self._keeper.ask(AddPool(pool))
        self._added[pool.name] = f"({scheduler!r}, at most {counted(pool.max_jobs, 'job')})"

    def _wait_for(self, head: LocalHead) -> None:
        """In a run with pools, wait until the manager knows a head: else it refuses what only that can hold."""
        pools = self._keeper.ask(Pools())
        if not isinstance(pools, PoolList) or all(one.pool.is_removed for one in pools.pools):
            return
        self._wait_until_known(head)

    def _wait_until_known(self, head: LocalHead) -> None:
        end = time.monotonic() + HELLO_PATIENCE
        while time.monotonic() < end and not head.has_ended:
            picture = self._keeper.ask(Status("none"))
            assert isinstance(picture, Picture), picture
            if head.name in {
                job.id for job in msgspec.msgpack.decode(picture.snapshot, type=Snapshot).jobs
            }:
                return
            time.sleep(0.02)

    def remove(self, name: str) -> None:
        """Let a pool end; RequestRefusedError if there is none of this name."""
        if not isinstance(name, str):
            raise InputError(f"remove_pool({name!r}): give the name of a pool.")
        self._keeper.ask(RemovePool(name))
        self._added.pop(name, None)


def where_to_run(scheduler: Any, max_workers: int | None = None) -> Here | Scheduler:
    """Return where the tasks of an executor run, by its arguments."""
    if max_workers is not None:
        if scheduler is not None:
            raise InputError("Give scheduler=... or max_workers=..., not both.")
        if max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        return Here(slots=max_workers)
    if scheduler is None:
        return Here()
    if not isinstance(scheduler, Here | Scheduler):
        raise InputError(
            f"scheduler={scheduler!r}: give scheduler.Here(...), SLURM(...), PBS(...) or "
            "LocalScheduler(...)."
        )
    return scheduler


def pool_where(
    name: str, where: Any, jobs: tuple[int, int], accepts: Sequence[str],
    batch: tuple[int | None, int], idle: TimeLike,
) -> Pool | None:  # fmt: skip
    """Return the pool of a scheduler, checked before anything is started; None of this machine."""
    check_name(name)
    if isinstance(where_to_run(where), Scheduler):
        return pool_of(name, where, jobs, accepts, batch, idle)
    if jobs != (0, 1) or accepts or batch != (None, 1):
        raise InputError(
            f"{where!r} is one pool of this machine, which takes all tasks: leave out jobs, accepts, "
            "batch_size and threshold."
        )
    return None


def pool_of(
    name: str,
    scheduler: Scheduler,
    jobs: tuple[int, int],
    accepts: Sequence[str],
    batch: tuple[int | None, int],
    idle: TimeLike = IDLE,
) -> Pool:
    """Return the pool whose jobs a scheduler describes.

    Parameters
    ----------
    name : str
    scheduler : Scheduler
    jobs : (int, int)
        Least and most.
    accepts : sequence of str
        Tags.
    batch : (int or None, int)
        Batch size and threshold.
    idle : float, str or timedelta
    """
    if isinstance(accepts, str) or not all(isinstance(tag, str) for tag in accepts):
        raise InputError(f"accepts={accepts!r} must be a list of tags, such as ['gpu'].")
    for what, value in zip(
        ("jobs", "jobs", "batch_size", "threshold"), (*jobs, *batch), strict=True
    ):
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if not is_number and not (what == "batch_size" and value is None):
            raise InputError(f"{what}={value!r} must be a whole number.")
    (resources,), _ = scheduler.shapes(1)
    least, most = jobs
    return check_pool(
        Pool(
            name=name, resources=resources, max_jobs=most, min_jobs=least, accepts=list(accepts),
            batch_size=batch[0], threshold=batch[1], idle=seconds(idle, "idle", zero=True),
        )
    )  # fmt: skip


def _refuse_other(name: str, scheduler: Scheduler, known: Scheduler) -> None:
    if scheduler.name != known.name:
        raise InputError(
            f"pool {name}: {scheduler!r}, but the jobs of this run are submitted by {known!r}. Give a "
            f"{type(known).__name__}(...), or begin another run."
        )
    for option in COMMON:
        wanted, is_so = getattr(scheduler, option, None), getattr(known, option, None)
        if wanted != is_so:
            raise InputError(
                f"pool {name}: {option}={wanted!r}, but the run has {option}={is_so!r}, which all of "
                f"its pools share. Leave {option}= as it is, or begin another run."
            )


def join_run(
    folder: str | os.PathLike[str], slots: int | None = None, gpus: int | Sequence[str] = ()
) -> int:
    """Run tasks of a run on this machine too, until the run is over; returns the exit status.

    Parameters
    ----------
    folder : path-like
        Of a run of tasks, on a disk that all of its machines see.
    slots : int, optional
        Cores for tasks; default: all that this process may use.
    gpus : int or sequence of str
        How many GPUs there are, or their numbers.

    Raises
    ------
    InputError
        There is no run of tasks.
    """
    where = Here(slots, gpus)
    run = RunFolder(folder)
    if not run.database.exists() or read_config(run).kind != TASK:
        raise InputError(f"folder={os.fspath(folder)!r}: there is no run of tasks.")
    return serve_run(run, where)


def serve_run(run: RunFolder, where: Here) -> int:
    """Run tasks of a run that exists until it is over, or until a Ctrl-C; returns the exit status."""
    head = start_head(run, where.slots, where.gpus)
    try:
        while True:
            with suppress(subprocess.TimeoutExpired):
                return head.wait(LOOK)
            # it was over before the head had said hello
            if not has_manager(run) and is_closed(run):
                end_process(head, HEAD_GRACE)
                return 0
    except KeyboardInterrupt:
        end_process(head, HEAD_GRACE)
        return 130
