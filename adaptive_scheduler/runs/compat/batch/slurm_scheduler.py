"""Makes the `SLURM` scheduler of `slurm_run` and `SlurmExecutor`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adaptive_scheduler.errors import InputError
from adaptive_scheduler.runs.compat.batch.partitions import (
    cores_of,
    default_partition,
    refuse_unknown,
)
from adaptive_scheduler.runs.compat.batch.public_scheduler import PublicScheduler, public_class


def slurm_scheduler(given: Mapping[str, Any], more: Mapping[str, Any] | None) -> PublicScheduler:
    """Return the scheduler; what is not given is asked of Slurm.

    Parameters
    ----------
    given : mapping
        Keywords of `SLURM`. ``partition=None`` is the default partition, ``cores_per_node=None`` all
        cores of its nodes.
    more : mapping, optional
        ``extra_scheduler_kwargs``.

    Raises
    ------
    InputError
        A keyword is given twice, or this is no Slurm cluster.
    """
    more = more or {}
    options = {name: value for name, value in given.items() if value is not None}
    for name, value in more.items():
        if name in ("extra_scheduler", "extra_env_vars", "memory") and name in options:
            raise InputError(
                f"{name}= and extra_scheduler_kwargs['{name}'] are both given: give one."
            )
        options[name] = value
    options.setdefault("partition", None)
    if options["partition"] is None:
        options["partition"] = default_partition()
    else:
        refuse_unknown(options["partition"])
    if "cores" in more:
        options = {
            name: value for name, value in options.items() if name not in _SPREAD or name in more
        }
    elif options.get("cores_per_node") is None:
        options["cores_per_node"] = _all_cores(options["partition"])
    return public_class("slurm")(**options)


_SPREAD = ("nodes", "cores_per_node")


def _all_cores(partition: Any) -> Any:
    if not isinstance(partition, tuple):
        return cores_of(partition)
    if any(callable(one) for one in partition):
        raise InputError(
            "partition: a callable is called when the run starts: give cores_per_node=..."
        )
    return tuple(cores_of(one) for one in partition)
