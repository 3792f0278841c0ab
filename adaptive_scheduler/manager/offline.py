"""Changes to a run that no manager holds."""

from __future__ import annotations

from collections.abc import Container

from adaptive_scheduler.core.items import ENDED, Phase
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.manager import state
from adaptive_scheduler.manager.prepare import held
from adaptive_scheduler.manager.rows import open_store, requeue


def resume(folder: RunFolder) -> int:
    """Let the next manager go on: neither held nor cancelled; returns how many are queued again."""
    return _requeue(folder, (Phase.CANCELLED,), None)


def retry(folder: RunFolder, rows: Container[int]) -> int:
    """Queue ended learners again; returns how many."""
    return _requeue(folder, ENDED, rows)


def _requeue(folder: RunFolder, phases: Container[Phase], rows: Container[int] | None) -> int:
    config = state.read_config(folder)
    with held(folder), open_store(folder) as store:
        return requeue(store, config, phases, rows)
