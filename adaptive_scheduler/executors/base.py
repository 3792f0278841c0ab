"""Base class of launchers: how the client is started on a job's cores, and its pool opened."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from concurrent.futures import Executor as Pool
from typing import ClassVar

from adaptive_scheduler.errors import EnvironmentMismatchError


def missing(executor_type: str, error: ModuleNotFoundError) -> EnvironmentMismatchError:
    """Return the error that names the package which an executor type needs, and the extra that has it."""
    return EnvironmentMismatchError(
        f"executor_type={executor_type!r} needs the package {error.name} on the node: "
        f"pip install 'adaptive-scheduler[{executor_type}]'"
    )


class Launcher(abc.ABC):
    """One way to use the cores of a job, independent of the batch system."""

    #: The name that users type as ``executor_type``.
    name: ClassVar[str]
    #: Whether the client is started by the MPI launcher, one rank per core.
    uses_launcher: ClassVar[bool] = False

    def command(self, launcher: Sequence[str], python: str, target: Sequence[str]) -> list[str]:
        """Argument list that starts the client in the job.

        Parameters
        ----------
        launcher : sequence of str
            The MPI launcher with its count of ranks; used if `uses_launcher`.
        python : str
            Python of the job.
        target : sequence of str
            What Python runs: ``["-m", "adaptive_scheduler.client", ...]`` or a script.
        """
        return [*(launcher if self.uses_launcher else ()), python, *target]

    def workers(self, cores: int) -> int:
        """How many points a job with this number of cores evaluates at a time, at least 1."""
        return max(cores, 1)

    @abc.abstractmethod
    def open(self, cores: int) -> Pool:
        """Open the pool, whose workers ignore the signals that are meant for the client.

        Raises
        ------
        EnvironmentMismatchError
            The processes of the job are not those that were asked for.
        """

    def leftover_files(self) -> list[str]:
        """Files on this node that its processes leave behind when they are killed by SIGKILL."""
        return []

    def close(self, pool: Pool, patience: float) -> bool:  # noqa: ARG002
        """Cancel waiting points and end the workers, within `patience` seconds.

        Returns
        -------
        bool
            False if some workers still evaluate; the caller then ends its process with `abort`.
        """
        pool.shutdown(wait=False, cancel_futures=True)
        return True

    def abort(self, status: int) -> None:  # noqa: B027
        """End this process with all that would outlive it; returns if there is nothing."""
