"""Converts rows of the database to items and jobs, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Protocol

import msgspec

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.job_table import JobTable
from adaptive_scheduler.core.jobs.records import JobRecord, SubmitRecord
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.events import Lost
from adaptive_scheduler.core.rows.item_table import ItemTable
from adaptive_scheduler.core.rows.items import step
from adaptive_scheduler.core.rows.retry_decision import Budget
from adaptive_scheduler.core.rows.row import LEARNER, RUNNING, TASK, Item, TaskItem
from adaptive_scheduler.core.rows.run_row import RUN_ROW, RUN_TABLE, RunRow
from adaptive_scheduler.core.rows.run_state import RunState
from adaptive_scheduler.core.tasks.pools import Pool, PoolTable
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.tasks.task_state import FactStore, NoFacts, TaskState
from adaptive_scheduler.core.tasks.task_submits import TaskSubmits
from adaptive_scheduler.core.texts import NOT_DECODED
from adaptive_scheduler.core.wire.ends import How
from adaptive_scheduler.errors import DatabaseError
from adaptive_scheduler.io.storage import database
from adaptive_scheduler.io.storage.database import Tables

#: The table with one row, put before the rows of jobs that have changed: when they did.
CLOCK_TABLE, CLOCK_ROW = "clock", "1"
#: Tables of a run with tasks.
RESOURCES, BATCHES, POOLS = "task_resources", "batches", "pools"


class ClockRow(msgspec.Struct, frozen=True):
    """When jobs have changed last, in seconds since 1970; their own rows do not tell."""

    time: float


def read_items(tables: Tables, folder: RunFolder) -> list[Item]:
    """Read the items, in the order of their ids."""
    rows = _without_half_batch(tables.get(database.ITEMS, {}), read_batches(tables))
    try:
        if type(rows.get("0")) is msgspec.Raw:
            items = sorted(map(_decoder_of(rows["0"]), rows.values()), key=attrgetter("id"))
            if items[-1].id >= len(items):
                raise KeyError(len(items))
            return items
        return [_item(rows[str(n)]) for n in range(len(rows))]
    except (*NOT_DECODED, KeyError) as error:
        raise DatabaseError(
            folder.database, f"holds a row that is no item of this version ({error})."
        ) from error


def decode_items(texts: Iterable[msgspec.Raw]) -> list[Item]:
    """Make items of the texts of some rows; one of `NOT_DECODED` if one is none."""
    found = list(texts)
    return list(map(_decoder_of(found[0]), found)) if found else []


def _item(row: Mapping[str, Any]) -> Item:
    return msgspec.convert(row, TaskItem if row.get("kind") == TASK else Item)


class _Kind(msgspec.Struct):
    kind: str = LEARNER


_kind_of = msgspec.json.Decoder(_Kind).decode
_decode_task = msgspec.json.Decoder(TaskItem).decode
_decode_learner = msgspec.json.Decoder(Item).decode


def _kind(row: Mapping[str, Any] | msgspec.Raw) -> str:
    return _kind_of(row).kind if type(row) is msgspec.Raw else row.get("kind", LEARNER)


def _decoder_of(text: msgspec.Raw) -> Callable[[msgspec.Raw], Item]:
    """Return what makes items of the texts of rows like this one: a run has rows of one kind."""
    return _decode_task if _kind(text) == TASK else _decode_learner


def open_state(
    tables: Tables,
    folder: RunFolder,
    config: RunConfig,
    monotonic: float,
    facts: FactStore | None = None,
) -> RunState:
    """Make the state of a run from what the database holds."""
    budget = Budget(config.limits.max_fails, config.limits.max_crashes)
    items = read_items(tables, folder)
    freed = _release_duplicates(items, budget)
    table = ItemTable(items, budget)
    table.changed |= {row: table.rows[row] for row in freed}
    return _state_of(tables, config, table, table.rows, monotonic, facts)


def open_without_items(
    tables: Tables, config: RunConfig, monotonic: float, running: Iterable[Item]
) -> RunState:
    """Make the state of a run without its items, for who only looks at it; `running`: those of jobs to know."""
    return _state_of(tables, config, ItemTable([]), running, monotonic)


def _state_of(
    tables: Tables,
    config: RunConfig,
    table: ItemTable,
    rows: Iterable[Item],
    monotonic: float,
    facts: FactStore | None = None,
) -> RunState:
    records = [msgspec.convert(row, JobRecord) for row in tables.get(database.JOBS, {}).values()]
    submits = [
        msgspec.convert(row, SubmitRecord) for row in tables.get(database.SUBMITS, {}).values()
    ]
    run = read_run(tables)
    jobs = JobTable(records, submits, monotonic, run.pardoned)
    for item in rows:  # the rows of one group may have been written in part
        if item.owner is not None:
            jobs.watch(item.owner, item.shape, monotonic)
    tasks = TaskState(
        table, facts or NoFacts(), TaskSubmits(read_resources(tables), read_batches(tables))
    )
    tasks.is_open = run.is_open
    state = RunState(table, jobs, config, read_combos(tables), tasks)
    state.stops.held, state.cancelled = run.held, run.cancelled
    state.pools = PoolTable(read_pools(tables))
    state.pools.write_shapes(config.shapes)
    return state


def read_pools(tables: Tables) -> dict[int, Pool]:
    """Pools by the shape of their jobs."""
    rows = tables.get(POOLS, {})
    return {int(shape): msgspec.convert(row, Pool) for shape, row in rows.items()}


def read_resources(tables: Tables) -> list[TaskResources]:
    """Task resources by their numbers."""
    rows = tables.get(RESOURCES, {})
    return [msgspec.convert(rows[str(n)], TaskResources) for n in range(len(rows))]


def read_batches(tables: Tables) -> dict[str, list[int]]:
    """Ids of the tasks of each batch."""
    return {batch: list(row["items"]) for batch, row in tables.get(BATCHES, {}).items()}


def _without_half_batch(rows: dict[str, Any], batches: Mapping[str, list[int]]) -> dict[str, Any]:
    """Leave out tasks of a Submit of which only some lines were written; it comes again.

    The line of the batch is behind those of its tasks, which stand in the order in which they were
    changed last. Nothing of them was confirmed, and their ids are the last ones; the next Submit
    writes its own rows over theirs.
    """
    n = 1 + max((max(ids) for ids in batches.values() if ids), default=-1)
    if len(rows) == n:
        return rows
    return {key: row for key, row in rows.items() if int(key) < n or _kind(row) != TASK}


def _release_duplicates(items: list[Item], budget: Budget) -> list[int]:
    """Release the older of two rows that one job holds; returns the rows that were released.

    A manager that died may have written only half of a group of lines: the claim of the new row,
    but not the release of the old one.
    """
    runs: dict[str | None, int] = {}
    freed: list[int] = []
    running = [
        row
        for row, item in enumerate(items)
        if item.phase is RUNNING and type(item) is not TaskItem
    ]
    for row in sorted(running, key=lambda row: items[row].token):
        older = runs.get(items[row].job)
        if older is not None:
            lost = Lost(f"job {items[row].job} took item {row}", how=How.LOST)
            after = step(items[older], lost, items[older].changed, budget)
            assert isinstance(after, Item)
            items[older] = after
            freed.append(older)
        runs[items[row].job] = row
    return freed


def read_combos(tables: Tables) -> dict[int, Any]:
    """Combinations of parameters by row; empty if the database has none."""
    return {int(key): row["combo"] for key, row in tables.get(database.COMBOS, {}).items()}


def read_run(tables: Tables) -> RunRow:
    """Read what the last manager stored about the run as a whole."""
    return msgspec.convert(tables.get(RUN_TABLE, {}).get(RUN_ROW, {}), RunRow)


def run_row(state: RunState) -> RunRow:
    """What the next manager must know of the run as a whole."""
    return RunRow(state.stops.held, state.cancelled, state.jobs.ignored_deaths, state.tasks.is_open)


def new_tables(items: Sequence[Item], combos: Sequence[Mapping[str, Any]] | None) -> Tables:
    """Tables of a new database."""
    tables: Tables = {database.ITEMS: {str(item.id): msgspec.to_builtins(item) for item in items}}
    if combos is not None:
        tables[database.COMBOS] = {str(n): {"combo": combo} for n, combo in enumerate(combos)}
    return tables


class Journal(Protocol):
    """Where changes are written: a `Database`, or a fake in tests."""

    def put(self, table: str, key: object, row: object) -> None:
        """Add a change of one row."""


def note_changes(store: Journal, state: RunState, now: float | None = None) -> None:
    """Put everything that changed since the last call into the journal's buffer.

    Parameters
    ----------
    store : Journal
    state : RunState
    now : float, optional
        Seconds since 1970, for the run's history; None: it does not learn when jobs have changed.
    """
    items, jobs = state.items, state.jobs
    for item in items.changed.values():
        store.put(database.ITEMS, item.id, item)
    if jobs.changed_jobs and now is not None:
        store.put(CLOCK_TABLE, CLOCK_ROW, ClockRow(now))
    for record in jobs.changed_jobs.values():
        store.put(database.JOBS, record.id, record)
    for number, submit in jobs.changed_submits.items():
        store.put(database.SUBMITS, number, submit)
    for number, resources in state.tasks.submitted.changed_resources.items():
        store.put(RESOURCES, number, resources)
    for batch, ids in state.tasks.submitted.changed_batches.items():
        store.put(BATCHES, batch, {"items": ids})
    for shape, pool in state.pools.changed.items():
        store.put(POOLS, shape, pool)
    state.pools.changed.clear()
    state.tasks.submitted.changed_resources.clear()
    state.tasks.submitted.changed_batches.clear()
    items.changed.clear()
    jobs.changed_jobs.clear()
    jobs.changed_submits.clear()


def note_everything(store: Journal, state: RunState) -> None:
    """Put every row into the journal's buffer: the file that had them is not ours any more."""
    state.items.changed.update(enumerate(state.items.rows))
    state.tasks.submitted.changed_resources.update(enumerate(state.tasks.resources))
    state.tasks.submitted.changed_batches.update(state.tasks.submitted.batches)
    state.pools.changed.update(state.pools.by_shape)
    state.jobs.changed_jobs.update(state.jobs.records)
    state.jobs.changed_submits.update(state.jobs.submits)
    for row, combo in state.combos.items():
        store.put(database.COMBOS, row, {"combo": combo})
    note_changes(store, state)
