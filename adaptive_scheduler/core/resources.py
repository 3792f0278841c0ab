"""The resources that one job requests from the batch system."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import msgspec

from adaptive_scheduler.core import times
from adaptive_scheduler.core.options.sizes import MIB, SizeLike, size
from adaptive_scheduler.core.texts import check_argument
from adaptive_scheduler.errors import InputError

#: Executor types whose workers are child processes of the client, on one node.
SINGLE_PROCESS_EXECUTORS = frozenset({"process-pool", "loky", "sequential", "dask", "ipyparallel"})
#: Executor types by name; a user's own is ``callable:INDEX``.
EXECUTOR_TYPES = ("mpi4py", "process-pool", "loky", "sequential", "dask", "ipyparallel")
#: Names that adaptive-scheduler 2 has, and what there is in their place.
FORMER_TYPES = {
    "dask-mpi": "'dask', which uses the cores of one node; or 'mpi4py', which uses those of several",
}


class Resources(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The shape of one job. A job can run any item that requests equal resources.

    Attributes
    ----------
    cores : int
        MPI ranks (or worker processes) of the whole job, on all its nodes.
    nodes, cores_per_node : int, optional
        How the cores are distributed; None: the batch system decides.
    memory : int, optional
        MiB on each node.
    walltime : int, optional
        Seconds; None: the limit of the partition or queue.
    partition : str, optional
        SLURM's partition or PBS's queue.
    gpus : int, optional
        GPUs on each node.
    exclusive : bool
        No other job on the nodes.
    extra_scheduler : tuple of str
        Options that are passed to the batch system unchanged.
    extra_env_vars : tuple of (str, str)
        Exported to the job literally: no shell expands them.
    extra_script : str
        Shell lines run before the client starts.
    executor_type : str
        How the job uses its cores; see `adaptive_scheduler.executors`.
    num_threads : int
        Threads of each worker (``OMP_NUM_THREADS`` and its kin).
    """

    cores: int = 1
    nodes: int | None = None
    cores_per_node: int | None = None
    memory: int | None = None
    walltime: int | None = None
    partition: str | None = None
    gpus: int | None = None
    exclusive: bool = False
    extra_scheduler: tuple[str, ...] = ()
    extra_env_vars: tuple[tuple[str, str], ...] = ()
    extra_script: str = ""
    executor_type: str = "mpi4py"
    num_threads: int = 1

    @property
    def cores_on_each(self) -> int:
        """Cores on each node, where they are divided evenly."""
        return self.cores // (self.nodes or 1)

    @property
    def is_single_process(self) -> bool:
        """Whether the job is one task, whose client starts all workers on its node."""
        return self.executor_type in SINGLE_PROCESS_EXECUTORS or ":" in self.executor_type


def parse_executor_type(value: object, name: str = "executor_type") -> str:
    """Return the name of an executor, or ``callable:INDEX``; InputError for any other."""
    if not isinstance(value, str) or (
        value not in EXECUTOR_TYPES and re.fullmatch(r"callable:\d+", value) is None
    ):
        raise unknown_executor_type(value, name)
    return value


def unknown_executor_type(value: object, name: str = "executor_type") -> InputError:
    """Return the error that says what there is instead."""
    if isinstance(value, str) and value in FORMER_TYPES:
        return InputError(f"{name}={value!r} is not there: use {FORMER_TYPES[value]}.")
    known = ", ".join(map(repr, EXECUTOR_TYPES))
    return InputError(
        f"{name}={value!r} is not known. Use one of {known}, or a callable that takes the "
        "number of workers and returns a concurrent.futures.Executor."
    )


def parse_walltime(value: times.TimeLike | None, name: str = "walltime") -> int | None:
    """Return the whole seconds (rounded up) of a walltime, as `core.times` reads it."""
    return None if value is None else math.ceil(times.seconds(value, name))


def parse_memory(value: SizeLike | None, name: str = "memory") -> int | None:
    """Return whole MiB (rounded up) of a size: a number is MiB, texts as in `options.sizes`."""
    return None if value is None else math.ceil(size(value, name, MIB) / MIB)


def parse_environment(
    value: Mapping[str, object] | None, name: str = "extra_env_vars"
) -> tuple[tuple[str, str], ...]:
    """Check a mapping of environment variables; values are kept literally.

    Returns
    -------
    tuple of (str, str)
        In the order given, so that equal mappings make equal `Resources`.
    """
    if not value:
        return ()
    if not isinstance(value, Mapping):
        raise InputError(
            f"{name} must be a mapping such as {{'KEY': 'value'}}, not {value!r}. What a "
            "shell must expand goes into extra_script."
        )
    for key, text in value.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", str(key)):
            raise InputError(f"{name}: {key!r} cannot be the name of an environment variable.")
        check_argument(f"{key}={text}", f"{name}[{key!r}]")
    return tuple((str(key), str(text)) for key, text in value.items())
