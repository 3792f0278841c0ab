"""Bad input is refused before anything is written."""

from __future__ import annotations

import math
import os
from functools import partial
from pathlib import Path
from typing import Any

import adaptive
import numpy as np
import pytest

from adaptive_scheduler.core.options.run_options import RunOptions
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.errors import CommandMissingError, InputError, RunError
from adaptive_scheduler.io.storage import row_codec
from adaptive_scheduler.io.storage.read_only import read_tables
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.runs.run_manager import RunManager, run_folder
from adaptive_scheduler.runs.start import create_database, fnames
from adaptive_scheduler.runs.start.environment import foreign_entries
from adaptive_scheduler.runs.start.plan import CheckedRun, make_plan
from adaptive_scheduler.runs.start.prepare import check_surroundings, prepare
from adaptive_scheduler.runs.views import status
from adaptive_scheduler.schedulers import user_script
from adaptive_scheduler.schedulers.local import LocalScheduler
from adaptive_scheduler.schedulers.slurm import SLURM


def f(x: float, offset: float = 0.0) -> float:
    return x + offset


def line(offset: float = 0.0) -> adaptive.Learner1D:
    return adaptive.Learner1D(partial(f, offset=offset), bounds=(-1, 1))


def local(**options: Any) -> LocalScheduler:
    return LocalScheduler(**{"cores": 1, "max_cores": 4, "executor_type": "sequential", **options})


def test_the_points_interval_reaches_the_clients(tmp_path: Path, folder: RunFolder) -> None:
    prepare(plan_of(tmp_path, points_interval=0.25), folder)
    assert read_config(folder).points_interval == 0.25


def plan_of(tmp_path: Path, n: int = 3, **settings: Any) -> CheckedRun:
    settings = {"goal": 10, **settings}
    names = [tmp_path / f"data/{k}.pickle" for k in range(n)]
    return make_plan(local(), [line(k) for k in range(n)], names, RunOptions(**settings))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return run_folder(tmp_path / "run", "job")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a"], "2 learners, but 1 fnames"),
        ("ab", "fnames must be a list"),
        (None, "fnames must be a list"),
        (["a", "a"], r"fnames\[0\] and fnames\[1\] are the same file"),
        (["a", "./x/../a"], "are the same file"),
        (["a", 7], r"fnames\[1\]=7 is of type int"),
        (["a", b"b"], "is of type bytes"),
        (["a", ""], "cannot be the name of a file"),
        (["a", "b/"], "cannot be the name of a file"),
        (["a", "b\0"], "cannot be the name of a file"),
        (["a", "d/" + "x" * 256], "has 256 bytes"),
        (["a", "ä" * 128], "has 256 bytes"),
        (["a", "/tmp"], "is a folder"),
        (["a", "a/b"], "uses it as a folder"),
        (["a", ["b", "c"]], "only a BalancingLearner"),
        (["a", "b\udcff"], "is not UTF-8"),
    ],
)
def test_a_wrong_fname_is_refused(names: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_plan(local(), [line(), line()], names, RunOptions(goal=1))


def test_fnames_of_a_balancing_learner() -> None:
    balancing = adaptive.BalancingLearner([line(), line()])
    with pytest.raises(
        InputError, match=r"fnames\[0\] has 1 names, but its BalancingLearner has 2"
    ):
        make_plan(local(), [balancing], [["a"]], RunOptions(goal=1))
    with pytest.raises(InputError, match=r"fnames\[0\]\[0\] and fnames\[0\]\[1\] are the same"):
        make_plan(local(), [balancing], [["a", "./a"]], RunOptions(goal=1))
    plan = make_plan(local(), [balancing], [["a", Path("b")]], RunOptions(goal=1))
    assert plan.fnames == [[f"{os.getcwd()}/a", f"{os.getcwd()}/b"]]


def test_fnames_through_a_link_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(InputError, match="are the same file"):
        fnames.refuse_collisions([f"{tmp_path}/real/a", f"{tmp_path}/link/a"])


def test_the_longest_name_is_taken() -> None:
    assert make_plan(local(), [line()], ["x" * 255], RunOptions(goal=1)).fnames


@pytest.mark.parametrize(
    ("learners", "words"),
    [
        ([], "learners is empty"),
        (line(), r"write \[learner\]"),
        (["a", "b"], r"learners\[0\] is a str"),
    ],
)
def test_wrong_learners_are_refused(learners: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_plan(local(), learners, ["a", "b"], RunOptions(goal=1))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"goal": "100"}, "is of type str"),
        ({"goal": True}, "goal=True"),
        ({"goal": -1}, "must be greater than zero"),
        ({"goal": None}, r"goal=None means.*learners\[0\], a Learner1D.*lambda learner: False"),
        ({"dependencies": {0: [1], 1: [0]}}, "cyclic: [01] -> [01] -> [01]"),
        ({"dependencies": {0: [0]}}, "cyclic"),
        ({"dependencies": {0: [2]}}, "2 .a parent of 0. is out of range: there are 2 learners"),
        ({"dependencies": {-1: [0]}}, "out of range"),
        ({"dependencies": {"0": [1]}}, "must be the place of a learner"),
        ({"dependencies": [1]}, "must be a mapping"),
        ({"max_jobs": 0}, "max_jobs=0"),
        ({"max_fails": 1.5}, "max_fails=1.5"),
        ({"point_retries": -1}, "point_retries=-1"),
        ({"point_retries": True}, "point_retries=True"),
        ({"save_interval": 0}, "save_interval=0"),
        ({"save_interval": math.inf}, "save_interval=inf"),
        ({"points_interval": -0.1}, "points_interval=-0.1"),
        ({"points_interval": "1"}, "points_interval='1' is not understood"),
        ({"log_interval": "30"}, "log_interval='30'"),
        ({"name": " "}, "name"),
        ({"client_patience": 0}, "client_patience=0"),
        ({"client_patience": float("inf")}, "client_patience=inf"),
        ({"client_patience": None}, "client_patience=None"),
        ({"runner_kwargs": {"goal": 1}}, "give goal= to RunManager"),
        ({"runner_kwargs": {"executor": 1}}, "executor_type="),
        ({"runner_kwargs": {"retry": 1}}, "known are"),
        ({"initializers": [1]}, "initializers"),
        ({"initializers": len}, "initializers"),
        ({"url": "host"}, "tcp://host:port"),
        ({"run_script": "is/not/there.py"}, "is no file"),
    ],
)
def test_a_wrong_option_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_plan(local(), [line(), line()], ["a", "b"], RunOptions(**{"goal": 1, **settings}))


def test_tuples_of_another_length() -> None:
    with pytest.raises(InputError, match="tuples of 3 values for 2 learners"):
        make_plan(local(cores=(1, 2, 3)), [line(), line()], ["a", "b"], RunOptions(goal=1))


def test_no_scheduler() -> None:
    with pytest.raises(InputError, match="is no scheduler"):
        make_plan("slurm", [line()], ["a"], RunOptions(goal=1))


def test_missing_programs_of_the_batch_system_are_named(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    plan = make_plan(SLURM(cores=1), [line()], ["a"], RunOptions(goal=1))
    with pytest.raises(CommandMissingError, match=r"SLURM needs sbatch.*not found on PATH"):
        check_surroundings(plan, folder)


def test_goal_none_is_for_learners_with_an_end() -> None:
    sequence = adaptive.SequenceLearner(f, [1.0, 2.0])
    learners = [
        sequence,
        adaptive.IntegratorLearner(f, (0, 1), 1e-3),
        adaptive.DataSaver(adaptive.SequenceLearner(f, [1.0]), arg_picker=lambda y: y),
        adaptive.BalancingLearner([sequence]),
    ]
    make_plan(local(), learners, list("abcd"), RunOptions())
    with pytest.raises(InputError, match=r"learners\[1\], a BalancingLearner"):
        make_plan(
            local(), [sequence, adaptive.BalancingLearner([line()])], list("ab"), RunOptions()
        )


def test_a_run_that_was_not_started_has_no_snapshot_and_no_folder(tmp_path: Path) -> None:
    run = RunManager(local(), [line()], [tmp_path / "a"], goal=1, folder=tmp_path / "run")
    assert run.status() == "not started"
    with pytest.raises(RunError, match="never started"):
        run.snapshot()
    with pytest.raises(RunError, match="holds no run"):
        RunManager.attach(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_default_folder_is_named_after_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = run_folder(None, "../v 1.5/β")
    assert found.home.parent == tmp_path / "adaptive-scheduler-runs"
    assert found.database.name == "db.tinydb"


def rows_of(folder: RunFolder) -> list[Any]:
    return row_codec.read_items(read_tables(folder), folder)


def test_the_users_additions_to_sys_path_are_found() -> None:
    entries = ["", "/env/lib", "sub", "/env/lib", "/home/me/../me/code"]
    assert foreign_entries(entries, ["/env/lib"], "/work") == [
        "/work",
        "/work/sub",
        "/home/me/code",
    ]


@pytest.mark.parametrize(
    ("phases", "alive", "notes", "word"),
    [
        ({"running": 1}, True, [], "running"),
        ({"running": 1}, True, ["held: x"], "held"),
        ({"running": 1}, False, [], "manager dead"),
        ({"done": 2}, True, [], "finished"),
        ({"done": 2, "failed": 1}, False, [], "failed"),
        ({"failed": 1, "cancelled": 1}, False, [], "cancelled"),
    ],
)
def test_status_words(phases: dict[str, int], alive: bool, notes: list[str], word: str) -> None:
    shot = Snapshot("r", "db", 0.0, alive, phases=phases, notes=notes)
    found = status.status_of(shot)
    assert found == word
    assert repr(found).startswith(f"{word}: ")


def test_create_empty_db_writes_rows_and_combos(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "running.tinydb")
    combos = [{"n": np.int64(k), "x": np.float64(0.5), "t": (1, 2)} for k in range(2)]
    create_database.create(
        folder, [tmp_path / "a", [str(tmp_path / "b"), str(tmp_path / "c")]], combos
    )
    tables = read_tables(folder)
    assert tables["combos"]["1"] == {"combo": {"n": 1, "x": 0.5, "t": [1, 2]}}
    assert rows_of(folder)[1].fname == [str(tmp_path / "b"), str(tmp_path / "c")]
    create_database.create(folder, ["a"], None)
    assert (tmp_path / "running.tinydb.old").exists()
    assert len(rows_of(folder)) == 1


@pytest.mark.parametrize(
    ("given", "combos", "words"),
    [
        (["a", "a"], None, "are the same file"),
        (["a"], [{}, {}], "1 fnames, but 2 combos"),
        (["a"], [1], r"combos\[0\]=1 is no dict"),
        (["a"], [{"f": f}], r"combos\[0\]\['f'\].* cannot be stored"),
        ([], None, "fnames is empty"),
        ("a", None, "must be a list"),
    ],
)
def test_create_empty_db_refuses_wrong_arguments(
    tmp_path: Path, given: Any, combos: Any, words: str
) -> None:
    folder = RunFolder(tmp_path / "running.tinydb")
    with pytest.raises(InputError, match=words):
        create_database.create(folder, given, combos)
    assert not folder.folder.exists()


def test_exports_come_after_the_directives() -> None:
    text = "#!/bin/bash\n#SBATCH -n 4\n\n# mine\nmodule load x\npython y\n"
    assert user_script.with_exports(text, ["export A=1"]).splitlines() == [
        "#!/bin/bash", "#SBATCH -n 4", "", "# mine", "export A=1", "module load x", "python y",
    ]  # fmt: skip
    assert user_script.with_exports("echo", ["export A=1"]).splitlines() == [
        "#!/bin/bash -l", "export A=1", "echo",
    ]  # fmt: skip
