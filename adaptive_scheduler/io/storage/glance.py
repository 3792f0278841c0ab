"""Reads how a run stands from its database, without making an item of each row.

There is no second file that could be out of date: the rows themselves are read, but of most only
their phase and their points. 100,000 rows take 0.1 s.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import FAILED, QUEUED, RUNNING, TASK, Item, Phase, TaskItem
from adaptive_scheduler.core.rows.run_row import RUN_ROW, RUN_TABLE, RunRow
from adaptive_scheduler.core.texts import NOT_DECODED
from adaptive_scheduler.errors import DatabaseError
from adaptive_scheduler.io.storage.read_only import read_tables, read_with_facts
from adaptive_scheduler.io.storage.tinydb_file import ITEMS, Tables

if TYPE_CHECKING:
    from adaptive_scheduler.io.storage.facts import Facts

T = TypeVar("T")

#: The table of groups of tasks that were submitted at once; see `row_codec`.
_BATCHES = "batches"


class RowGlance(msgspec.Struct, gc=False):
    """What is counted of a row; the names are those of `Item` and `TaskItem`."""

    id: int
    phase: str
    npoints: int = 0
    kept_aside: str = ""
    ended: int = 0
    job: str | None = None


class RowRank(msgspec.Struct, gc=False):
    """Where a free row stands among the others; the names are those of `Item` and `TaskItem`."""

    id: int
    phase: Phase
    priority: float = 0.0
    shape: int = 0
    fails: int = 0
    crashes: int = 0
    tag: str = ""


class RowNames(msgspec.Struct, gc=False):
    """By what a person may call a row; the names are those of `Item` and `TaskItem`."""

    id: int
    fname: str | list[str] = ""
    name: str = ""
    key: str = ""


@dataclass(frozen=True)
class Glance:
    """A run at a glance.

    Attributes
    ----------
    rows : list of RowGlance
        All of them.
    tables : dict
        The other tables, and the texts of the rows.
    run : RunRow
    kind : str
        ``learner`` or ``task``.
    database : Path
        Where all that was read.
    """

    rows: list[RowGlance]
    tables: Tables
    run: RunRow
    kind: str
    database: Path

    @property
    def phases(self) -> dict[str, int]:
        """How many rows are in each phase."""
        return dict(Counter(map(attrgetter("phase"), self.rows)))

    @property
    def points(self) -> int:
        """Of all rows."""
        return sum(map(attrgetter("npoints"), self.rows))

    @property
    def damaged(self) -> list[RowGlance]:
        """Rows of which damaged data were kept."""
        return list(filter(attrgetter("kept_aside"), self.rows))

    def active(self) -> list[Item]:
        """The running and failed learners in their order; or the failed tasks, the last one last."""
        if self.kind == TASK:
            chosen = [row for row in self.rows if row.phase == FAILED]
            chosen.sort(key=lambda row: row.ended)
        else:
            chosen = [row for row in self.rows if row.phase in (RUNNING, FAILED)]
            chosen.sort(key=lambda row: row.id)
        kind = TaskItem if self.kind == TASK else Item
        decode = msgspec.json.Decoder(kind).decode
        return self._decoded(decode, (row.id for row in chosen))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: int) -> Item:
        """The whole row of this id, which there is."""
        kind = TaskItem if self.kind == TASK else Item
        return self._decoded(msgspec.json.Decoder(kind).decode, [item])[0]

    def queued(self) -> list[RowRank]:
        """Where each queued row stands."""
        decode = msgspec.json.Decoder(RowRank).decode
        return self._decoded(decode, (row.id for row in self.rows if row.phase == QUEUED))

    def names(self) -> list[RowNames]:
        """The names of all rows, in the order of their ids."""
        return self._decoded(msgspec.json.Decoder(RowNames).decode, range(len(self.rows)))

    def held_by(self, job: str) -> list[Item]:
        """The rows that a job ran when they were written last."""
        return [self[row.id] for row in self.rows if row.job == job and row.phase == RUNNING]

    def _decoded(self, decode: Callable[[msgspec.Raw], T], items: Iterable[int]) -> list[T]:
        texts = self.tables.get(ITEMS, {})
        try:
            with _without_collections():
                return [decode(texts[str(item)]) for item in items]
        except (*NOT_DECODED, KeyError) as error:  # somebody has edited the file
            raise _no_item(self.database, error) from error


def glance(folder: RunFolder, kind: str) -> Glance:
    """Read a run's database; changes nothing, and works while a manager writes.

    Raises
    ------
    DatabaseError
        There is no database, or it cannot be read.
    """
    with _without_collections():
        return _glance_of(read_tables(folder, undecoded=True), folder, kind)


def glance_with_facts(folder: RunFolder) -> tuple[Glance, Facts]:
    """Read the database of a run of tasks, and open their facts, which the caller closes; see `glance`."""
    with _without_collections():
        tables, facts = read_with_facts(folder, undecoded=True)
        try:
            return _glance_of(tables, folder, TASK), facts
        except BaseException:
            facts.close()
            raise


def _glance_of(tables: Tables, folder: RunFolder, kind: str) -> Glance:
    try:
        rows = list(map(msgspec.json.Decoder(RowGlance).decode, tables.get(ITEMS, {}).values()))
        run = msgspec.convert(tables.get(RUN_TABLE, {}).get(RUN_ROW, {}), RunRow)
    except NOT_DECODED as error:
        raise _no_item(folder.database, error) from error
    if kind == TASK:
        rows = _confirmed(rows, tables.get(_BATCHES, {}))
    return Glance(rows, tables, run, kind, folder.database)


def _no_item(database: Path, error: Exception) -> DatabaseError:
    return DatabaseError(database, f"holds a row that is no item of this version ({error}).")


def _confirmed(rows: list[RowGlance], batches: dict[str, Any]) -> list[RowGlance]:
    """Leave out tasks of a submit that was written in part: see `row_codec.read_items`."""
    n = 1 + max((max(row["items"]) for row in batches.values() if row["items"]), default=-1)
    return rows if len(rows) == n else [row for row in rows if row.id < n]


@contextmanager
def _without_collections() -> Iterator[None]:
    """Keep the garbage collector from looking through 100,000 new objects again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
