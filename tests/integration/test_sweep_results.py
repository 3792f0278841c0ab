"""`adaptive-scheduler results` and `adaptive_scheduler.sweeps.results`: what a sweep has brought."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adaptive_scheduler import sweeps
from adaptive_scheduler.cli import app
from adaptive_scheduler.errors import InputError
from tests.integration.sweeps import SweepWorld


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> SweepWorld:
    """A sweep that was run twice, the second time with other losses."""
    made = SweepWorld(tmp_path_factory.mktemp("sweep"))
    text = """
template:
  train: echo loss=9 && echo loss={loss}{lr}
  test: echo acc {lr} é && test {lr} != 0.3
default: {loss: 1, same: x}
---
lr: [0.1, 0.2, 0.3]
name: ["a b", "1"]
"""
    made.write(text)
    made.run(code=1)
    made.write(text.replace("loss: 1", "loss: 2"))
    made.run(code=1)
    return made


METRICS = {"loss_": r"loss=(\S+)", "acc": r"acc (\d\.\d)"}


def test_a_row_for_each_task_with_its_last_values(world: SweepWorld) -> None:
    frame = sweeps.results(world.output, METRICS)
    assert list(frame.columns) == ["lr", "name", "loss_", "acc"]
    assert len(frame) == 6
    row = frame.loc["Lr_0.2-Name_a b"]
    assert row.to_dict() == {"lr": 0.2, "name": "a b", "loss_": 20.2, "acc": 0.2}
    every = sweeps.results(world.output, all_columns=True)
    assert list(every.columns) == ["loss", "same", "lr", "name"]


def test_forms_of_the_command(world: SweepWorld) -> None:
    options = [part for name, one in METRICS.items() for part in ("--metric", f"{name}={one}")]
    words = ["results", str(world.output), *options]
    tsv = CliRunner().invoke(app, [*words, "--tsv"]).output.splitlines()
    assert tsv[:2] == ["task\tlr\tname\tloss_\tacc", "Lr_0.1-Name_1\t0.1\t1\t20.1\t0.1"]
    lines = CliRunner().invoke(app, [*words, "--json"]).output.splitlines()
    assert json.loads(lines[1]) == {
        "task": "Lr_0.1-Name_a b", "lr": 0.1, "name": "a b", "loss_": 20.1, "acc": 0.1
    }  # fmt: skip
    shown = CliRunner().invoke(app, words).output
    assert "20.3" in shown
    assert len(shown.splitlines()) == 7


def test_without_folders_each_task_reads_its_own_logs(tmp_path: Path) -> None:
    world = SweepWorld(tmp_path)
    world.write("template: {a: 'echo v={x}'}\n---\nx: [1, 11]")
    world.run("--no-param-dir")
    frame = sweeps.results(world.output, {"v": r"v=(\d+)"})
    assert frame.to_dict() == {"x": {"X_1": 1, "X_11": 11}, "v": {"X_1": 1, "X_11": 11}}


def test_a_parameter_called_task_does_not_hide_the_task(tmp_path: Path) -> None:
    """Its value stood in the place of the task's name, which was nowhere."""
    (tmp_path / "Task_1").mkdir()
    (tmp_path / "Task_1/param.json").write_text(
        json.dumps({"task": 1, "param.task": 2, "_name": "Task_1"})
    )
    (line,) = CliRunner().invoke(app, ["results", str(tmp_path), "--json"]).output.splitlines()
    assert json.loads(line) == {"task": "Task_1", "param.param.task": 1, "param.task": 2}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--metric", r"a=no\d+"], r"--metric a: no\d+ is found in none of the 12 newest logs"),
        (["--metric", "a=("], "is no regular expression"),
        (["--metric", "a"], "not of the form KEY=VALUE"),
        (["--metric", "lr=loss"], "a parameter has this name"),
        (["--tsv", "--json"], "give one of them"),
    ],
)
def test_bad_input(world: SweepWorld, words: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["results", str(world.output), *words])
    assert (done.exit_code, message in done.output) == (2, True), done.output


def test_a_folder_that_is_no_sweep_s_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no task of a sweep"):
        sweeps.results(tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        sweeps.results(tmp_path / "none")
