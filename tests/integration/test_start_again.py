"""A second start in the folder of a run follows the notebook cell as it is now."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import adaptive
import msgspec
import pytest
from typer.testing import CliRunner

from adaptive_scheduler.cli import app
from adaptive_scheduler.core.options.run_options import RunOptions
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import Phase
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.storage import row_codec
from adaptive_scheduler.io.storage.database import Database
from adaptive_scheduler.io.storage.read_only import read_tables
from adaptive_scheduler.runs.retry import rows_to_retry
from adaptive_scheduler.runs.run_manager import RunManager, run_folder
from adaptive_scheduler.runs.start.plan import make_plan
from adaptive_scheduler.runs.start.prepare import prepare
from adaptive_scheduler.schedulers.local import LocalScheduler

CELL = """
def f(x, offset=0.0):
    return x + offset
def goal(learner):
    return learner.npoints >= 10
"""


def cell(text: str = CELL, name: str = "f") -> Any:
    """Run a notebook's cell anew: its functions are others than those before, edited or not."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(text, names)
    return names[name]


def lines(n: int = 3, text: str = CELL) -> list[Any]:
    f = cell(text)
    return [adaptive.Learner1D(partial(f, offset=float(k)), bounds=(-1, 1)) for k in range(n)]


def local() -> LocalScheduler:
    return LocalScheduler(cores=1, max_cores=4, executor_type="sequential")


class Again:
    """A run that is over, in whose folder one starts again."""

    def __init__(self, tmp_path: Path) -> None:
        self.names = [tmp_path / f"data/{k}.pickle" for k in range(3)]
        self.folder: RunFolder = run_folder(tmp_path / "run", "job")

    def start(self, learners: list[Any] | None = None, **settings: Any) -> str:
        """Start; returns what a person is told."""
        plan = make_plan(
            local(), learners or lines(), self.names, RunOptions(**{"goal": 10, **settings})
        )
        return "\n".join(prepare(plan, self.folder).remarks)

    def end(self, learners: list[Any], phase: Phase = Phase.DONE) -> None:
        """What the jobs would do: ten points each, or all of a sequence."""
        with_store = Database(self.folder)
        for row, learner, name in zip(self.rows(), learners, self.names, strict=True):
            learner_of = learner.function
            xs = (
                learner.ask(10)[0]
                if not hasattr(learner, "sequence")
                else learner.ask(len(learner.sequence))[0]
            )
            for x in xs:
                learner.tell(x, learner_of(x))
            learner.save(name)
            ended = msgspec.structs.replace(
                row, phase=phase, npoints=learner.npoints, worked=60.0, attempts=1
            )
            with_store.put("_default", row.id, ended)
        with_store.commit()
        with_store.close()

    def rows(self) -> list[Any]:
        return row_codec.read_items(read_tables(self.folder), self.folder)

    def phases(self) -> list[str]:
        return [row.phase.value for row in self.rows()]


@pytest.fixture
def again(tmp_path: Path) -> Again:
    run = Again(tmp_path)
    run.start(goal=cell(name="goal"))
    run.end(lines())
    return run


DONE, QUEUED = ["done"] * 3, ["queued"] * 3


def test_a_second_start_leaves_done_learners_done(again: Again) -> None:
    assert again.start(goal=cell(name="goal")) == ""
    assert again.phases() == DONE
    assert again.start(goal=10) == ""  # another goal, which they meet
    assert again.start(goal=timedelta(seconds=60)) == ""
    assert again.phases() == DONE


@pytest.mark.parametrize(
    "goal",
    [20, 1e-12, timedelta(minutes=2), "2m", lambda learner: learner.npoints >= 20,
     datetime.now(UTC) + timedelta(hours=1), cell(CELL.replace("10", "11"), "goal")],
)  # fmt: skip
def test_learners_that_do_not_meet_a_tighter_goal_go_on(again: Again, goal: Any) -> None:
    assert "3 learners that were done go on: 3 do not meet the goal as it is now" in again.start(
        goal=goal
    )
    assert again.phases() == QUEUED
    assert [row.npoints for row in again.rows()] == [10] * 3
    assert "go on" not in again.start(goal=goal)


def test_a_sequence_that_became_longer_goes_on(again: Again) -> None:
    def sequences(n: int) -> list[Any]:
        return [adaptive.SequenceLearner(cell(), [float(k) for k in range(n)]) for _ in range(3)]

    again.folder = run_folder(again.folder.home.with_name("sequences"), "job")
    again.names = [name.with_suffix(".sequence") for name in again.names]
    again.start(sequences(5), goal=None)
    again.end(sequences(5))
    assert again.start(sequences(5), goal=None) == ""
    assert again.phases() == DONE
    assert "3 do not meet the goal" in again.start(sequences(8), goal=None)
    assert again.phases() == QUEUED


@pytest.mark.parametrize("goal", [10, cell(name="goal"), timedelta(seconds=60)])
@pytest.mark.parametrize("lose", [os.unlink, lambda name: Path(name).write_bytes(b"")])
def test_learners_whose_data_are_gone_begin_anew(
    again: Again, goal: Any, lose: Callable[[Path], object]
) -> None:
    lose(again.names[1])
    told = again.start(lines(text=CELL.replace("+ offset", "- offset")), goal=goal)
    assert "1 learners that were done go on: the data of 1 are gone (first" in told
    assert "data/1.pickle" in told
    assert again.phases() == ["done", "queued", "done"]
    assert (again.rows()[1].worked, again.rows()[1].npoints) == (0.0, 0)  # else 60 s were done


def test_one_lost_file_of_a_balancing_learner_is_noticed(tmp_path: Path) -> None:
    again = Again(tmp_path)
    pair = [str(tmp_path / "left"), str(tmp_path / "right")]
    learner = adaptive.BalancingLearner(lines(2))
    learner.tell_many([(k, x) for k in (0, 1) for x in (-1.0, 1.0)], [0.0] * 4)
    again.names = [pair]  # type: ignore[list-item]
    again.start([learner], goal=4)
    learner.save(pair)
    store = Database(again.folder)
    store.put("_default", 0, msgspec.structs.replace(again.rows()[0], phase=Phase.DONE, npoints=4))
    store.close()
    assert again.start([adaptive.BalancingLearner(lines(2))], goal=4) == ""
    Path(pair[1]).unlink()
    assert "the data of 1 are gone" in again.start([adaptive.BalancingLearner(lines(2))], goal=4)


def test_an_edited_function_is_reported_and_its_data_are_kept(again: Again) -> None:
    edited = CELL.replace("x + offset", "x - offset")
    before = [name.read_bytes() for name in again.names]
    told = again.start(lines(text=edited))
    assert "The function has changed since the data in " in told
    assert "data/0.pickle" in told
    assert "move the data away and start() again" in told
    assert again.phases() == DONE
    assert [name.read_bytes() for name in again.names] == before
    assert again.start(lines(text=edited)) == ""  # said once
    parts = [adaptive.Learner1D(partial(cell(edited), offset=9.0), (-1, 1)) for _ in range(3)]
    assert "function has changed" in again.start(parts)


def test_failed_learners_without_data_begin_anew_too(again: Again) -> None:
    again.end(lines(), Phase.FAILED)
    again.names[0].unlink()
    again.start(goal=timedelta(minutes=5))
    assert again.phases() == QUEUED
    assert [row.worked for row in again.rows()] == [0.0, 60.0, 60.0]


def test_a_retry_includes_learners_without_data(again: Again) -> None:
    again.names[2].unlink()
    plan = make_plan(local(), lines(), again.names, RunOptions(goal=timedelta(seconds=60)))
    assert rows_to_retry(again.folder, plan, [0, 1, 2], None) == [2]


def test_data_are_not_loaded_if_nothing_has_changed(again: Again) -> None:
    assert again.start(goal=lambda learner: learner.npoints >= 20, check_goal_on_start=False) == ""
    assert "3 do not meet" in again.start(goal=20, check_goal_on_start=False)


# ---------------------------------------------------------------- two runs in one directory


def test_other_learners_get_a_folder_of_their_own_and_are_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = RunManager(local(), lines(), ["a", "b", "c"], goal=10)
    prepare(first._plan, first.folder)  # type: ignore[arg-type]
    store = Database(first.folder)
    for row in row_codec.read_items(read_tables(first.folder), first.folder):
        store.put("_default", row.id, msgspec.structs.replace(row, phase=Phase.DONE))
    store.close()
    assert first.status() == "finished"
    other = RunManager(local(), lines(1), ["d"], goal=10)
    assert other.folder.home == tmp_path / "adaptive-scheduler-runs/adaptive-scheduler-2"
    assert other.status() == "not started"
    assert "adaptive-scheduler-2" in other.status().text
    prepare(other._plan, other.folder)  # type: ignore[arg-type]
    third = RunManager(local(), lines(1), ["e"], goal=10)
    assert third.folder.home.name == "adaptive-scheduler-3"
    same = [
        RunManager(local(), lines(3), [*"cab"], goal=20),
        RunManager(local(), lines(2), [*"de"], goal=1),
    ]
    assert [run.folder.home.name for run in same] == ["adaptive-scheduler", "adaptive-scheduler-2"]
    assert RunManager.attach(other.folder.home).fnames == [str(tmp_path / "d")]
    anew = RunManager(local(), lines(1), ["e"], goal=10, overwrite=True)
    assert anew.folder.home.name == "adaptive-scheduler"  # what a person asks for


def test_a_named_folder_with_other_learners_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "run"
    first = RunManager(local(), lines(1), [tmp_path / "a"], goal=10, folder=home)
    prepare(first._plan, first.folder)  # type: ignore[arg-type]
    other = RunManager(local(), lines(1), [tmp_path / "b"], goal=10, folder=home)
    assert other.status() == "not started"
    assert "another folder=" in other.status().text
    with pytest.raises(InputError, match="another folder="):
        other.start()


FILE = """
import time
import adaptive
def f(x):
    time.sleep(0.02)
    return x
learners = [adaptive.Learner1D(f, (-1, 1))]
fnames = ["NAME"]
"""


@pytest.mark.timeout(300)
def test_started_again_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_LOCALBATCH_IDLE", "1")

    def run(name: str, goal: str) -> str:
        (tmp_path / "calc.py").write_text(FILE.replace("NAME", name))
        options = ["--scheduler", "local", "--cores", "1", "--executor", "sequential"]
        done = CliRunner().invoke(app, ["run", "calc.py", *options, "--goal", goal])
        assert done.exit_code == 0, done.output
        return done.output

    def points(name: str) -> int:
        learner = adaptive.Learner1D(lambda x: x, (-1, 1))
        learner.load(name)
        return learner.npoints

    run("first", "5")
    assert points("first") >= 5
    assert "1 do not meet the goal" in run("first", "40")
    assert points("first") >= 40
    Path("first").unlink()
    assert "the data of 1 are gone" in run("first", "7")
    assert 7 <= points("first") < 40
    assert (
        f"{tmp_path}/calc holds a run of other learners: this one is in {tmp_path}/calc-2"
        in run("second", "5").replace("\n", " ")
    )
    assert points("second") >= 5
