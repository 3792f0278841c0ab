"""Waits within asyncio: for a task or an event, and for files that others make."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

#: A file, or files that count as one when all of them are there.
Unit = Path | tuple[Path, ...]


async def sleep_unless_task_is_done(
    task: asyncio.Task[Any], sleep_duration: float, trigger_event: asyncio.Event | None = None
) -> bool:
    """Sleep until a time has passed, a task is done or an event is set.

    Parameters
    ----------
    task : asyncio.Task
        It goes on if it is not done.
    sleep_duration : float
        Seconds.
    trigger_event : asyncio.Event, optional
        Is cleared if it is set.

    Returns
    -------
    bool
        Whether the task is done.
    """
    waited: set[asyncio.Future[Any]] = {task}
    event = None if trigger_event is None else asyncio.ensure_future(trigger_event.wait())
    if event is not None:
        waited.add(event)
    try:
        await asyncio.wait(waited, timeout=sleep_duration, return_when=asyncio.FIRST_COMPLETED)
        if event is not None and trigger_event is not None and event.done():
            trigger_event.clear()
    finally:
        if event is not None:
            event.cancel()
    return task.done()


def track_file_creation_progress(
    paths_dict: Mapping[str, Iterable[Path | tuple[Path, ...]]], interval: float = 1
) -> asyncio.Task[None]:
    """Show how many of the files exist that somebody is making, until all do.

    Parameters
    ----------
    paths_dict : mapping
        A title to its files, with a bar for each title. A tuple of files counts as one, when all of
        them are there. It is left as it is.
    interval : float
        Seconds between two looks; more where a look takes long.

    Returns
    -------
    asyncio.Task
        It ends when all files exist; cancel it to stop.
    """
    from rich.console import Console
    from rich.progress import Progress, TimeElapsedColumn

    columns = (*Progress.get_default_columns(), TimeElapsedColumn())
    # of its own, since a console has one live view at a time
    progress = Progress(*columns, auto_refresh=False, console=Console())
    missing = {title: [_unit(one) for one in units] for title, units in paths_dict.items()}
    return _event_loop().create_task(_track(missing, progress, interval))


def _unit(given: Any) -> Unit:
    return tuple(map(Path, given)) if isinstance(given, tuple) else Path(given)


def _event_loop() -> asyncio.AbstractEventLoop:
    """The loop of this thread; in a script where none runs yet, the one that it will run."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        pass
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # in some versions of Python
        try:
            return asyncio.get_event_loop()
        except RuntimeError:
            loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
            return loop


async def _track(missing: Mapping[str, list[Unit]], progress: Progress, interval: float) -> None:
    bars = _bars(missing, progress)
    with progress:
        while True:
            begin = time.monotonic()
            for title, units in missing.items():
                gone = len(units)
                units[:] = [left for unit in units if (left := _left(unit))]
                for bar in bars[title]:
                    progress.advance(bar, gone - len(units))
            progress.refresh()
            if not any(missing.values()):
                return
            # looking takes two hundredths of the time at most, also on a slow file system
            await asyncio.sleep(max(interval, 50 * (time.monotonic() - begin)))


def _bars(missing: Mapping[str, list[Unit]], progress: Progress) -> dict[str, list[TaskID]]:
    """The bars that each title moves: its own, and with several titles that of all."""
    total: list[TaskID] = []
    if len(missing) > 1:
        n = sum(map(len, missing.values()))
        total = [progress.add_task("[cyan bold underline]Total", total=n)]
    return {
        title: [progress.add_task(f"[green]{title}", total=len(units)), *total]
        for title, units in missing.items()
    }


def _left(unit: Unit) -> Unit | None:
    """What of it does not exist yet; None if all of it does."""
    if isinstance(unit, Path):
        return None if unit.exists() else unit
    return tuple(path for path in unit if not path.exists()) or None
