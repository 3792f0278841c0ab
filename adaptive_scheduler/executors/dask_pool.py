"""Launcher whose pool is a dask cluster on the job's node."""

from __future__ import annotations

import os
import signal
import tempfile
from concurrent.futures import Executor as Pool
from contextlib import suppress
from typing import Any, ClassVar

from adaptive_scheduler.executors import worker_process
from adaptive_scheduler.executors.base import Launcher, missing
from adaptive_scheduler.executors.process_pools import clean_start


class Dask(Launcher):
    """``"dask"``: a cluster of dask with one worker process of one thread per core."""

    name: ClassVar[str] = "dask"

    def __init__(self) -> None:
        self._client: Any = None

    def open(self, cores: int) -> Pool:
        """Start scheduler and workers, which speak TLS: on a node there are other users.

        Raises
        ------
        EnvironmentMismatchError
            The packages are not installed on the node.
        """
        try:
            import cryptography  # noqa: F401  dask says that it is missing only later
            from distributed import Client, LocalCluster
        except ModuleNotFoundError as error:
            raise missing(self.name, error) from error
        with clean_start():
            cluster = LocalCluster(
                n_workers=self.workers(cores),
                threads_per_worker=1,
                memory_limit=None,  # the batch system's is the job's
                dashboard_address=None,
                security=True,
                local_directory=tempfile.gettempdir(),
                silence_logs="ERROR",
            )
        self._client = Client(cluster)
        self._client.register_plugin(_setup(os.getpid()), name="adaptive_scheduler")
        pool: Pool = self._client.get_executor()
        return pool

    def close(self, pool: Pool, patience: float) -> bool:
        """Cancel waiting points; kill workers that still evaluate after `patience` seconds."""
        pool.shutdown(wait=False)
        cluster = self._client.cluster
        pids = [nanny.pid for nanny in cluster.workers.values() if nanny.pid]
        with suppress(TimeoutError):
            self._client.close(timeout=patience)
        with suppress(TimeoutError):
            cluster.close(timeout=patience)
            return True
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(TimeoutError):
            cluster.close(timeout=patience)
        return True


def _setup(client: int) -> Any:
    """A plugin that sets up each worker, one that dask starts again too, to end after the client."""
    from distributed import WorkerPlugin

    class EndsWithClient(WorkerPlugin):  # type: ignore[misc]
        def setup(self, worker: Any) -> None:  # noqa: ARG002
            worker_process.start_pool_worker(client)

    return EndsWithClient()
