"""Where a view has a run from: its manager, or its files."""

from __future__ import annotations

from typing import Protocol

from adaptive_scheduler.core.wire.snapshot import Snapshot


class Source(Protocol):
    """What a `ViewSession` asks. Each call may take a while; none is made by two threads at a time."""

    def snapshot(self) -> Snapshot:
        """Return how the run stands now, with its active and failed items."""
