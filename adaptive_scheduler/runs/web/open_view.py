"""Makes the view of a run for one browser."""

from __future__ import annotations

from collections.abc import Callable

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.runs.views.page.session import ViewSession
from adaptive_scheduler.runs.views.page.source import RunSource


def opener(may_change: bool) -> Callable[[RunFolder], ViewSession]:
    """Return what makes views: each browser has one of its own, with its own connection."""
    return lambda folder: ViewSession(RunSource(folder), may_change)
