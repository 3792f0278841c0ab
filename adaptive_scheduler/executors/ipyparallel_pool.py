"""Launcher whose pool is a cluster of ipyparallel on the job's node."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Executor as Pool
from typing import Any, ClassVar

from adaptive_scheduler.executors import worker_process
from adaptive_scheduler.executors.base import Launcher, missing

#: Seconds in which engines must have come: each imports IPython, from a shared disk perhaps.
_PATIENCE = 300


class IPyParallel(Launcher):
    """``"ipyparallel"``: a controller and one engine per core, with a profile of their own."""

    name: ClassVar[str] = "ipyparallel"

    def __init__(self) -> None:
        self._folder = ""
        self._client: Any = None
        self._processes: list[int] = []

    def open(self, cores: int) -> Pool:
        """Start controller and engines, and wait for these.

        Raises
        ------
        EnvironmentMismatchError
            The package is not installed on the node.
        """
        try:
            from ipyparallel import Cluster
        except ModuleNotFoundError as error:
            raise missing(self.name, error) from error
        import psutil

        n = self.workers(cores)
        self._folder = tempfile.mkdtemp(prefix="adaptive-scheduler-ipyparallel-")
        before = {one.pid for one in psutil.Process().children(recursive=True)}
        cluster = Cluster(
            n=n,
            profile_dir=self._folder,
            controller_ip="127.0.0.1",
            engine_timeout=_PATIENCE,
            log_level=logging.ERROR,
        )
        self._client = cluster.start_and_connect_sync(n=n)
        cluster.shutdown_atexit = False  # `close` ends it
        now = {one.pid for one in psutil.Process().children(recursive=True)}
        self._processes = sorted(now - before)
        self._set_up()
        pool: Pool = self._client.load_balanced_view().executor
        return pool

    def _set_up(self) -> None:
        """Set up all engines; end them if one does not answer, as they could outlive the job."""
        begun = self._client[:].apply_async(
            start_engine, os.getpid(), self._processes, self._folder
        )
        try:
            begun.get(timeout=_PATIENCE)
        except BaseException:
            kill(self._processes, self._folder)
            raise

    def close(self, pool: Pool, patience: float) -> bool:
        """Cancel waiting points; kill all after `patience` seconds, for engines may still evaluate."""
        pool.shutdown(wait=False)
        self._client.abort(block=False)
        self._client.wait(timeout=patience)
        self._client.close()
        kill(self._processes, self._folder)
        return True


def start_engine(client: int, processes: Sequence[int], folder: str) -> None:
    """Set up an engine: signals, and the end of all when the client has ended.

    Parameters
    ----------
    client : int
        The client's process id.
    processes : sequence of int
        Those of controller and engines.
    folder : str
        Their profile.
    """
    from IPython import get_ipython

    kernel = get_ipython().kernel
    # these make each call end at a SIGINT, which is for the client
    kernel.pre_handler_hook = kernel.post_handler_hook = _leave_signals
    worker_process.ignore_signals()
    threading.Thread(target=_end_with, args=(client, processes, folder), daemon=True).start()


def _leave_signals() -> None:
    """What ipykernel does before and after each call: nothing."""


def _end_with(client: int, processes: Sequence[int], folder: str) -> None:
    while os.getppid() == client:
        time.sleep(1)
    kill(processes, folder)


def kill(processes: Sequence[int], folder: str) -> None:
    """Kill processes, this one last, and remove their folder."""
    import psutil

    me = os.getpid()
    for pid in processes:
        if pid != me and psutil.pid_exists(pid):
            psutil.Process(pid).kill()
    shutil.rmtree(folder, ignore_errors=True)
    if me in processes:
        os._exit(1)
