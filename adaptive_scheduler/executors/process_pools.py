"""Executors whose workers are children of the client, on one node."""

from __future__ import annotations

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

from adaptive_scheduler.errors import EnvironmentMismatchError, UserCodeError
from adaptive_scheduler.executors import worker, worker_process
from adaptive_scheduler.executors.base import Launcher

_starting = threading.Lock()


@contextmanager
def _clean_start() -> Iterator[None]:
    """Start a process that neither runs our ``__main__`` nor can be killed by a signal for us.

    multiprocessing makes a child import the parent's ``__main__``: here that is
    the client, whose imports cost a worker 1.4 s. Functions of ``__main__``
    travel by value instead. The signals stay blocked in the child until it
    ignores them.
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
        with _clean_start():
            super().start()


class _ForkServerProcess(multiprocessing.context.ForkServerProcess):
    def start(self) -> None:
        with _clean_start():
            super().start()


class _SpawnContext(multiprocessing.context.SpawnContext):
    Process = _SpawnProcess


class _ForkServerContext(multiprocessing.context.ForkServerContext):
    Process = _ForkServerProcess


class _ProcessPool(ProcessPoolExecutor):
    """A pool that can say which processes it has made."""

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
        How workers are made. Never by fork: the client has threads.
    """

    name: ClassVar[str] = "process-pool"

    def __init__(self, start_method: Literal["spawn", "forkserver"] = "spawn") -> None:
        self.start_method = start_method

    def open(self, cores: int) -> Pool:
        """Open the pool; processes are made as points come."""
        context = _SpawnContext() if self.start_method == "spawn" else _ForkServerContext()
        return _ProcessPool(self.workers(cores), context)

    def close(self, pool: Pool, patience: float) -> bool:
        """Drop what waits; workers that still evaluate after `patience` seconds are killed."""
        thread = getattr(pool, "_executor_manager_thread", None)
        pool.shutdown(wait=False, cancel_futures=True)
        end = time.monotonic() + patience
        for process in pool.made if isinstance(pool, _ProcessPool) else ():
            process.join(max(0.0, end - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join(5)
        if thread is not None:  # at Python's exit it and Python would close the same pipe
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
            raise EnvironmentMismatchError(
                "executor_type='loky' needs the package loky on the node: pip install loky"
            ) from error
        pool: Pool = LokyPool(
            self.workers(cores),
            initializer=worker_process.start_pool_worker,
            initargs=(os.getpid(),),
        )
        return pool

    def close(self, pool: Pool, patience: float) -> bool:  # noqa: ARG002
        """Kill the workers: loky cannot wait for a time."""
        pool.shutdown(wait=True, kill_workers=True)  # type: ignore[call-arg]
        return True


class Custom(Launcher):
    """A callable of the user's that takes the number of workers and returns a pool."""

    name: ClassVar[str] = "callable"

    def __init__(self, function: Callable[[int], Pool]) -> None:
        self.function = function

    def close(self, pool: Pool, patience: float) -> bool:
        """Drop what waits; False if something still evaluates after `patience` seconds."""
        end = partial(pool.shutdown, wait=True, cancel_futures=True)
        waiting = threading.Thread(target=end, name="pool's end", daemon=True)
        waiting.start()
        waiting.join(patience)
        return not waiting.is_alive()

    def abort(self, status: int) -> None:
        """End this process and the children of its pool, for which Python would wait."""
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
            It raised, or returned something else than an Executor.
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
