"""Starts runs one after the other: each when the one before it has ended, or is far enough."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.core.options.checks import duration
from adaptive_scheduler.core.times import TimeLike
from adaptive_scheduler.errors import InputError

if TYPE_CHECKING:
    from adaptive_scheduler.runs.run_manager import RunManager

Goal = Callable[["RunManager"], bool]
#: asyncio keeps only weak references to tasks.
_waiting: set[Any] = set()
_passing = threading.Lock()


def start_one_by_one(
    *run_managers: RunManager, goal: Goal | None = None, interval: TimeLike = 120
) -> tuple[Any, list[Any]]:
    """Start runs one after the other; the first one must be started by you.

    This process must live until the last one is started. What waits is a task of the event loop, as in a
    notebook; without one, a thread.

    Parameters
    ----------
    *run_managers : RunManager
        In this order.
    goal : callable, optional
        ``goal(run_manager) -> bool``: when the next one is started. Default: when its learners have ended.
    interval : float, str or timedelta
        Time between two calls of `goal`.

    Returns
    -------
    (future, list)
        One that ends when all are started, and the task of each start.

    Raises
    ------
    InputError
        Two are in one folder, or one of the later ones is started already.
    """
    pause = duration(interval, "interval")
    _check(run_managers)
    pairs = itertools.pairwise(run_managers)
    coroutines = [_start_after(first, second, goal, pause) for first, second in pairs]
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _in_threads(coroutines)
    tasks = [asyncio.ensure_future(one) for one in coroutines]
    gathered = asyncio.gather(*tasks)
    _waiting.add(gathered)
    gathered.add_done_callback(_waiting.discard)
    return gathered, tasks


def _check(run_managers: tuple[RunManager, ...]) -> None:
    homes = [one.folder.home for one in run_managers]
    if len(set(homes)) < len(homes):
        raise InputError(
            "start_one_by_one: two of the runs are in one folder. Give each another name=..., or folder=..."
        )
    for one in run_managers[1:]:
        if one.is_started and str(one.status()) in ("running", "held"):
            raise InputError(f"start_one_by_one: {one!r} is started already.")


async def _start_after(
    first: RunManager, second: RunManager, goal: Goal | None, pause: float
) -> None:
    while not first.is_started:
        await asyncio.sleep(min(pause, 1.0))
    if goal is None and first.task is not None:
        await first.task
    while goal is not None and not await asyncio.to_thread(goal, first):
        await asyncio.sleep(pause)
    await asyncio.to_thread(second.start)


def _in_threads(
    coroutines: list[Coroutine[Any, Any, None]],
) -> tuple[Future[None], list[Future[None]]]:
    """Run each in a thread of its own."""
    futures: list[Future[None]] = [Future() for _ in coroutines]
    together: Future[None] = Future()
    for future, coroutine in zip(futures, coroutines, strict=True):
        threading.Thread(target=_run, args=(future, coroutine), daemon=True).start()
    for future in futures:
        future.add_done_callback(lambda _: _pass_on(futures, together))
    if not futures:
        together.set_result(None)
    return together, futures


def _run(future: Future[None], coroutine: Coroutine[Any, Any, None]) -> None:
    future.set_running_or_notify_cancel()
    try:
        asyncio.run(coroutine)
    except BaseException as error:  # noqa: BLE001  top of a thread: who waits for the future gets it
        future.set_exception(error)
    else:
        future.set_result(None)


def _pass_on(futures: list[Future[None]], together: Future[None]) -> None:
    """End what stands for all: with the first error, or when all have ended."""
    with _passing:
        if together.done():
            return
        errors = [one.exception() for one in futures if one.done()]
        error = next((one for one in errors if one is not None), None)
        if error is not None:
            together.set_exception(error)
        elif len(errors) == len(futures):
            together.set_result(None)
