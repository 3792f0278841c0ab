"""Launchers whose pools are child processes of the client, on one node."""

from __future__ import annotations

import inspect
import multiprocessing
import multiprocessing.context
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor as Pool
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar, Literal

from adaptive_scheduler.errors import UserCodeError
from adaptive_scheduler.executors import worker, worker_process
from adaptive_scheduler.executors.base import Launcher, missing

_starting = threading.Lock()


@contextmanager
def clean_start() -> Iterator[None]:
    """Start a child that does not import ``__main__``, with the client's signals blocked.

    multiprocessing lets a child import the parent's ``__main__``, which is the client here, whose
    imports take 1.4 s. Functions of ``__main__`` are sent by value instead. The signals stay
    blocked until the child ignores them, so that none of them kills it before.
    """
    main: dict[str, Any] = sys.modules["__main__"].__dict__
    with _starting:
        hidden: dict[str, Any] = {
            name: main.pop(name) for name in ("__spec__", "__file__") if name in main
        }
        main["__spec__"] = None
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, worker_process.IGNORED_SIGNALS)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            main.update(hidden)


class _SpawnProcess(multiprocessing.context.SpawnProcess):
    def start(self) -> None:
        with clean_start():
            super().start()


class _ForkServerProcess(multiprocessing.context.ForkServerProcess):
    def start(self) -> None:
        with clean_start():
            super().start()


class _SpawnContext(multiprocessing.context.SpawnContext):
    Process = _SpawnProcess


def spawn_context() -> multiprocessing.context.SpawnContext:
    """Return a context whose processes neither import ``__main__`` nor die of the client's signals."""
    return _SpawnContext()


class _ForkServerContext(multiprocessing.context.ForkServerContext):
    Process = _ForkServerProcess


class _ProcessPool(ProcessPoolExecutor):
    """A pool that keeps a list of its processes."""

    def __init__(self, workers: int, context: Any) -> None:
        self.made: list[Any] = []
        make = context.Process

        def process(**kwargs: Any) -> Any:
            self.made.append(make(**kwargs))
            return self.made[-1]

        context.Process = process
        super().__init__(
            workers,
            mp_context=context,
            initializer=worker_process.start_pool_worker,
            initargs=(os.getpid(),),
        )


class ProcessPool(Launcher):
    """``"process-pool"``: `concurrent.futures.ProcessPoolExecutor` with one worker per core.

    Parameters
    ----------
    start_method : {"spawn", "forkserver"}
        How workers are started. Not by fork, because the client has threads.
    """

    name: ClassVar[str] = "process-pool"

    def __init__(self, start_method: Literal["spawn", "forkserver"] = "spawn") -> None:
        self.start_method = start_method

    def open(self, cores: int) -> Pool:
        """Open the pool; processes are started as points come."""
        context = spawn_context() if self.start_method == "spawn" else _ForkServerContext()
        return _ProcessPool(self.workers(cores), context)

    def close(self, pool: Pool, patience: float) -> bool:
        """Cancel waiting points; kill workers that still evaluate after `patience` seconds."""
        thread = getattr(pool, "_executor_manager_thread", None)
        pool.shutdown(wait=False, cancel_futures=True)
        end = time.monotonic() + patience
        for process in pool.made if isinstance(pool, _ProcessPool) else ():
            process.join(max(0.0, end - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join(5)
        if thread is not None:  # else it and Python's exit would close the same pipe
            thread.join(5)
        return True


class Sequential(ProcessPool):
    """``"sequential"``: one worker process, whatever the number of cores."""

    name: ClassVar[str] = "sequential"

    def workers(self, cores: int) -> int:  # noqa: ARG002
        """Always 1."""
        return 1


class Loky(Launcher):
    """``"loky"``: a pool of the package loky, with one worker per core."""

    name: ClassVar[str] = "loky"

    def open(self, cores: int) -> Pool:
        """Open the pool."""
        try:
            from loky import ProcessPoolExecutor as LokyPool
        except ModuleNotFoundError as error:
            raise missing(self.name, error) from error
        pool: Pool = LokyPool(
            self.workers(cores),
            initializer=worker_process.start_pool_worker,
            initargs=(os.getpid(),),
        )
        return pool

    def close(self, pool: Pool, patience: float) -> bool:  # noqa: ARG002
        """Kill the workers: loky cannot wait with a timeout."""
        pool.shutdown(wait=True, kill_workers=True)  # type: ignore[call-arg]
        return True


def _shut_down(pool: Pool) -> None:
    parameters = inspect.signature(pool.shutdown).parameters
    if "cancel_futures" in parameters:
        pool.shutdown(wait=True, cancel_futures=True)
    else:  # older than Python 3.9, as dask's and ipyparallel's
        pool.shutdown(wait=True)


class Custom(Launcher):
    """A user's callable that takes the number of workers and returns a pool."""

    name: ClassVar[str] = "callable"

    def __init__(self, function: Callable[[int], Pool]) -> None:
        self.function = function

    def close(self, pool: Pool, patience: float) -> bool:
        """Cancel waiting points; False if workers still evaluate after `patience` seconds."""
        end = partial(_shut_down, pool)
        waiting = threading.Thread(target=end, name="pool's end", daemon=True)
        waiting.start()
        waiting.join(patience)
        return not waiting.is_alive()

    def abort(self, status: int) -> None:
        """End this process and its children, for which Python would wait otherwise."""
        for child in multiprocessing.active_children():
            child.kill()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    def open(self, cores: int) -> Pool:
        """Call the user's function.

        Raises
        ------
        UserCodeError
            It raised, or did not return an Executor.
        """
        try:
            pool = self.function(self.workers(cores))
        except BaseException as error:  # the border to the user's code
            name, message, text, _ = worker.describe(error)
            raise UserCodeError("executor_type", f"{name}: {message}", text) from error
        if not isinstance(pool, Pool):
            raise UserCodeError(
                "executor_type",
                f"TypeError: it returned {pool!r}, which is no concurrent.futures.Executor",
            )
        return pool
