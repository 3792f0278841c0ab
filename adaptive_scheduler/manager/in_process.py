"""The manager in a thread of the user's own process, for the low-level functions."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import time

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import RunError
from adaptive_scheduler.manager.engine import Engine
from adaptive_scheduler.manager.named_jobs import NamedJobs
from adaptive_scheduler.schedulers.job_script import ScriptWriter, job_script

#: Seconds that an engine has to end when its process does.
EXIT_TIMEOUT = 10.0
#: Seconds that `find_engine` waits: its caller may be started before `open_engine`'s.
PATIENCE = 30.0

#: Engines of this process, by run folder.
_engines: dict[str, Engine] = {}
_threads: dict[str, threading.Thread] = {}


def open_engine(folder: RunFolder, config: RunConfig) -> Engine:
    """Open an engine that serves clients and submits nothing yet.

    Raises
    ------
    RunError
        A manager serves this database, in this process or another.
    """
    engine = Engine(folder, config)
    _engines[os.fspath(folder)] = engine
    return engine


async def run_engine(engine: Engine) -> None:
    """Run an engine in a thread until all its items have ended.

    Cancelling stops the engine; jobs go on. A busy event loop does not delay the engine.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def run() -> None:
        error: BaseException | None = None
        try:
            engine.run()
        except BaseException as caught:  # noqa: BLE001  carried over to the task that awaits
            error = caught
        finally:
            _forget(engine)
        if not loop.is_closed():
            loop.call_soon_threadsafe(_set_result, ended, error)

    thread = threading.Thread(target=run, name="manager", daemon=True)
    _threads[os.fspath(engine.folder)] = thread
    thread.start()
    try:
        await ended
    except asyncio.CancelledError:
        engine.stop()
        await asyncio.to_thread(thread.join, EXIT_TIMEOUT)
        raise


def _set_result(ended: asyncio.Future[None], error: BaseException | None) -> None:
    if ended.done():  # nobody waits any more
        return
    if error is None:
        ended.set_result(None)
    else:
        ended.set_exception(error)


def _forget(engine: Engine) -> None:
    key = os.fspath(engine.folder)
    if _engines.get(key) is engine:
        del _engines[key]
        _threads.pop(key, None)


async def manage(
    folder: RunFolder, jobs: NamedJobs, write_script: ScriptWriter | None = None
) -> None:
    """Let the engine of this process submit jobs, and wait until it ends.

    Parameters
    ----------
    folder : RunFolder
    jobs : NamedJobs
        The jobs to submit.
    write_script : callable, optional
        Returns the text of a job script.

    Raises
    ------
    RunError
        No engine of this database is in this process.
    UserCodeError
        `write_script` raises.
    """
    engine = await find_engine(folder)
    config = jobs.configure(folder)
    if write_script is not None:
        jobs.try_writer(write_script, config, folder)
    engine.manage_jobs(jobs.scheduler_here(), config, write_script or job_script)
    while not engine.ended.is_set():
        await asyncio.sleep(0.2)


async def find_engine(folder: RunFolder) -> Engine:
    """Wait for the engine that `open_engine` makes for this folder."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if os.fspath(folder) in _engines:
            return _engines[os.fspath(folder)]
        await asyncio.sleep(0.05)
    raise RunError(
        f"manage_jobs found no database manager of {folder.database} in this process. Start "
        "manage_database(url, db_fname) with the same db_fname in this process as well."
    )


@atexit.register
def _stop_all() -> None:
    """Let engines write a checkpoint and release their locks, before Python cuts their threads off."""
    threads = list(_threads.values())
    for engine in list(_engines.values()):
        engine.stop()
    for thread in threads:
        thread.join(EXIT_TIMEOUT)
