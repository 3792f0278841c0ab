"""What people see of a run."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from adaptive_scheduler.core.rows.row import Phase
from adaptive_scheduler.core.times import rate_text
from adaptive_scheduler.core.wire.snapshot import ItemView, JobRow, Snapshot
from adaptive_scheduler.runs.views import render
from adaptive_scheduler.runs.views.log_entries import traceback_text
from adaptive_scheduler.runs.views.page.model import summary
from adaptive_scheduler.runs.views.status import RunSnapshot, item_status, status_of
from adaptive_scheduler.runs.views.tables import duration


def snapshot(**changes: object) -> RunSnapshot:
    fields = {
        "run": "ab12",
        "database": "/runs/x/db.tinydb",
        "time": 1_000_600.0,
        "started": 1_000_000.0,
        "scheduler": "slurm",
        "manager": "login1:77",
        "phases": {"done": 3, "running": 1, "failed": 1, "queued": 1},
        "finished": 3,
        "points": 12_345,
        "points_per_second": 42.5,
        "submitted": 9,
        "items": [
            ItemView(3, "/data/a/x=1", Phase.RUNNING, job="17_2", npoints=1234, loss=0.0123,
                     points_per_second=42.5, overhead=3.0, cpu=97.0, memory=512.0, worked=61.0),
            ItemView(4, "/data/b/[red]x", Phase.FAILED, reason="your function raised E: é", fails=4),
        ],
        "jobs": [
            JobRow("17_2", "run", "RUNNING", host="n1", item=3, silent=2.0),
            JobRow("17_3", "run", "RUNNING", host="n2", silent=400.0, suspect=True),
        ],
    }  # fmt: skip
    return RunSnapshot(**(fields | changes))  # type: ignore[arg-type]


def lines(view: object, width: int = 200) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None, force_jupyter=False)
    with console.capture() as capture:
        console.print(view)
    return capture.get().splitlines()


def line_with(text: str, view: object) -> str:
    found = [line for line in lines(view) if text in line]
    assert len(found) == 1, found
    return found[0]


def test_overview_shows_learners_jobs_rate_and_remaining_time() -> None:
    text = "\n".join(lines(render.overview(snapshot())))
    for expected in ("12,345 points", "42.5 points/s", "3/6", "9 submitted", "about 400 s left"):
        assert expected.replace("400 s", "6 min") in text or expected in text
    row = line_with("17_2", render.items_table(snapshot()))
    for expected in ("a/x=1", "1,234", "0.0123", "42.5", "3 %", "97 %", "512", "61 s"):
        assert expected in row


@pytest.mark.parametrize("kind", ["learner", "task"])
def test_a_run_that_is_over_or_has_no_manager_has_no_rate(kind: str) -> None:
    """A rate of the last minute says nothing of it; one that is slow is not 0."""
    rates = {"kind": kind, "points_per_second": 0.0042, "ended_per_second": 0.0042}
    for changes in ({"phases": {"done": 3}}, {"alive": False}):
        seen = snapshot(**rates, **changes)
        for text in (render.line(seen), "\n".join(lines(render.overview(seen))), repr(seen)):
            assert "ended/s" not in text
            assert not re.search(r"[0-9] points/s", text), text
        assert summary(seen).rate is None
    unit = "ended/s" if kind == "task" else "points/s"
    assert f"0.0042 {unit}" in render.line(snapshot(**rates))
    assert f"0 {unit}" in render.line(snapshot(kind=kind, points_per_second=0.0))
    assert summary(snapshot(**rates)).rate == 0.0042


def test_rates_are_written_with_three_digits() -> None:
    found = [rate_text(one) for one in (0.0, 1 / 3600, 0.0042, 1.0, 42.51, 999.0, 999.7, 12_345.6)]
    assert found == ["0", "0.000278", "0.0042", "1", "42.5", "999", "1,000", "12,346"]


def test_learners_and_jobs_in_trouble_come_first() -> None:
    text = "\n".join(lines(render.items_table(snapshot())))
    assert text.index("failed") < text.index("running")
    text = "\n".join(lines(render.jobs_table(snapshot())))
    assert text.index("17_3") < text.index("17_2")
    assert "silent" in line_with("17_3", render.jobs_table(snapshot()))


def test_fault_29_a_name_is_never_read_as_markup_and_keeps_both_its_ends() -> None:
    assert "[red]x" in "\n".join(lines(render.overview(snapshot())))
    items = [ItemView(n, f"/data/begin_{'x' * 150}_{n}", Phase.QUEUED) for n in range(2)]
    text = lines(render.items_table(snapshot(items=items)), width=60)
    for n in range(2):
        assert re.search(rf"{n}  begin_x+…x+_{n}  queued", "\n".join(text))
    wide = "\n".join(lines(render.items_table(snapshot(items=items)), width=200))
    assert wide.count("x") == 300


def test_rows_that_are_left_out_are_counted() -> None:
    items = [ItemView(n, f"/data/{n}", Phase.RUNNING) for n in range(50)]
    text = "\n".join(lines(render.items_table(snapshot(items=items), rows=10)))
    assert "and 40 more" in text
    assert len(lines(render.items_table(snapshot(items=items)))) >= 50


def test_a_dead_manager_and_notes_are_shown() -> None:
    dead = snapshot(alive=False, notes=["held: no such partition. Mend it, then resume."])
    text = "\n".join(lines(render.overview(dead)))
    assert "no manager runs" in text
    assert "no such partition" in text
    assert dead.is_held
    assert not snapshot().is_held


def test_an_empty_run_can_be_shown() -> None:
    empty = Snapshot(run="r", database="/x", time=1.0)
    assert "0/0" in "\n".join(lines(render.overview(empty)))


def test_failures_name_learner_and_reason() -> None:
    (failure,) = render.failures(snapshot())
    assert "learner 4" in failure.plain
    assert "é" in failure.plain


def test_html_has_colours_and_no_scripts() -> None:
    html = render.as_html(render.overview(snapshot()))
    assert "style=" in html
    assert "<script" not in html
    assert "[red]x" in html


def test_a_list_of_names_shows_the_first_and_how_many_more() -> None:
    assert render.fname_text(["/d/a", "/d/b", "/d/c"], "/d/") == "a +2"
    assert render.fname_text([], "") == "(none)"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (-3, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"),
     (7200, "2 h 00 min"), (11_100, "3 h 05 min"), (200_000, "2 d 07 h")],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_views_do_not_change_the_snapshot() -> None:
    import msgspec

    picture = snapshot()
    before = msgspec.json.encode(picture)
    Console(quiet=True).print(render.overview(picture))
    assert msgspec.json.encode(picture) == before


def test_reasons_fit_into_a_narrow_terminal() -> None:
    text = lines(render.overview(snapshot()), width=80)
    assert any("your function raised E: é, 4 failures" in line for line in text)


def test_a_running_learner_that_cannot_be_saved_is_reported() -> None:
    full = ItemView(1, "/d/x", Phase.RUNNING, reason="/d/x: No space left on device (OSError)")
    (failure,) = render.failures(snapshot(items=[full]))
    assert "No space left" in failure.plain


def test_a_learner_without_progress_is_shown_in_each_view() -> None:
    item = ItemView(5, "/data/c", Phase.RUNNING, job="1", idle_since=750.0, stalled=True)
    shot = snapshot(items=[item, ItemView(6, "/data/d", Phase.RUNNING, job="2", idle_since=5.0)])
    words = r"without progress since \d\d:\d\d:\d\d \(12 min\)"
    assert re.search(f"learner 5 /data/c: {words}", status_of(shot).text)
    assert "learner 6" not in status_of(shot).text
    overview = "\n".join(lines(render.overview(shot)))
    assert re.search(words, overview)
    assert "no point for" in overview
    assert re.search(words, render.as_html(render.overview(shot)))


def test_the_reason_for_which_all_jobs_wait_is_shown() -> None:
    jobs = [JobRow(f"1_{n}", "run", "PENDING", reason="(PartitionConfig)") for n in range(2)]
    none_runs = snapshot(jobs=jobs, items=[], phases={"queued": 3})
    assert "2 jobs in the queue wait (PartitionConfig)" in status_of(none_runs).text
    assert "in the queue wait" not in status_of(snapshot()).text


def test_jobs_that_run_are_counted_apart_from_those_that_wait() -> None:
    two, waiting = snapshot().jobs, JobRow("17_4", "run", "PENDING", waiting=True)
    assert "2 of 3 jobs running, 1 waiting, 9 submitted" in render.figures(
        snapshot(jobs=[*two, waiting])
    )
    assert "1 job waiting," in render.figures(snapshot(jobs=[waiting]))
    assert "2 jobs running," in render.figures(snapshot())
    assert "no jobs, 9 submitted" in render.figures(snapshot(jobs=[]))
    dead = snapshot(alive=False, jobs=[waiting])
    assert "1 job not known to have ended" in render.figures(dead)


def test_a_snapshot_prints_as_one_line_however_large_it_is() -> None:
    items = [ItemView(n, f"/data/{n}", Phase.RUNNING) for n in range(10_000)]
    text = repr(snapshot(items=items))
    assert text.startswith("<running: 3/6 done")
    assert len(text) < 300
    assert "\n" not in text


def test_a_notebook_shows_tables_and_no_name_becomes_markup() -> None:
    item = ItemView(0, "/data/<script>alert(1)</script>", Phase.FAILED, reason="<b>no</b>")
    shot = snapshot(items=[item], notes=["<img src=x>"])
    for html in (shot._repr_html_(), status_of(shot)._repr_html_()):
        assert "&lt;script&gt;" in html
        for tag in ("<script", "<img", "<b>no"):
            assert tag not in html


def test_the_status_of_one_learner() -> None:
    failed = ItemView(4, "/d", Phase.FAILED, reason="your function raised E", fails=4, npoints=1)
    status = item_status(failed, 0.0)
    assert status == "failed"
    assert status.text == "1 point, 0 s of work, your function raised E, 4 failures"
    running = ItemView(4, "/d", Phase.RUNNING, job="7_1", loss=0.5, worked=70.0)
    assert item_status(running, 0.0).text == "0 points, 70 s of work, job 7_1, loss 0.5"
    assert repr(item_status(running, 0.0)).startswith("running: 0 points")


def test_one_failure_is_not_one_failures_and_a_phase_is_not_its_own_reason() -> None:
    failed = ItemView(0, "/a", Phase.FAILED, reason="x", attempts=1, fails=1, crashes=1)
    assert render.why(failed, 0.0) == "x, 1 failure, 1 crash"
    assert traceback_text(failed).plain.startswith(
        "learner 0 is failed: x (1 attempt, 1 failure, 1 crash)"
    )
    two = ItemView(0, "/a", Phase.FAILED, reason="x", fails=2, crashes=2)
    assert render.why(two, 0.0) == "x, 2 failures, 2 crashes"
    cancelled = ItemView(0, "/a", Phase.CANCELLED, reason="cancelled", npoints=1)
    assert item_status(cancelled, 0.0).text == "1 point, 0 s of work"
