"""Makes the rows of the database when a run is started, from those of an earlier start."""

from __future__ import annotations

import time
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows import run_row
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.errors import DatabaseError, InputError
from adaptive_scheduler.io.storage import database, row_codec
from adaptive_scheduler.io.storage.database import Database, Tables
from adaptive_scheduler.io.storage.read_only import put_aside, read_tables
from adaptive_scheduler.runs.start import fnames
from adaptive_scheduler.runs.start.plan import CheckedRun


@dataclass
class PreviousRun:
    """What the folder has from an earlier start.

    Attributes
    ----------
    rows : list of Item
        To carry on; empty for a new run.
    tables : dict
        Jobs and submits that the new run takes over.
    token : int
        The highest token so far: new ones must be higher.
    """

    rows: list[Item] = field(default_factory=list)
    tables: Tables = field(default_factory=dict)
    token: int = 0
    remarks: list[str] = field(default_factory=list)


def former_rows(folder: RunFolder, overwrite: bool) -> PreviousRun:
    """Read what the folder has; with `overwrite`, rename its database to ``.old``."""
    if not folder.database.exists():
        return PreviousRun()
    if not overwrite:
        return PreviousRun(row_codec.read_items(read_tables(folder), folder))
    former = PreviousRun()
    try:
        tables = read_tables(folder)
        former.token = max((row.token for row in row_codec.read_items(tables, folder)), default=0)
        former.tables = _living_jobs(tables)
    except DatabaseError as error:
        former.remarks.append(f"The old database is kept, although it is damaged: {error}")
    former.remarks.append(f"The old database is kept as {put_aside(folder)}.")
    return former


def _living_jobs(tables: Tables) -> Tables:
    """Return jobs that are alive; the new run uses them, or two jobs would write to one file."""
    alive = {key: row for key, row in tables.get(database.JOBS, {}).items() if not row.get("ended")}
    return {database.JOBS: alive, database.SUBMITS: tables.get(database.SUBMITS, {})}


def match_rows(rows: Sequence[Item], names: Sequence[fnames.Fname]) -> tuple[list[int], list[int]]:
    """Find each fname's row. Rows keep their numbers, because running jobs use them.

    Returns
    -------
    order : list of int
        For each row the index of its name.
    row_of : list of int
        For each name its row.

    Raises
    ------
    InputError
        A row's fname is not among the names.
    """
    if not rows:  # a new run: nothing to compare 100,000 names with
        return list(range(len(names))), list(range(len(names)))
    places = {fnames.key(name): place for place, name in enumerate(names)}
    order = [places.pop(fnames.key(row.fname), -1) for row in rows]
    gone = [row.fname for row, place in zip(rows, order, strict=True) if place < 0]
    if gone:
        raise InputError(
            f"The run in this folder has {len(rows)} learners, of which {len(gone)} are missing in "
            f"fnames, first {gone[0]!r}. Give all of them again (new ones may be added), or "
            "another folder=..., or overwrite=True to begin anew."
        )
    order += places.values()
    row_of = [0] * len(order)
    for row, place in enumerate(order):
        row_of[place] = row
    return order, row_of


def new_rows(
    plan: CheckedRun,
    former: PreviousRun,
    order: Sequence[int],
    row_of: Sequence[int],
    shapes: Sequence[Resources],
) -> list[Item]:
    """Return the rows of the new start; a row that has ended keeps its phase."""
    items = []
    for row, place in enumerate(order):
        parents = tuple(row_of[parent] for parent in plan.depends_on[place])
        fresh = Phase.WAITING if parents else Phase.QUEUED
        shape = shapes.index(plan.shapes[plan.shape_of[place]])
        if row >= len(former.rows):
            items.append(
                Item(
                    row, plan.fnames[place], fresh, depends_on=parents, shape=shape,
                    token=former.token,
                )
            )  # fmt: skip
            continue
        old = former.rows[row]
        phase = fresh if old.phase in (Phase.WAITING, Phase.QUEUED) else old.phase
        items.append(msgspec.structs.replace(old, phase=phase, depends_on=parents, shape=shape))
    return items


def rewrite_rows(
    folder: RunFolder, items: Sequence[Item], config: RunConfig, again: Sequence[int]
) -> list[str]:
    """Write the rows; queue failed and cancelled ones again, and the done ones in `again`."""
    with open_store(folder) as store:
        rows = store.tables.setdefault(database.ITEMS, {})
        for item in items:
            store.put(database.ITEMS, item.id, item)
            rows[str(item.id)] = msgspec.to_builtins(item)
        n = requeue(store, config, (Phase.FAILED, Phase.CANCELLED))
        if again:
            requeue(store, config, (Phase.DONE,), frozenset(again))
        return [
            *store.remarks,
            *([f"{counted(n, 'failed or cancelled learner')} queued again."] if n else []),
        ]


def requeue(
    store: Database, config: RunConfig, phases: Container[Phase], only: Container[int] | None = None
) -> int:
    """Queue ended learners again in a run without a manager, and return how many.

    Afterwards the run is neither held nor cancelled.

    Parameters
    ----------
    store : Database
    config : RunConfig
    phases : container of Phase
        Rows in one of these phases are queued again.
    only : container of int, optional
        Only these rows; None: all.
    """
    run = row_codec.open_state(store.tables, store.folder, config, time.monotonic(), store)
    ended = [
        item.id
        for item in run.items.rows
        if item.phase in phases and (only is None or item.id in only)
    ]
    n = run.items.retry(ended, time.time())
    run.jobs.reset_early_deaths()
    row_codec.note_changes(store, run)
    store.put(run_row.RUN_TABLE, run_row.RUN_ROW, run_row.RunRow(pardoned=run.jobs.ignored_deaths))
    store.commit()
    return n


@contextmanager
def open_store(folder: RunFolder) -> Iterator[Database]:
    """Open the database of a run without a manager; hold the run's lock meanwhile."""
    store = Database(folder)
    try:
        yield store
    finally:
        store.close()
