"""Launches a client on rank 0 of an MPI world, whose other ranks evaluate points."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Executor as Pool
from pathlib import Path
from typing import Any, ClassVar

from adaptive_scheduler.errors import EnvironmentMismatchError
from adaptive_scheduler.executors import worker_process
from adaptive_scheduler.executors.base import Launcher
from adaptive_scheduler.executors.process_pools import ProcessPool

#: MPICH 4 (src/util/mpl/src/shm): what it maps in every rank of a node.
_SHARED_MEMORY = "/dev/shm/mpich_shm_"  # noqa: S108  only compared


class MPI4Py(Launcher):
    """``"mpi4py"``: rank 0 is the client, the other ranks evaluate points.

    The client runs in ``python -m mpi4py.futures``. In a job of one core the one worker is a child
    process of the client.
    """

    name: ClassVar[str] = "mpi4py"
    uses_launcher: ClassVar[bool] = True

    def command(self, launcher: Sequence[str], python: str, target: Sequence[str]) -> list[str]:
        """``mpiexec -n N python -m mpi4py.futures TARGET``."""
        return [*launcher, python, "-m", "mpi4py.futures", *target]

    def workers(self, cores: int) -> int:
        """All ranks except the client's, at least 1."""
        return max(cores - 1, 1)

    def open(self, cores: int) -> Pool:
        """Open the pool of this MPI world and wait for its ranks.

        Raises
        ------
        EnvironmentMismatchError
            The size of the world is not the number of ranks of the job.
        """
        from mpi4py import MPI
        from mpi4py.futures import MPIPoolExecutor

        size = MPI.COMM_WORLD.Get_size()
        if size != cores:
            raise EnvironmentMismatchError(_mismatch(size, cores, MPI))
        if size == 1:
            return ProcessPool().open(1)
        if not _in_mpi4py_futures():
            raise EnvironmentMismatchError(
                "The client was not started by 'python -m mpi4py.futures', so the other "
                f"{size - 1} ranks do not wait for points. Start it with the job script's command."
            )
        # main=False: ranks do not need the client's __main__
        pool: Any = MPIPoolExecutor(initializer=worker_process.start_mpi_rank, main=False)
        pool.bootup()
        return pool  # type: ignore[no-any-return]

    def leftover_files(self) -> list[str]:
        """MPICH's shared memory: a file with a megabyte per rank, which only a normal end removes.

        Its name is found in the memory maps of this process. The file of MPICH's launcher
        (`topology_file`) is removed at once if it is certain which one that is.
        """
        from adaptive_scheduler.executors import topology_file  # it imports psutil

        try:
            lines = Path("/proc/self/maps").read_text(errors="replace").splitlines()
        except OSError:  # not Linux
            return []
        names = {line.split(maxsplit=5)[-1] for line in lines if _SHARED_MEMORY in line}
        memory = sorted(name for name in names if name.startswith(_SHARED_MEMORY))
        return [*memory, *topology_file.remove()]

    def close(self, pool: Pool, patience: float) -> bool:
        """Cancel waiting points; False if ranks still evaluate after `patience` seconds."""
        if not hasattr(pool, "num_workers"):
            return ProcessPool().close(pool, patience)
        pool.shutdown(wait=False, cancel_futures=True)
        thread = pool._pool.thread  # type: ignore[attr-defined]  # noqa: SLF001
        end = time.monotonic() + patience
        while thread.is_alive() and time.monotonic() < end:
            thread.join(min(0.05, patience))
        return not thread.is_alive()

    def abort(self, status: int) -> None:
        """End all ranks of the world at once, including this one."""
        from mpi4py import MPI

        if MPI.COMM_WORLD.Get_size() > 1:
            MPI.COMM_WORLD.Abort(status)


def _in_mpi4py_futures() -> bool:
    from mpi4py.futures import _core

    return _core.SharedPool is not None


def _mismatch(size: int, cores: int, mpi: Any) -> str:
    library = mpi.Get_library_version().splitlines()[0].strip("\0 ")
    worlds = f" (so there are {cores} clients instead of 1)" if size == 1 else ""
    return (
        f"This job was given {cores} MPI ranks, but this process sees an MPI world of {size}"
        f"{worlds}: the launcher and mpi4py belong to different MPI libraries. mpi4py here uses "
        f"{library!r}. Give mpiexec_executable= the launcher of that library (for srun the "
        "plug-in that it speaks, such as 'srun --mpi=pmi2'), or install the mpi4py that fits "
        "the launcher."
    )
