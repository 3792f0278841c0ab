"""Changes the database of a run while no manager of it runs."""

from __future__ import annotations

import time
from collections.abc import Container, Sequence

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows import run_row
from adaptive_scheduler.core.rows.events import Cancelled
from adaptive_scheduler.core.rows.row import OVER, Phase
from adaptive_scheduler.core.wire.messages import Refused
from adaptive_scheduler.io.storage import row_codec
from adaptive_scheduler.io.storage.read_only import read_tables
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.runs.start.prepare import held
from adaptive_scheduler.runs.start.previous_run import open_store, requeue


def resume(folder: RunFolder) -> int:
    """Queue cancelled learners again, and let the next manager submit; returns how many."""
    return _requeue(folder, (Phase.CANCELLED,), None)


def resume_tasks(folder: RunFolder) -> int:
    """Queue the tasks that a cancelled run had left again; those cancelled singly stay so.

    The next manager submits; returns how many.
    """
    was_cancelled = row_codec.read_run(read_tables(folder)).cancelled
    return _requeue(folder, (Phase.CANCELLED,) if was_cancelled else (), None)


def retry(folder: RunFolder, rows: Container[int]) -> int:
    """Queue these learners again if they have ended; returns how many."""
    return _requeue(folder, OVER, rows)


def cancel(folder: RunFolder) -> int | None:
    """Cancel a run that has no job; returns how many learners.

    Returns None and changes nothing if there may be a job.
    """
    config = read_config(folder)
    with held(folder), open_store(folder) as store:
        run = row_codec.open_state(store.tables, folder, config, time.monotonic(), store)
        if run.jobs.live or run.jobs.pending_submits:
            return None
        n = run.items.unfinished
        if n == 0 and not run.tasks.is_open:
            return 0
        run.items.cancel(time.time())
        row_codec.note_changes(store, run)
        store.put(
            run_row.RUN_TABLE,
            run_row.RUN_ROW,
            run_row.RunRow(cancelled=True, pardoned=run.jobs.ignored_deaths),
        )
        store.commit()
    return n


def cancel_items(folder: RunFolder, rows: Sequence[int]) -> int:
    """Cancel some learners; returns how many had not ended before.

    A job that runs one of them stops it when it reaches the next manager.
    """
    config = read_config(folder)
    with held(folder), open_store(folder) as store:
        run = row_codec.open_state(store.tables, folder, config, time.monotonic(), store)
        now = time.time()
        answers = [run.items.apply(row, Cancelled(), now) for row in rows]
        row_codec.note_changes(store, run)
        store.commit()
    return sum(not isinstance(answer, Refused) for answer in answers)


def prioritise(folder: RunFolder, rows: Sequence[int], priority: float) -> int:
    """Give tasks a new priority; returns how many have not ended."""
    config = read_config(folder)
    with held(folder), open_store(folder) as store:
        run = row_codec.open_state(store.tables, folder, config, time.monotonic(), store)
        now = time.time()
        answers = [run.items.prioritise(row, priority, now) for row in rows]
        row_codec.note_changes(store, run)
        store.commit()
    return sum(not isinstance(answer, Refused) for answer in answers)


def _requeue(folder: RunFolder, phases: Container[Phase], rows: Container[int] | None) -> int:
    config = read_config(folder)
    with held(folder), open_store(folder) as store:
        return requeue(store, config, phases, rows)
