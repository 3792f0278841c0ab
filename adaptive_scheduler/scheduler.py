"""The schedulers that users name: `SLURM`, `PBS`, `LocalScheduler`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adaptive_scheduler.schedulers.local import LocalScheduler
    from adaptive_scheduler.schedulers.pbs import PBS
    from adaptive_scheduler.schedulers.slurm import SLURM

__all__ = ["PBS", "SLURM", "LocalScheduler"]

_MODULES = {"SLURM": "slurm", "PBS": "pbs", "LocalScheduler": "local"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"adaptive_scheduler.schedulers.{_MODULES[name]}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
