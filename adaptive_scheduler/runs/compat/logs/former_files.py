"""Removes what runs of adaptive-scheduler 2 have left: logs and scripts by the names of jobs, profiles of IPython."""

from __future__ import annotations

import asyncio
import glob
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from adaptive_scheduler.core.times import TimeLike, seconds
from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.runs.compat.logs.watchers import BaseManager, move_files

#: How the folder of such a profile begins; the job's id follows.
PROFILE = "profile_adaptive_scheduler_"


def cleanup_scheduler_files(
    job_names: Sequence[str],
    scheduler: Any,
    *,
    with_progress_bar: bool = True,
    move_to: str | Path | None = None,
) -> None:
    """Remove scripts and logs of jobs with these names, as adaptive-scheduler 2 has named them.

    They are ``NAME-ID.log`` and ``NAME-ID.out`` in the scheduler's ``log_folder``, and ``NAME.sbatch`` in its
    ``batch_folder``; without these folders, in the working directory. What a run of this package has written, its own
    ``cleanup()`` removes.

    Parameters
    ----------
    job_names : sequence of str
    scheduler : PublicScheduler
    with_progress_bar : bool
        Ignored.
    move_to : path-like, optional
        A folder into which they are moved instead.
    """
    del with_progress_bar
    names = [job_names] if isinstance(job_names, str) else list(job_names)
    logs = Path(scheduler.log_folder or ".").expanduser()
    found = {path for name in names for path in files_named(name, scheduler, logs)}
    if move_to is not None:
        move_files(sorted(found), move_to)
        return
    for path in found:
        path.unlink(missing_ok=True)


def files_named(name: str, scheduler: Any, logs: Path) -> list[Path]:
    """Return the files of the jobs of one name."""
    scripts = [scheduler.batch_fname(name), scheduler.batch_fname(name.rpartition("-")[0] or name)]
    found = [
        path
        for end in ("log", "out", "err")
        for path in logs.glob(f"{glob.escape(name)}-[0-9]*.{end}")
        if is_id(path.stem[len(name) + 1 :])
    ]
    return [path for path in [*scripts, *found] if path.is_file()]


def is_id(text: str) -> bool:
    """Whether a text can be the id of a job: ``123``, ``123_4``, ``123.server``."""
    return text.replace("_", "").partition(".")[0].isdigit()


class ProfileCleaner(BaseManager):
    """Removes IPython profiles of jobs that have left the queue, again and again."""

    def __init__(self, scheduler: Any, interval: float) -> None:
        super().__init__()
        self._scheduler, self._interval = scheduler, interval

    async def _manage(self) -> None:
        while True:
            with suppress(AdaptiveSchedulerError):  # the queue cannot be listed: nothing is removed
                await asyncio.to_thread(remove_profiles, self._scheduler)
            await asyncio.sleep(self._interval)


def remove_profiles(scheduler: Any) -> None:
    """Remove the profiles of jobs that have left the queue."""
    alive = set(scheduler.queue())
    for folder in Path("~/.ipython").expanduser().glob(f"{PROFILE}*"):
        if folder.name.removeprefix(PROFILE) not in alive:
            shutil.rmtree(folder, ignore_errors=True)


def periodically_clean_ipython_profiles(scheduler: Any, interval: TimeLike = 600) -> Any:
    """Remove IPython profiles that jobs of adaptive-scheduler 2 have left, again and again.

    Jobs of this package make their profiles in folders of their own, and remove them.

    Parameters
    ----------
    scheduler : PublicScheduler
    interval : float, str or timedelta

    Returns
    -------
    asyncio.Task
        Its ``cancel()`` ends it. Without an event loop it is a thread: what is returned can be cancelled too.
    """
    cleaner = ProfileCleaner(scheduler, seconds(interval, "interval"))
    cleaner.start()
    return cleaner.task if isinstance(cleaner.task, asyncio.Task) else cleaner
