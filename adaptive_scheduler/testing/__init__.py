"""Public fakes: a clock that tests move, a batch system, a wire and clients in virtual time."""

from __future__ import annotations

from adaptive_scheduler.testing.batch import VirtualBatchSystem, VirtualJob
from adaptive_scheduler.testing.client import VirtualClient
from adaptive_scheduler.testing.clock import Clock
from adaptive_scheduler.testing.manager import MemoryStore, VirtualManager
from adaptive_scheduler.testing.world import World

__all__ = [
    "Clock",
    "MemoryStore",
    "VirtualBatchSystem",
    "VirtualClient",
    "VirtualJob",
    "VirtualManager",
    "World",
]
