"""How a run stands, from its database alone; nothing is changed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.records import JobRecord
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import OVER, RUNNING, TASK, Item
from adaptive_scheduler.core.wire.pools import PoolState
from adaptive_scheduler.core.wire.snapshot import (
    ItemView,
    JobRow,
    damage,
    failed_task_views,
    item_views,
)
from adaptive_scheduler.io.storage.glance import Glance, glance
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.io.storage.tinydb_file import JOBS, SUBMITS
from adaptive_scheduler.io.system.read_logs import tail
from adaptive_scheduler.runs.views.status import RunSnapshot

Rows = Literal["all", "active", "none"]


def snapshot_on_disk(folder: RunFolder, rows: Rows = "active") -> RunSnapshot:
    """Return how a run stands from its database alone; nothing is changed."""
    config = read_config(folder)
    found = glance(folder, config.kind)
    return RunSnapshot(
        run=config.run,
        database=str(folder.database),
        time=time.time(),
        alive=False,
        phases=found.phases,
        items=_views(folder, found, rows),
        jobs=_job_rows(found),
        submitted=sum(len(row.get("jobs") or ()) for row in found.tables.get(SUBMITS, {}).values()),
        points=found.points,
        notes=_notes(folder, found, config),
        kind=config.kind,
        is_open=found.run.is_open and not found.run.cancelled,
        pools=_pools(found),
    )


def _views(folder: RunFolder, found: Glance, rows: Rows) -> list[ItemView]:
    if rows == "none":
        return []
    if found.kind == TASK:
        failed = found.active()
        return failed_task_views(failed, range(len(failed)))
    return item_views(found.active() if rows == "active" else _all(folder, found), {}, rows)


def _all(folder: RunFolder, found: Glance) -> Sequence[Item]:
    from adaptive_scheduler.io.storage import row_codec

    return row_codec.read_items(found.tables, folder)


def _pools(found: Glance) -> list[PoolState]:
    if found.kind != TASK:
        return []
    from adaptive_scheduler.io.storage import row_codec

    return [PoolState(pool, 0, 0, 0, 0, 0) for pool in row_codec.read_pools(found.tables).values()]


def _job_rows(found: Glance) -> list[JobRow]:
    """Return the jobs that are not known to have ended; of a run that is over none by hand."""
    if not found.tables.get(JOBS):
        return []
    unfinished = any(row.phase not in OVER for row in found.rows)
    running = [row for row in found.rows if row.phase == RUNNING]
    holders = {row.job: row.id for row in running} if found.kind != TASK else {}
    tasks = Counter(row.job for row in running) if found.kind == TASK else Counter()
    records = (msgspec.convert(row, JobRecord) for row in found.tables.get(JOBS, {}).values())
    return [
        JobRow(
            id=record.id, name=record.name, state="unknown", host=record.host,
            item=holders.get(record.id), tasks=tasks[record.id],
        )
        for record in records
        if not record.ended and (not record.external or unfinished)
    ]  # fmt: skip


def _notes(folder: RunFolder, found: Glance, config: RunConfig) -> list[str]:
    notes = [f"held: {found.run.held}. Mend it, then resume."] if found.run.held else []
    if kept := damage(found.damaged, {}):
        notes.append(f"damaged data were kept aside: {kept}")
    if printed := tail(folder.manager_output):
        notes.append(f"the last manager of run {config.run} printed: {printed}")
    return notes
