"""Finds a launcher by the name that users give as ``executor_type``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor as Pool

from adaptive_scheduler.core.resources import unknown_executor_type
from adaptive_scheduler.executors.base import Launcher
from adaptive_scheduler.executors.dask_pool import Dask
from adaptive_scheduler.executors.ipyparallel_pool import IPyParallel
from adaptive_scheduler.executors.mpi import MPI4Py
from adaptive_scheduler.executors.process_pools import Custom, Loky, ProcessPool, Sequential

LAUNCHERS: dict[str, Callable[[], Launcher]] = {
    executor.name: executor
    for executor in (MPI4Py, ProcessPool, Loky, Sequential, Dask, IPyParallel)
}


def launcher_for(
    executor_type: str | Callable[[int], Pool], callables: Sequence[Callable[[int], Pool]] = ()
) -> Launcher:
    """Return the launcher for an ``executor_type``.

    Parameters
    ----------
    executor_type : str or callable
        A name of `LAUNCHERS`, ``"callable:INDEX"`` (a place in `callables`), or a callable
        that takes the number of workers and returns a `concurrent.futures.Executor`.
    callables : sequence of callable
        The scheduler's ``executor_callables``.

    Raises
    ------
    InputError
        No launcher has this name.
    """
    if not isinstance(executor_type, str):
        return Custom(executor_type)
    name, colon, index = executor_type.partition(":")
    if name == Custom.name and colon and index.isdecimal() and int(index) < len(callables):
        return Custom(callables[int(index)])
    if executor_type not in LAUNCHERS:
        raise unknown_executor_type(executor_type)
    return LAUNCHERS[executor_type]()
