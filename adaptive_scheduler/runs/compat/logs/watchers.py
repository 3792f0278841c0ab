"""What watches a run beside its manager: managers of adaptive-scheduler 2 that may stand alone."""

from __future__ import annotations

import abc
import asyncio
import os
import shutil
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from adaptive_scheduler.core.times import TimeLike, seconds
from adaptive_scheduler.errors import AdaptiveSchedulerError, RunError
from adaptive_scheduler.runs.compat.logs.log_search import Condition, files_of, search


class BaseManager(abc.ABC):
    """Something that goes on beside a notebook: in its event loop, or without one in a thread.

    A class of yours has ``async def _manage(self)``.
    """

    def __init__(self) -> None:
        self.task: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> BaseManager:
        """Start it; returns itself.

        Raises
        ------
        RunError
            It was started before.
        """
        if self.is_started:
            raise RunError(f"{type(self).__name__} was started before. Make another one.")
        self._setup()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.task = self._in_thread()
        else:
            self.task = loop.create_task(self._manage())
        return self

    @property
    def is_started(self) -> bool:
        """Whether `start` was called."""
        return self.task is not None

    def cancel(self) -> bool | None:
        """Stop it; None if it was not started, False if it had ended."""
        if self.task is None:
            return None
        if self._loop is None:
            return bool(self.task.cancel())
        if self.task.done():
            return False
        self._loop.call_soon_threadsafe(_cancel_all, self._loop)
        return True

    def _setup(self) -> None:
        """What is done once, when it is started."""
        return

    @abc.abstractmethod
    async def _manage(self) -> None:
        """What goes on."""

    def _in_thread(self) -> Future[None]:
        self._loop, future = asyncio.new_event_loop(), Future[None]()
        run = threading.Thread(target=_run, args=(self._loop, self._manage(), future), daemon=True)
        run.start()
        return future


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()


def _run(
    loop: asyncio.AbstractEventLoop, manage: Coroutine[Any, Any, None], end: Future[None]
) -> None:
    try:
        loop.run_until_complete(manage)
    except asyncio.CancelledError:
        end.cancel()
    except BaseException as error:  # noqa: BLE001  top of a thread: who asks for the result gets it
        end.set_exception(error)
    else:
        end.set_result(None)
    finally:
        loop.close()


class KillManager(BaseManager):
    """Cancels jobs whose logs have a text in them; the run's manager sends others in their place.

    A run needs none: jobs that are broken or hang are replaced anyway, and ``point_timeout=`` ends what takes too long.

    Parameters
    ----------
    scheduler : PublicScheduler
    database_manager : DatabaseView
        ``run_manager.database_manager``.
    error : str or callable
        See `logs_with_string_or_condition`.
    interval : float, str or timedelta
        Time between two looks.
    max_cancel_tries : int
        Times that a job which is still there is cancelled again.
    move_to : path-like, optional
        Where the files of cancelled jobs go. Default: they stay where they are.

    Attributes
    ----------
    cancelled : list of str
        Ids of jobs.
    deleted : list of str
        Files that were moved.
    """

    def __init__(
        self,
        scheduler: Any,
        database_manager: Any,
        *,
        error: Condition = "srun: error:",
        interval: TimeLike = 600,
        max_cancel_tries: int = 5,
        move_to: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__()
        self.scheduler, self.database_manager = scheduler, database_manager
        self.error, self.interval = error, seconds(interval, "interval")
        self.max_cancel_tries, self.move_to = max_cancel_tries, move_to
        self.cancelled: list[str] = []
        self.deleted: list[str] = []

    async def _manage(self) -> None:
        while not await asyncio.to_thread(self.database_manager.is_done):
            with suppress(AdaptiveSchedulerError):  # it is tried again at the next look
                await self._look()
            await asyncio.sleep(self.interval)

    async def _look(self) -> None:
        rows = await search(self.error, self.database_manager)
        new = {row["job_id"]: files_of(row) for row in rows if row["job_id"] not in self.cancelled}
        if not new:
            return
        await asyncio.to_thread(self.scheduler.cancel_ids, list(new), self.max_cancel_tries)
        self.cancelled += new
        if self.move_to is not None:
            self.deleted += move_files(
                [Path(one) for names in new.values() for one in names], self.move_to
            )


def move_files(paths: list[Path], there: str | os.PathLike[str]) -> list[str]:
    """Move the files that there are into a folder; one of the same name is replaced. Returns those that were moved."""
    folder = Path(there).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    found = [path for path in paths if path.exists()]
    for path in found:
        shutil.move(path, folder / path.name)
    return [str(path) for path in found]
