"""The schedulers that users name: `SLURM`, `PBS`, `LocalScheduler`, and `Here`.

Where they are, and where a new one is added: `adaptive_scheduler.schedulers.registry`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adaptive_scheduler.schedulers.here import Here
    from adaptive_scheduler.schedulers.local import LocalScheduler
    from adaptive_scheduler.schedulers.pbs import PBS
    from adaptive_scheduler.schedulers.slurm import SLURM

__all__ = ["PBS", "SLURM", "Here", "LocalScheduler"]


def __getattr__(name: str) -> Any:
    from adaptive_scheduler.schedulers.registry import BUILT_IN

    if name == "Here":  # no batch system: jobs cannot be submitted to it
        return importlib.import_module("adaptive_scheduler.schedulers.here").Here

    for module, class_name in BUILT_IN.values():
        if class_name == name:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
