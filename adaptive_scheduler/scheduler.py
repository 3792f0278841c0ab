"""The schedulers that users name: `SLURM`, `PBS`, `LocalScheduler`, and `Here`.

Where they are, and where a new one is added: `adaptive_scheduler.schedulers.registry`. All but
`Here` also list and cancel jobs (`adaptive_scheduler.runs.compat.batch.public_scheduler`).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adaptive_scheduler.runs.compat.batch.partitions import slurm_partitions
    from adaptive_scheduler.runs.compat.batch.public_scheduler import (
        PublicScheduler as BaseScheduler,
    )
    from adaptive_scheduler.schedulers.here import Here
    from adaptive_scheduler.schedulers.local import LocalScheduler
    from adaptive_scheduler.schedulers.pbs import PBS
    from adaptive_scheduler.schedulers.slurm import SLURM

    DefaultScheduler = SLURM

__all__ = [
    "PBS",
    "SLURM",
    "BaseScheduler",
    "DefaultScheduler",
    "Here",
    "LocalScheduler",
    "slurm_partitions",
]

#: Where each name has its home, and what it is called there.
_HOMES = {
    "BaseScheduler": ("runs.compat.batch.public_scheduler", "PublicScheduler"),
    "Here": ("schedulers.here", "Here"),
    "slurm_partitions": ("runs.compat.batch.partitions", "slurm_partitions"),
}


def __getattr__(name: str) -> Any:
    if name in ("SLURM", "PBS", "LocalScheduler", "DefaultScheduler"):
        from adaptive_scheduler.runs.compat.batch import public_scheduler as public

        return (
            public.detected()
            if name == "DefaultScheduler"
            else public.public_class(public.PUBLIC[name])
        )
    if name in _HOMES:
        module, own = _HOMES[name]
        return getattr(importlib.import_module(f"adaptive_scheduler.{module}"), own)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
