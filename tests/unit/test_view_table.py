"""The table of a view: searched, filtered, sorted, cut; also of 100,000 rows."""

from __future__ import annotations

import time

import pytest

from adaptive_scheduler.core.rows.row import Item, Phase, TaskItem
from adaptive_scheduler.core.wire.snapshot import ItemView
from adaptive_scheduler.runs.views.page import details
from adaptive_scheduler.runs.views.page.messages import ShowRows
from adaptive_scheduler.runs.views.page.table import MOST_ROWS, RowTable, table_of, with_changes

PHASES = (Phase.DONE, Phase.QUEUED, Phase.FAILED, Phase.CANCELLED)


def learners(n: int) -> list[Item]:
    return [
        Item(id=k, fname=f"/data/x={k}", phase=PHASES[k % 4], npoints=(k * 7919) % n,
             loss=None if k % 4 == 1 else 1 / (k + 1), reason="no solution" if k % 4 == 2 else "")
        for k in range(n)
    ]  # fmt: skip


def ids(table: RowTable, **asked: object) -> list[int]:
    page = table.page(ShowRows(1, **{"count": 500, **asked}))  # type: ignore[arg-type]
    return [row[0] for row in page.rows]


@pytest.fixture
def table() -> RowTable:
    return table_of(learners(12), {}, "learner", "/data/")


def test_a_page_has_the_rows_that_are_visible(table: RowTable) -> None:
    page = table.page(ShowRows(7, offset=3, count=4))
    assert [row[0] for row in page.rows] == [3, 4, 5, 6]
    assert (page.request, page.offset, page.total, page.matching) == (7, 3, 12, 12)
    assert page.rows[0][1] == "x=3"  # without the folder that all share


def test_a_page_beyond_the_end_is_empty(table: RowTable) -> None:
    assert ids(table, offset=99) == []
    assert ids(table, offset=-5, count=2) == [0, 1]
    assert ids(table, count=-1) == []


def test_search_finds_all_words_in_any_case(table: RowTable) -> None:
    assert ids(table, search="NO sol") == [2, 6, 10]
    assert ids(table, search="x=1") == [1, 10, 11]
    assert ids(table, search="x=1 solution") == [10]
    assert ids(table, search="nothing like it") == []


def test_a_fast_rate_is_written_as_a_number() -> None:
    """It was "1.23e+04"."""
    view = ItemView(0, "x", Phase.RUNNING, points_per_second=12_345.6)
    (row,) = table_of(learners(1), {0: view}, "learner").page(ShowRows(1)).rows
    assert "12,346" in row
    assert ("points/s", "12,346") in details._of_running(view)


def test_filter_by_phase(table: RowTable) -> None:
    assert ids(table, phase="failed") == [2, 6, 10]
    assert ids(table, phase="failed", search="x=6") == [6]
    assert ids(table, phase="waiting") == []


def test_sort_puts_what_has_no_value_last(table: RowTable) -> None:
    up = ids(table, sort="loss")
    assert up[:9] == [11, 10, 8, 7, 6, 4, 3, 2, 0]
    assert sorted(up[9:]) == [1, 5, 9]
    assert ids(table, sort="-loss")[:3] == [0, 2, 3]
    assert sorted(ids(table, sort="-loss")[9:]) == [1, 5, 9]


def test_an_unknown_column_changes_no_order(table: RowTable) -> None:
    assert ids(table, sort="-price") == list(range(12))


def test_what_runs_is_shown_as_the_manager_knows_it(table: RowTable) -> None:
    view = ItemView(3, "/data/x=3", Phase.RUNNING, job="12_3", npoints=77, points_per_second=2.5)
    row = with_changes(table, [], {3: view}, "/data/").page(ShowRows(1, offset=3, count=1)).rows[0]
    assert row[:4] == [3, "x=3", "running", "77"]
    assert row[5] == "2.5"
    assert row[7] == "12_3"


def test_tasks_have_columns_of_their_own() -> None:
    task = TaskItem(
        id=0,
        fname="",
        phase=Phase.FAILED,
        name="relax",
        tag="big",
        attempts=3,
        reason="raised\nmore",
    )
    page = table_of([task], {}, "task").page(ShowRows(1))
    assert [column.key for column in page.columns][3:5] == ["tag", "tries"]
    assert page.rows == [[0, "relax", "failed", "big", "3", "", "", "raised"]]


def test_a_hundred_thousand_rows_without_a_pause() -> None:
    """Expected: 0.1 s for what is asked first, 1 ms each time when it is scrolled."""
    table = table_of(learners(100_000), {}, "learner")
    begun = time.process_time()
    page = table.page(ShowRows(1, count=100_000, sort="-points", search="x="))
    assert time.process_time() - begun < 2.0
    assert len(page.rows) == MOST_ROWS
    assert page.matching == 100_000
    begun = time.process_time()
    for offset in range(0, 100_000, 1000):
        table.page(ShowRows(1, offset=offset, count=50, sort="-points", search="x="))
    assert time.process_time() - begun < 1.0
