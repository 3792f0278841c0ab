"""Changes to a run that no manager holds."""

from __future__ import annotations

import time
from collections.abc import Container

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.items import OVER, Phase
from adaptive_scheduler.io.storage import row_codec as state
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.runs.start.prepare import held
from adaptive_scheduler.runs.start.previous_run import open_store, requeue


def resume(folder: RunFolder) -> int:
    """Let the next manager go on: neither held nor cancelled; returns how many are queued again."""
    return _requeue(folder, (Phase.CANCELLED,), None)


def retry(folder: RunFolder, rows: Container[int]) -> int:
    """Queue ended learners again; returns how many."""
    return _requeue(folder, OVER, rows)


def cancel(folder: RunFolder) -> bool:
    """Cancel a run that has no job; False, with nothing changed, if there may be one."""
    config = read_config(folder)
    with held(folder), open_store(folder) as store:
        book, jobs = state.open_books(store.tables, folder, config, time.monotonic())
        if any(True for _ in jobs.living()) or jobs.submit_views(time.monotonic()):
            return False
        book.cancel(time.time())
        state.note_changes(store, book, jobs)
        store.put(
            state.RUN_TABLE, state.RUN_ROW, state.RunRow(cancelled=True, pardoned=jobs.pardoned)
        )
        store.commit()
    return True


def _requeue(folder: RunFolder, phases: Container[Phase], rows: Container[int] | None) -> int:
    config = read_config(folder)
    with held(folder), open_store(folder) as store:
        return requeue(store, config, phases, rows)
