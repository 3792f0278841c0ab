"""Jobs are listed as people count, wherever they are: 9 before 10, ``12_3`` before ``12_10``."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.history.records import JobSpan, RunHistory
from adaptive_scheduler.core.jobs.records import JobRecord
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import TASK, Item, Phase
from adaptive_scheduler.core.texts import natural
from adaptive_scheduler.core.wire.snapshot import JobRow
from adaptive_scheduler.io.storage import database, row_codec
from adaptive_scheduler.io.storage.run_config import write_config
from adaptive_scheduler.io.system.complaints import read_complaints
from adaptive_scheduler.runs.reasons.explain import jobs_of, look, no_such_job
from adaptive_scheduler.runs.report.chart import chart
from adaptive_scheduler.runs.views import pools, render
from adaptive_scheduler.runs.views.page.messages import ShowRows
from adaptive_scheduler.runs.views.page.model import summary
from adaptive_scheduler.runs.views.page.table import table_of
from tests.unit.test_views import lines, snapshot

ORDERS = {
    "Slurm": ["8", "9", "10", "100"],
    "an array of Slurm": ["9_10", "12_3", "12_10", "100_1"],
    "PBS": ["99.server2", "100.server1", "1000.server1"],
    "an array of PBS": ["7[9].server", "7[10].server", "12[1].server"],
    "by hand": ["here:9:1", "here:10:1", "local:2:3"],
}


@pytest.fixture(params=list(ORDERS))
def ordered(request: pytest.FixtureRequest) -> list[str]:
    return ORDERS[request.param]


@pytest.fixture
def mixed(ordered: list[str]) -> list[str]:
    found = list(reversed(ordered))
    random.Random(1).shuffle(found)
    return found


def in_view(view: object, jobs: list[str]) -> list[str]:
    words = [word for line in lines(view) for word in re.split(r"\s+", line)]
    return [word for word in words if word in jobs]


def test_the_key_orders_all_kinds_of_ids(ordered: list[str], mixed: list[str]) -> None:
    assert sorted(mixed, key=natural) == ordered


@pytest.mark.parametrize("kind", ["learner", TASK])
def test_status_and_the_view(kind: str, ordered: list[str], mixed: list[str]) -> None:
    seen = snapshot(kind=kind, jobs=[JobRow(job, "run", "RUNNING") for job in mixed], items=[])
    table = pools.jobs_table if kind == TASK else render.jobs_table
    assert in_view(table(seen, None), ordered) == ordered
    assert [job.id for job in summary(seen).jobs] == ordered


def test_the_table_of_a_view_is_sorted_by_its_jobs(ordered: list[str], mixed: list[str]) -> None:
    rows = [Item(n, f"/x{n}", Phase.RUNNING, job=job) for n, job in enumerate(mixed)]
    for sort, wanted in (("job", ordered), ("-job", ordered[::-1])):
        page = table_of(rows, {}, "learner").page(ShowRows(1, 0, 99, sort=sort))
        assert [row[7] for row in page.rows] == wanted


def test_the_chart_of_a_report(ordered: list[str], mixed: list[str]) -> None:
    spans = [JobSpan(job, submitted=5.0, started=6.0, cores=1) for job in mixed]
    history = RunHistory(jobs=spans)
    assert [line.id for line in chart(history, 9.0).lines] == ordered


def test_explain_and_complaints(tmp_path: Path, ordered: list[str], mixed: list[str]) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.folder.mkdir(0o700, parents=True)
    write_config(folder, RunConfig("run", [Resources()], ["job"], str(tmp_path)))
    database.create(folder.database, row_codec.new_tables([], None))
    store = database.Database(folder)
    for job in mixed:
        store.put(database.JOBS, job, JobRecord(job))
    store.commit()
    store.close()
    seen = look(folder)
    assert jobs_of(seen) == ordered
    assert no_such_job("x", jobs_of(seen), folder).endswith(f"{ordered[-1]}.")
    folder.complaints.mkdir()
    for job in mixed:
        folder.complaint(job).write_text("no route\n")
    assert list(read_complaints(folder)) == ordered
