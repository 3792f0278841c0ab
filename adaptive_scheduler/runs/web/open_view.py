"""Makes the view of a run for one browser."""

from __future__ import annotations

from collections.abc import Callable

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.runs.views.page.session import ViewSession


class _Snapshots:
    def __init__(self, folder: RunFolder) -> None:
        self._client = ManagerClient(folder)

    def snapshot(self) -> Snapshot:
        return self._client.snapshot("active")


def opener(may_change: bool) -> Callable[[RunFolder], ViewSession]:
    """Return what makes views: each browser has one of its own, with its own connection."""
    return lambda folder: ViewSession(_Snapshots(folder), may_change)
