"""Starts a run of tasks: an empty one, or that of a folder again."""

from __future__ import annotations

import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress

import msgspec

from adaptive_scheduler.core.config import JobLimits, RunConfig, Timing
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows import run_row
from adaptive_scheduler.core.rows.row import TASK
from adaptive_scheduler.core.wire.messages import Picture, Reply, Request, Status, Stop
from adaptive_scheduler.core.wire.pools import PoolList, Pools
from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.core.wire.tasks import OpenRun
from adaptive_scheduler.errors import (
    AdaptiveSchedulerError,
    FileError,
    InputError,
    ManagerUnreachableError,
    RunError,
)
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.pickling.callables_file import read_callable, write_callables
from adaptive_scheduler.io.storage import database, row_codec
from adaptive_scheduler.io.storage.read_only import read_tables
from adaptive_scheduler.io.storage.run_config import kind_of, write_config
from adaptive_scheduler.runs.driver.stuck import why_stuck
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.runs.sites.site import Site
from adaptive_scheduler.runs.start import fnames
from adaptive_scheduler.runs.start.environment import record_environment
from adaptive_scheduler.runs.start.launch import start_and_wait
from adaptive_scheduler.runs.start.own_folder import removed_if_refused
from adaptive_scheduler.runs.start.prepare import held
from adaptive_scheduler.schedulers.base import Scheduler

#: Jobs of a run: its pools say how many they may have.
MOST_JOBS = 100_000
#: Seconds in which a manager that lives must answer, and between two tries.
PATIENCE, PAUSE = 20.0, 0.05
#: Times in a row that a manager may fail to start.
MOST_FAILURES = 3
#: Seconds that a manager may take to end.
STOP_PATIENCE = 60.0
#: Seconds between two looks whether the manager lives.
WATCH = 1.0
#: Every so many looks it is asked whether it submits jobs.
HELD_LOOKS = 10


class ManagerKeeper:
    """Asks the manager of a run, and starts it again where it has died. Any thread may use it.

    Parameters
    ----------
    site : Site
    name : str
        Of the run.
    has_work : callable
        Whether a manager is needed.
    """

    def __init__(self, site: Site, name: str, has_work: Callable[[], bool]) -> None:
        self._site, self._name = site, name
        self._has_work = has_work
        self._is_closed = threading.Event()
        self._told: tuple[str, ...] = ()  # why it is stuck, as it was told last
        self._seen: tuple[str, ...] = ()  # and as it was at the last look, since when
        self._since = 0.0
        self._viewer = ManagerClient(site.folder, where=site.whereabouts())
        self._lock = threading.Lock()
        self._failures = 0

    def watch(self, on_fault: Callable[[Exception], None]) -> None:
        """Look now and then whether the manager lives while there is work; a thread does.

        Parameters
        ----------
        on_fault : callable
            Given the error, if it has died and cannot be started again.
        """

        def look() -> None:
            looks = 0
            while not self._is_closed.wait(WATCH):
                try:
                    if self._has_work():
                        self.revive()
                        looks += 1
                        if looks % HELD_LOOKS == 0:
                            self.tell_if_stuck()
                except (AdaptiveSchedulerError, OSError) as error:
                    if not self._is_closed.is_set():
                        on_fault(error)
                    return

        threading.Thread(target=look, name="manager's watch", daemon=True).start()

    def tell_if_stuck(self, *, at_once: bool = False) -> None:
        """Print, once, why the run does not go on by itself.

        Parameters
        ----------
        at_once : bool
            Not only when it was so at the last look, too: a head may be starting, a limit may end.
        """
        try:
            picture = self._viewer.ask(Status("none"))
        except ManagerUnreachableError:
            return  # the next look finds out whether it lives
        assert isinstance(picture, Picture), picture
        snapshot = msgspec.msgpack.decode(picture.snapshot, type=Snapshot)
        why = why_stuck(snapshot, self._site.remedy)
        key, now = why.key if why else (), time.monotonic()
        is_new = key != self._seen
        self._seen, self._since = key, now if is_new else self._since
        if not at_once and (is_new or (why and now - self._since < why.patience)):
            return
        if why and key != self._told:
            print(f"adaptive_scheduler: the run in {self._site.name} {why.text}", file=sys.stderr)
        self._told = key

    def ask(self, body: Request) -> Reply:
        """Return the manager's answer; start it first if it has died.

        Raises
        ------
        RequestRefusedError
        ManagerUnreachableError
            It lives, but does not answer.
        RunError
            It has died, and cannot be started again.
        """
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return self._viewer.ask(body)
            except ManagerUnreachableError:
                end += self._site.wait()
                # one that lives may have been started a moment ago, by the watch or by another process
                if not self.revive() and time.monotonic() > end:
                    raise
                time.sleep(PAUSE)

    def revive(self) -> bool:
        """Start the manager if it has died; returns whether it had.

        Raises
        ------
        RunError
            It cannot be started, however often; the text says why and what to do.
        """
        with self._lock:
            if self._site.lives():
                return False
            if not self._site.exists():
                raise _no_run(self._site.folder)
            try:
                self._site.start(self._name)
            except (RunError, FileError) as error:
                self._failures += 1
                if self._failures >= MOST_FAILURES:
                    raise RunError(
                        f"The manager of the run in {self._site.name} has died and cannot be "
                        f"started again: {error} Mend that and run this program again: tasks that "
                        "have ended and have a key are not run again."
                    ) from error
            else:
                self._failures = 0
            return True

    def give_scheduler(self, scheduler: Scheduler) -> None:
        """Let a run that has submitted no jobs so far submit them: its manager is started anew."""
        with self._lock:
            if self._site.lives():
                self._viewer.ask(Stop())
                end = time.monotonic() + STOP_PATIENCE
                while self._site.lives() and time.monotonic() < end:
                    time.sleep(0.02)
            self._site.start(self._name, scheduler)

    def stop_if_alone(self, mine: Collection[str]) -> None:
        """End the manager if nothing is left that could run a task: no pool, no job, no other head.

        Parameters
        ----------
        mine : collection of str
            Heads that have just ended.
        """
        with suppress(ManagerUnreachableError):
            pools, picture = self._viewer.ask(Pools()), self._viewer.ask(Status("none"))
            assert isinstance(pools, PoolList), pools
            assert isinstance(picture, Picture), picture
            jobs = msgspec.msgpack.decode(picture.snapshot, type=Snapshot).jobs
            has_pools = any(not one.pool.is_removed for one in pools.pools)
            if not has_pools and {job.id for job in jobs} <= set(mine):
                self._viewer.ask(Stop())

    def lives(self) -> bool:
        """Whether the manager is there."""
        return self._site.lives()

    def close(self) -> None:
        """Watch no more, and close the connection."""
        self._is_closed.set()
        self._viewer.close()


def start_run(
    folder: RunFolder,
    name: str,
    scheduler: Scheduler | None = None,
    timing: Timing | None = None,
    *,
    may_begin: bool = True,
) -> None:
    """Start the manager of a run of tasks, unless it lives; carry an existing run on.

    Parameters
    ----------
    folder : RunFolder
    name : str
        Of the jobs.
    scheduler : Scheduler, optional
        By which jobs of pools are submitted; a run that has one keeps its own.
    timing : Timing, optional
        Of a new run.
    may_begin : bool
        Whether it may be a new run; else there must be one.

    Raises
    ------
    InputError
        The folder has a run of learners.
    RunError
        The manager does not start, or there is no run any more.
    """
    fnames.refuse_unwritable_folder(str(folder.home), "folder")
    _refuse_learners(folder)
    with ManagerClient(folder) as viewer:
        if _opens(viewer):
            return
        try:
            with removed_if_refused(folder):
                for path in (folder.folder, folder.scripts, folder.ends):
                    files.private_folder(path)
                with held(folder):
                    new = timing or Timing() if may_begin else None
                    _write(folder, name, scheduler, new)
        except RunError:
            if not _opens(viewer):
                raise
            return  # another process has just started it
        start_and_wait(folder, viewer, has_driver=True)


def _opens(viewer: ManagerClient) -> bool:
    """Tell a manager that lives that more tasks may come; False if there is none.

    That of a run that was over a moment ago stays then, and sends nobody away who comes to run them.

    Raises
    ------
    ManagerUnreachableError
        It lives, and does not answer.
    """
    end = time.monotonic() + PATIENCE
    while viewer.lives():
        try:
            viewer.ask(OpenRun())
        except ManagerUnreachableError:  # it ends just now, or has just been started
            if time.monotonic() > end:
                raise
            time.sleep(PAUSE)
        else:
            return True
    return False


def _refuse_learners(folder: RunFolder) -> None:
    if kind_of(folder) not in (None, TASK):
        raise InputError(
            f"folder: {folder.home} has a run of learners. To see it: RunManager.attach(folder); for tasks "
            "give another folder."
        )


def has_manager(folder: RunFolder) -> bool:
    """Whether a manager of a run lives."""
    with ManagerClient(folder) as viewer:
        return viewer.lives()


def count_unfinished(folder: RunFolder) -> int:
    """How many tasks of a run have not ended, whoever submitted them."""
    with ManagerClient(folder) as viewer:
        return viewer.snapshot("none").unfinished


def is_closed(folder: RunFolder) -> bool:
    """Whether the driver of a run has closed it: its manager says so, or its disk."""
    with ManagerClient(folder) as viewer:
        if viewer.lives():
            return not viewer.snapshot("none").is_open
    return not row_codec.read_run(read_tables(folder, undecoded=True)).is_open


def _no_run(folder: RunFolder) -> RunError:
    return RunError(
        f"{folder.database} is gone: the run's folder was removed or renamed. Rename it back, or "
        "begin a new run."
    )


def _write(folder: RunFolder, name: str, scheduler: Scheduler | None, new: Timing | None) -> None:
    """Write what a manager needs; `new`: of a run that is begun, None: it must be there."""
    if not folder.database.exists():
        if new is None:
            raise _no_run(folder)
        log_folder = scheduler.log_folder if scheduler is not None else None
        config = RunConfig(
            secrets.token_hex(4), [Resources()], [name],
            os.path.abspath(log_folder or folder.logs),  # noqa: PTH100  keep symlinks
            environment=record_environment(), kind=TASK, timing=new,
            limits=JobLimits(max_jobs=MOST_JOBS),
        )  # fmt: skip
        write_config(folder, config)
        write_callables(folder.callables, {"scheduler": scheduler})
        tables = row_codec.new_tables([], None)
        row = {run_row.RUN_ROW: {"is_open": True}}
        database.create(folder.database, {**tables, run_row.RUN_TABLE: row})
    elif scheduler is not None and read_callable(folder.callables, "scheduler") is None:
        write_callables(folder.callables, {"scheduler": scheduler})
