"""What a report says, against runs made by hand; that nothing in it is taken for markup; its files."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
from pathlib import Path

import pytest

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.retry_decision import Budget
from adaptive_scheduler.core.rows.row import RUNNING
from adaptive_scheduler.core.wire.snapshot import ItemView, Snapshot
from adaptive_scheduler.errors import InputError, RunError
from adaptive_scheduler.runs.reading.on_disk import snapshot_on_disk
from adaptive_scheduler.runs.report import collect
from adaptive_scheduler.runs.report.write import report_text, write_report
from docs import report_schema
from tests import schemas
from tests.run_folders import BEGIN, TRACEBACK, PastRun, large_run

NASTY = ["</script><script>alert(1)</script>", "a|b $HOME `x` <!-- *c*", "plain"]
SCHEMA = json.loads(report_schema.DOCUMENT.read_text())


def past_run(home: Path, checkpoint: bool = True) -> RunFolder:
    run = PastRun(home, NASTY)
    run.submit(["7", "8"], 0)
    run.start("7", 10)
    item = run.claim("7", 20)
    run.release(item, 40, 15.0)
    again = run.claim("7", 42)
    run.finish(again, 50, 8.0)
    bad = run.claim("7", 50)
    run.state.items.budget = Budget(0, 0)
    run.fail(bad, 54, "your function raised ValueError at x=0.54 (c=1): no such 54")
    run.leave("7", 60)
    run.leave("8", 61, "cancelled")
    if checkpoint:
        run.checkpoint()
    return run.close()


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return past_run(tmp_path / "my $run")


def as_json(folder: RunFolder) -> dict[str, object]:
    found = json.loads(report_text(folder, "json"))
    schemas.validate(found, SCHEMA)
    assert isinstance(found, dict)
    return found


def embedded(page: str, name: str) -> str:
    match = re.search(rf'<script type="application/json" id="{name}">([^<]*)</script>', page)
    assert match is not None
    return match[1]


def test_the_schema_in_the_documentation_is_that_of_the_code() -> None:
    assert report_schema.DOCUMENT.read_text() == report_schema.schema(), (
        "python -m docs.report_schema; if a program could notice, raise SCHEMA_VERSION"
    )


def test_points_of_learners_that_run_are_those_that_they_have_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = PastRun(tmp_path / "run", ["a", "b"])
    run.submit(["7"], 0)
    run.start("7", 10)
    run.finish(run.claim("7", 20), 30, 8.0)  # 10 points
    item = run.claim("7", 30)
    folder = run.close()

    def of_manager(folder: RunFolder) -> Snapshot:
        found = snapshot_on_disk(folder, "active")
        found.items = [
            ItemView(item.id, item.fname, RUNNING, "7", npoints=33, loss=0.5, worked=4.0)
        ]
        return found

    assert as_json(folder)["run"]["points"] == 10  # type: ignore[index]
    monkeypatch.setattr(collect, "_snapshot", of_manager)
    assert as_json(folder)["run"]["points"] == 43  # type: ignore[index]
    assert "| points | 43 |" in report_text(folder, "markdown")


def test_its_numbers(folder: RunFolder) -> None:
    found: dict = as_json(folder)  # type: ignore[type-arg]
    use = found["use"]
    parts = [value for name, value in use.items() if name != "held"]
    assert use["held"] == pytest.approx(4 * 50) == pytest.approx(sum(parts))
    assert use["starting"] == 40.0
    assert found["waits"]["jobs"] == 1
    assert found["waits"]["median"] == 10.0
    assert found["jobs"] == {
        "total": 2, "never_started": 1, "ended_by": {"in good order": 1, "cancelled": 1},
    }  # fmt: skip
    assert found["run"]["begun"] == BEGIN
    assert found["run"]["phases"]["failed"] == 1
    (failure,) = found["failures"]
    assert failure["reason"] == "your function raised ValueError: no such 54"
    assert failure["names"] == [NASTY[1]]
    assert failure["traceback"] == TRACEBACK
    tries = {one["how"]: one["tries"] for one in found["retries"]["by_end"]}
    assert tries["failed"] == 1
    assert tries["out of walltime"] == 1
    assert found["slowest"][0]["name"] == NASTY[0]
    assert found["slowest"][0]["seconds"] == 23.0
    first, _ = found["chart"]["lines"]
    assert first["bars"][0][:3] == [BEGIN + 20, BEGIN + 40, 4]


def test_no_text_of_a_run_is_markup_in_the_page(folder: RunFolder) -> None:
    page = report_text(folder)
    assert "<script>alert" not in page
    assert page.count("</script>") == page.count("<script")
    data = json.loads(embedded(page, "report-data"))
    assert data["failures"][0]["traceback"] == TRACEBACK
    rows = json.loads(gzip.decompress(base64.b64decode(embedded(page, "report-rows"))))
    assert [row[1] for row in rows] == NASTY
    assert not re.search(r'(src|href)="(?!#)', page.partition("<script")[0])


def test_the_shared_folder_is_left_out_of_the_begin_of_a_name_alone(tmp_path: Path) -> None:
    """`/d/` was left out wherever it stood: two learners had one name."""
    run = PastRun(tmp_path / "run", ["/d/xy", "/d/x/d/y"])
    page = report_text(run.close())
    rows = json.loads(gzip.decompress(base64.b64decode(embedded(page, "report-rows"))))
    assert [row[1] for row in rows] == ["xy", "x/d/y"]


def test_no_text_of_a_run_is_markup_in_the_letter(folder: RunFolder) -> None:
    text = report_text(folder, "markdown")
    prose = re.sub(r"(?s)```.*?```", "", text)
    assert "<script" not in prose.replace("\\<script", "")
    assert "a\\|b \\$HOME \\`x\\`" in prose
    assert TRACEBACK in text
    for part in ("computing", "lost to start-up", "lost to walltime", "held in all"):
        assert part in text


def test_the_end_of_the_files_name_says_what_is_written(folder: RunFolder, tmp_path: Path) -> None:
    for name, begin in (("a.json", '{"schema'), ("b.MD", "# Report"), ("c $.html", "<!doctype")):
        path = write_report(folder, tmp_path / name)
        assert path.read_text().startswith(begin)
        assert {one.suffix for one in tmp_path.iterdir() if one.is_file()} <= {
            ".json",
            ".MD",
            ".html",
        }


def test_a_file_that_cannot_be_written_is_refused_with_what_to_do(
    folder: RunFolder, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"there is no folder .*none.*Make it"):
        write_report(folder, tmp_path / "none" / "report.html")
    with pytest.raises(InputError, match="is a folder: name the file"):
        write_report(folder, tmp_path)
    with pytest.raises(RunError, match="holds no run"):
        report_text(RunFolder(tmp_path / "nothing"))


def test_what_is_no_plain_file_is_written_to_and_stays(folder: RunFolder, tmp_path: Path) -> None:
    """The user root had no /dev/stdout and no /dev/full any more: a file was put in their place."""
    link, there = tmp_path / "latest.md", tmp_path / "there.md"
    link.symlink_to(there)
    write_report(folder, link)
    assert link.is_symlink()
    assert there.read_text().startswith("#")
    pipe = tmp_path / "pipe.md"
    os.mkfifo(pipe)
    fd = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_report(folder, pipe)
        assert os.read(fd, 60_000).decode() == there.read_text()
    finally:
        os.close(fd)
    assert pipe.is_fifo()


def test_a_run_in_which_nothing_has_happened_yet(tmp_path: Path) -> None:
    run = PastRun(tmp_path / "new", ["a"])
    run.close()
    found: dict = as_json(run.folder)  # type: ignore[type-arg]
    assert found["use"]["held"] == 0
    assert found["run"]["begun"] is None
    assert found["chart"]["lines"] == []
    assert "No job has held cores yet" in report_text(run.folder, "markdown")
    assert "report-data" in report_text(run.folder)


def test_a_run_whose_manager_was_killed_is_reported_with_what_its_journal_has(
    tmp_path: Path,
) -> None:
    run = PastRun(tmp_path / "killed", ["a", "b"])
    run.submit(["7"], 0)
    run.start("7", 10)
    run.finish(run.claim("7", 20), 40, 18.0)
    run.claim("7", 40)
    run.store._journal._appender.append(b'["_default","1",{"id":1,')  # and then kill -9
    found: dict = as_json(run.folder)  # type: ignore[type-arg]
    assert found["run"]["state"] == "manager dead"
    assert found["run"]["ended"] is None
    assert found["use"]["computing"] > 0
    assert [bar[2] for bar in found["chart"]["lines"][0]["bars"]] == [0, -1]


def test_an_old_run_says_that_its_past_is_not_known(folder: RunFolder) -> None:
    folder.history.unlink()
    found: dict = as_json(folder)  # type: ignore[type-arg]
    assert not found["is_complete"]
    assert "kept no history" in found["remarks"][0]
    assert found["slowest"][0]["seconds"] == 23.0
    assert found["failures"][0]["traceback"] == TRACEBACK


def test_a_large_run_gives_a_small_file(tmp_path: Path) -> None:
    folder = large_run(tmp_path / "large", 1_000, jobs=250)
    path = write_report(folder, tmp_path / "report.html")
    found: dict = as_json(folder)  # type: ignore[type-arg]
    assert len(found["chart"]["lines"]) == 200
    assert found["chart"]["jobs"] == 250
    assert all(len(line["bars"]) <= 152 for line in found["chart"]["lines"])
    assert sum(one["count"] for one in found["failures"]) == 10
    assert path.stat().st_size < 600_000
