"""--dry-run says what would be done, and changes nothing; the only run need not be named."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from adaptive_scheduler.cli import app
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import Phase, TaskItem
from adaptive_scheduler.core.tasks.pools import Pool
from adaptive_scheduler.io.storage import row_codec
from adaptive_scheduler.runs.reading.on_disk import snapshot_on_disk
from tests.made_runs import PHASES, learners, make_run

DRY = "Nothing is changed. Without --dry-run: "


def typed(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(words), env={"COLUMNS": "250"})
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


@pytest.mark.parametrize(
    ("words", "told"),
    [(["cancel"], "3 learners cancelled."),
     (["cancel", "1", "0"], "1 learner cancelled; 1 had ended before."),
     (["cancel", "温度_5.pickle"], "1 learner cancelled."),
     (["retry"], "2 learners queued again."),
     (["retry", "0", "1"], "1 learner queued again."),
     (["retry", "--goal", "100"], "2 learners queued again; and those done that do not meet the new goal."),
     (["resume"], "the run goes on, with 4 learners to do."),
     (["manager"], "this is the manager of")],
)  # fmt: skip
def test_of_learners(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    folder = make_run(tmp_path / "my $study", learners(6))
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert f"{DRY}{told}" in typed(*words, "--dry-run")
    assert f"{DRY}{told}" in typed(words[0], str(folder.home), *words[1:], "--dry-run")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("words", "told"),
    [(["cancel", "0-5"], "3 tasks cancelled; 3 had ended before."),
     (["cancel", "--tag", "x"], "3 tasks cancelled; 3 had ended before."),
     (["retry"], "2 tasks queued again."),
     (["prioritise", "1", "2", "7"], "2 tasks have priority 7."),
     (["prioritise", "--tag", "x", "-1"], "3 tasks have priority -1; 3 had ended before."),
     (["pool", "remove", "big"], "Pool big removed")],
)  # fmt: skip
def test_of_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    rows = [TaskItem(n, "", phase, tag="x", name=f"t{n}") for n, phase in enumerate(PHASES)]
    pool = Pool(name="big", resources=Resources(cores=4), max_jobs=2)
    tables = {"batches": {"a": {"items": list(range(6))}}, row_codec.POOLS: {"0": pool}}
    make_run(tmp_path / "my run", rows, "task", tables)
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert f"{DRY}{told}" in typed(*words, "--dry-run")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_without_it_the_only_run_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row for row in learners(6) if row.phase is not Phase.RUNNING][:3]
    folder = make_run(
        tmp_path / "study", [type(r)(n, r.fname, r.phase) for n, r in enumerate(rows)]
    )
    monkeypatch.chdir(tmp_path)
    assert typed("cancel", "1") == "1 learner cancelled."
    assert snapshot_on_disk(folder).phases == {"done": 1, "cancelled": 1, "failed": 1}
    assert "learner 2 is failed" in typed("logs", "2")


@pytest.mark.parametrize(
    "words",
    [["cancel", ""], ["cancel", "", "1"], ["resume", ""], ["status", ""], ["explain", "", "1"]],
    ids=" ".join,
)
def test_an_empty_text_is_not_the_run_of_this_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """What a shell types for a variable that is not set; `cancel "$RUN"` cancelled a run."""
    folder = make_run(tmp_path / "my study", learners(6))
    before = snapshot_on_disk(folder).phases
    monkeypatch.chdir(tmp_path)
    assert "perhaps a variable is not set" in typed(*words, code=2)
    assert snapshot_on_disk(folder).phases == before


@pytest.mark.parametrize("words", [["retry"], ["retry", "3"], ["resume"]], ids=" ".join)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_run_that_has_lost_its_learners_is_not_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], dry: list[str]
) -> None:
    folder = make_run(tmp_path / "my study", learners(6))
    folder.callables.write_bytes(b"of a run that was started")
    before = snapshot_on_disk(folder).phases
    monkeypatch.chdir(tmp_path)
    text = typed(*words, *dry, code=2)
    assert f"{folder.learners} is missing: jobs would have no learners to run. Put it back" in text
    assert "`adaptive-scheduler run` with the same learners" in text
    assert snapshot_on_disk(folder).phases == before
    assert not folder.manager.exists()
