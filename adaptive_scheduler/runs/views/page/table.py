"""The table of learners or tasks: searched, filtered, sorted, and cut to what is visible."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from adaptive_scheduler.core.rows.row import TASK, Item, TaskItem
from adaptive_scheduler.core.texts import natural
from adaptive_scheduler.core.times import rate_text
from adaptive_scheduler.core.wire.snapshot import ItemView
from adaptive_scheduler.runs.views import render
from adaptive_scheduler.runs.views.page.messages import Column, RowsPage, ShowRows
from adaptive_scheduler.runs.views.tables import duration

LEARNER_COLUMNS = [
    Column("id", "", "number"), Column("name", "fname"), Column("phase", "phase", "phase"),
    Column("points", "points", "number"), Column("loss", "loss", "number"),
    Column("rate", "points/s", "number"), Column("worked", "worked", "number"),
    Column("job", "job"), Column("reason", "reason"),
]  # fmt: skip
TASK_COLUMNS = [
    Column("id", "", "number"), Column("name", "name"), Column("phase", "phase", "phase"),
    Column("tag", "tag"), Column("tries", "tries", "number"), Column("worked", "worked", "number"),
    Column("job", "job"), Column("reason", "reason"),
]  # fmt: skip
#: The most rows of one page: more are not visible at a time.
MOST_ROWS = 500
#: Letters of a cell.
LONGEST_CELL = 200
#: Orders of rows that are kept, for several that look.
_KEPT = 4
#: One row: a value for each column.
Record = tuple[Any, ...]
_PHASE = 2


class RowTable:
    """All rows of a run at one instant.

    Parameters
    ----------
    columns : list of Column
    records : sequence of tuple
        In the order of their ids.

    Attributes
    ----------
    seconds : float
        That it took to filter and sort it, in all.
    """

    def __init__(self, columns: list[Column], records: Sequence[Record]) -> None:
        self.columns = columns
        self.records = records
        self.seconds = 0.0
        self._orders: dict[tuple[str, str, str], Sequence[Record]] = {}

    def page(self, query: ShowRows) -> RowsPage:
        """Return the rows that are visible."""
        chosen = self._chosen(query)
        offset = max(0, min(query.offset, len(chosen)))
        rows = chosen[offset : offset + max(0, min(query.count, MOST_ROWS))]
        return RowsPage(
            query.request, offset, len(self.records), len(chosen), self.columns,
            [self._cells(record) for record in rows],
        )  # fmt: skip

    def _chosen(self, query: ShowRows) -> Sequence[Record]:
        """The rows that match, in order; kept for the next page."""
        key = (query.sort, query.phase, query.search)
        if key not in self._orders:
            while len(self._orders) >= _KEPT:
                self._orders.pop(next(iter(self._orders)))
            begun = time.monotonic()
            self._orders[key] = self._sorted(self._matching(query.phase, query.search), query.sort)
            self.seconds += time.monotonic() - begun
        return self._orders[key]

    def _matching(self, phase: str, search: str) -> Sequence[Record]:
        found = self.records
        if phase:
            found = [record for record in found if record[_PHASE] == phase]
        words = search.casefold().split()
        texts = [n for n, column in enumerate(self.columns) if column.kind == "text"]
        if words:
            found = [
                record
                for record in found
                if _has(words, " ".join([str(record[0]), *(str(record[n]) for n in texts)]))
            ]
        return found

    def _sorted(self, records: Sequence[Record], sort: str) -> Sequence[Record]:
        keys = [column.key for column in self.columns]
        name = sort.removeprefix("-")
        if name not in keys:
            return records
        get = itemgetter(keys.index(name))
        known = sorted(
            (record for record in records if get(record) not in (None, "")),
            key=(lambda record: natural(get(record))) if name == "job" else get, reverse=sort.startswith("-"),
        )  # fmt: skip
        return [*known, *(record for record in records if get(record) in (None, ""))]

    def _cells(self, record: Record) -> list[Any]:
        """The texts of one row; the first is its item's number."""
        return [
            record[0],
            *(
                _TEXTS.get(column.key, _text)(value)
                for column, value in zip(self.columns[1:], record[1:], strict=True)
            ),
        ]


def _has(words: Sequence[str], text: str) -> bool:
    folded = text.casefold()
    return all(word in folded for word in words)


def _text(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= LONGEST_CELL else f"{text[: LONGEST_CELL - 1]}…"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


#: How the values of a column are shown, if not as they are.
_TEXTS: Mapping[str, Callable[[Any], str]] = {
    "points": lambda n: f"{n:,}",
    "loss": _number,
    "rate": lambda a_second: "" if a_second is None else rate_text(a_second),
    "worked": lambda seconds: duration(seconds) if seconds else "",
    "tries": lambda n: str(n) if n else "",
}


# ----------------------------------------------------------------------- records


def table_of(
    items: Sequence[Item], active: Mapping[int, ItemView], kind: str, folder: str = ""
) -> RowTable:
    """Return the table of all items.

    Parameters
    ----------
    items : sequence of Item
        As they are on disk.
    active : mapping of int to ItemView
        What the manager knows of those that run or have failed.
    kind : str
        ``learner`` or ``task``.
    folder : str
        That all data of learners are in; it is not shown in each row.
    """
    if kind == TASK:
        return RowTable(TASK_COLUMNS, [task_record(item) for item in items])
    return RowTable(
        LEARNER_COLUMNS,
        [learner_record(active.get(item.id) or item, folder) for item in items],
    )


def with_changes(
    table: RowTable, changed: Sequence[Item], active: Mapping[int, ItemView], folder: str
) -> RowTable:
    """Return the table with what is known anew.

    Parameters
    ----------
    table : RowTable
    changed : sequence of Item
        Rows that were written, in the order of their ids; new ones follow those that there are.
    active : mapping of int to ItemView
        What the manager knows of learners that run or have failed.
    folder : str
        See `table_of`.
    """
    records = list(table.records)
    for item in changed:
        record = task_record(item) if item.kind == TASK else learner_record(item, folder)
        records[item.id : item.id + 1] = [record]
    for number, view in active.items():
        records[number] = learner_record(view, folder)
    return RowTable(table.columns, records)


def learner_record(item: Item | ItemView, folder: str) -> Record:
    """One row of the learners' table."""
    reason = "" if item.reason == item.phase else item.reason
    rate = getattr(item, "points_per_second", 0.0)
    return (
        item.id, render.fname_text(item.fname, folder), item.phase.value, item.npoints, item.loss,
        rate or None, item.worked, item.job or "", reason.strip().partition("\n")[0],
    )  # fmt: skip


def task_record(item: Item) -> Record:
    """One row of the tasks' table."""
    assert isinstance(item, TaskItem)
    reason = "" if item.reason == item.phase else item.reason
    return (
        item.id, item.name, item.phase.value, item.tag, item.attempts, item.worked, item.job or "",
        reason.strip().partition("\n")[0],
    )  # fmt: skip
