"""Bad input is refused before anything is written; a plan becomes rows that can be carried on."""

from __future__ import annotations

import os
import threading
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import adaptive
import msgspec
import numpy as np
import pytest

from adaptive_scheduler.core.items import Phase
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.snapshot import Snapshot
from adaptive_scheduler.errors import CommandMissingError, InputError, RunError, UserCodeError
from adaptive_scheduler.io.database import Database
from adaptive_scheduler.io.learners import LearnerFile
from adaptive_scheduler.io.tables import read_tables
from adaptive_scheduler.manager import empty, fnames, offline, prepare, state, status, user_script
from adaptive_scheduler.manager.environment import foreign_entries
from adaptive_scheduler.manager.lock import Lock
from adaptive_scheduler.manager.plan import Plan, Settings, make_plan
from adaptive_scheduler.manager.prepare import check_surroundings
from adaptive_scheduler.manager.run_manager import RunManager, run_folder
from adaptive_scheduler.manager.viewer import snapshot_on_disk
from adaptive_scheduler.schedulers.local import LocalScheduler
from adaptive_scheduler.schedulers.slurm import SLURM


def f(x: float, offset: float = 0.0) -> float:
    return x + offset


def line(offset: float = 0.0) -> adaptive.Learner1D:
    return adaptive.Learner1D(partial(f, offset=offset), bounds=(-1, 1))


def local(**options: Any) -> LocalScheduler:
    return LocalScheduler(**{"cores": 1, "max_cores": 4, "executor_type": "sequential", **options})


def plan_of(tmp_path: Path, n: int = 3, **settings: Any) -> Plan:
    settings = {"goal": 10, **settings}
    names = [tmp_path / f"data/{k}.pickle" for k in range(n)]
    return make_plan(local(), [line(k) for k in range(n)], names, Settings(**settings))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return run_folder(tmp_path / "run", "job")


# ---------------------------------------------------------------- what is refused


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
def test_bad_fnames(names: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_plan(local(), [line(), line()], names, Settings(goal=1))


def test_fnames_of_a_balancing_learner() -> None:
    balancing = adaptive.BalancingLearner([line(), line()])
    with pytest.raises(
        InputError, match=r"fnames\[0\] has 1 names, but its BalancingLearner has 2"
    ):
        make_plan(local(), [balancing], [["a"]], Settings(goal=1))
    with pytest.raises(InputError, match=r"fnames\[0\]\[0\] and fnames\[0\]\[1\] are the same"):
        make_plan(local(), [balancing], [["a", "./a"]], Settings(goal=1))
    plan = make_plan(local(), [balancing], [["a", Path("b")]], Settings(goal=1))
    assert plan.fnames == [[f"{os.getcwd()}/a", f"{os.getcwd()}/b"]]


def test_fnames_through_a_link_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(InputError, match="are the same file"):
        fnames.refuse_collisions([f"{tmp_path}/real/a", f"{tmp_path}/link/a"])


def test_the_longest_name_is_taken() -> None:
    assert make_plan(local(), [line()], ["x" * 255], Settings(goal=1)).fnames


@pytest.mark.parametrize(
    ("learners", "words"),
    [
        ([], "learners is empty"),
        (line(), r"write \[learner\]"),
        (["a", "b"], r"learners\[0\] is a str"),
    ],
)
def test_bad_learners(learners: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_plan(local(), learners, ["a", "b"], Settings(goal=1))


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
        ({"max_simultaneous_jobs": 0}, "max_simultaneous_jobs=0"),
        ({"max_fails_per_job": 1.5}, "max_fails_per_job=1.5"),
        ({"save_interval": 0}, "save_interval=0"),
        ({"log_interval": "30"}, "log_interval='30'"),
        ({"job_name": " "}, "job_name"),
        ({"runner_kwargs": {"goal": 1}}, "give goal= to RunManager"),
        ({"runner_kwargs": {"executor": 1}}, "executor_type="),
        ({"runner_kwargs": {"retry": 1}}, "known are"),
        ({"initializers": [1]}, "initializers"),
        ({"initializers": len}, "initializers"),
        ({"url": "host"}, "tcp://host:port"),
        ({"run_script": "is/not/there.py"}, "is no file"),
    ],
)
def test_bad_settings(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_plan(local(), [line(), line()], ["a", "b"], Settings(**{"goal": 1, **settings}))


def test_tuples_of_another_length() -> None:
    with pytest.raises(InputError, match="tuples of 3 values for 2 learners"):
        make_plan(local(cores=(1, 2, 3)), [line(), line()], ["a", "b"], Settings(goal=1))


def test_no_scheduler() -> None:
    with pytest.raises(InputError, match="is no scheduler"):
        make_plan("slurm", [line()], ["a"], Settings(goal=1))


def test_missing_commands(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    plan = make_plan(SLURM(cores=1), [line()], ["a"], Settings(goal=1))
    with pytest.raises(CommandMissingError, match=r"SLURM needs sbatch.*not found on PATH"):
        check_surroundings(plan, folder)


def test_a_folder_that_cannot_be_one(tmp_path: Path, folder: RunFolder) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file is not one"):
        prepare.prepare(plan_of(tmp_path / "file"), folder)
    with pytest.raises(InputError, match=r"folder: .* is not one"):
        prepare.prepare(plan_of(tmp_path), run_folder(tmp_path / "file/run", "job"))
    with pytest.raises(InputError, match="must be a folder of its own"):
        run_folder(tmp_path / "file", "job")


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder(tmp_path: Path, folder: RunFolder) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    with pytest.raises(InputError, match="nothing can be written"):
        prepare.prepare(plan_of(tmp_path), folder)


def test_an_unpicklable_learner_is_named(tmp_path: Path, folder: RunFolder) -> None:
    lock = threading.Lock()
    bad = adaptive.Learner1D(partial(f, offset=lock), bounds=(-1, 1))  # type: ignore[arg-type]
    plan = make_plan(local(), [line(), bad], [tmp_path / "a", tmp_path / "b"], Settings(goal=1))
    with pytest.raises(InputError, match=r"learners\[1\].*function\.keywords\['offset'\]"):
        prepare.prepare(plan, folder)
    assert not folder.database.exists()


def test_an_unpicklable_goal_is_named(tmp_path: Path, folder: RunFolder) -> None:
    lock = threading.Lock()
    with pytest.raises(InputError, match="goal cannot be pickled"):
        prepare.prepare(plan_of(tmp_path, goal=lambda _: bool(lock)), folder)


def test_the_folder_of_a_live_manager(tmp_path: Path, folder: RunFolder) -> None:
    prepare.prepare(plan_of(tmp_path), folder)
    lock = Lock(folder)
    lock.acquire()
    with pytest.raises(RunError, match=f"process {os.getpid()}"):
        prepare.prepare(plan_of(tmp_path), folder)
    learners, names = [line()], [tmp_path / "another"]
    other = RunManager(local(), learners, names, goal=1, folder=folder.home)
    with pytest.raises(RunError, match="belongs to another run"):
        other.start()
    same = plan_of(tmp_path)
    with pytest.raises(RunError, match="overwrite_db=True: a manager of the run"):
        RunManager(
            local(), same.learners, same.fnames, goal=1, folder=folder.home, overwrite_db=True
        ).start()
    lock.release()


def test_goal_none_is_for_learners_with_an_end() -> None:
    sequence = adaptive.SequenceLearner(f, [1.0, 2.0])
    learners = [
        sequence,
        adaptive.IntegratorLearner(f, (0, 1), 1e-3),
        adaptive.DataSaver(adaptive.SequenceLearner(f, [1.0]), arg_picker=lambda y: y),
        adaptive.BalancingLearner([sequence]),
    ]
    make_plan(local(), learners, list("abcd"), Settings())
    with pytest.raises(InputError, match=r"learners\[1\], a BalancingLearner"):
        make_plan(local(), [sequence, adaptive.BalancingLearner([line()])], list("ab"), Settings())


def test_no_run_yet(tmp_path: Path) -> None:
    run = RunManager(local(), [line()], [tmp_path / "a"], goal=1, folder=tmp_path / "run")
    assert run.status() == "not started"
    with pytest.raises(RunError, match="never started"):
        run.snapshot()
    with pytest.raises(RunError, match="holds no run"):
        RunManager.attach(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_default_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = run_folder(None, "../v 1.5/β")
    assert found.home.parent == tmp_path / "adaptive-scheduler-runs"
    assert found.database.name == "db.tinydb"


# ------------------------------------------------------------------ what is written


def rows_of(folder: RunFolder) -> list[Any]:
    return state.read_items(read_tables(folder), folder)


def set_phase(folder: RunFolder, **phases: Phase) -> None:
    store = Database(folder)
    for row in rows_of(folder):
        changed = phases.get(Path(str(row.fname)).stem)
        if changed is not None:
            store.put("_default", row.id, msgspec.structs.replace(row, phase=changed, token=7))
    store.close()


def names(tmp_path: Path, *stems: str) -> list[Path]:
    return [tmp_path / f"{stem}.pickle" for stem in stems]


def carry(tmp_path: Path, folder: RunFolder, *stems: str, **settings: Any) -> prepare.Prepared:
    learners = [line(ord(stem)) for stem in stems]
    settings = {"goal": 5, **settings}
    plan = make_plan(local(), learners, names(tmp_path, *stems), Settings(**settings))
    return prepare.prepare(plan, folder)


def test_a_run_is_carried_on(tmp_path: Path, folder: RunFolder) -> None:
    carry(tmp_path, folder, "a", "b", "c", "d")
    run = state.read_config(folder).run
    set_phase(folder, a=Phase.DONE, b=Phase.FAILED, c=Phase.CANCELLED)
    again = carry(tmp_path, folder, "e", "d", "c", "b", "a", dependencies={0: [4]}, goal=9)
    rows = rows_of(folder)
    assert [Path(row.fname).stem for row in rows] == list("abcde")
    assert [row.phase for row in rows] == ["done", "queued", "queued", "queued", "queued"]
    assert again.row_of == [4, 3, 2, 1, 0]
    assert rows[4].depends_on == (0,)  # its parent is done already
    assert "2 failed or cancelled learners are queued again." in again.remarks
    config = state.read_config(folder)
    assert (config.run, config.goal.value) == (run, 9)
    with LearnerFile(folder.learners) as learners:
        for row, stem in enumerate("abcde"):  # rows and learners stay together
            assert learners.read(row).function(0) == ord(stem)


def test_a_learner_that_is_gone(tmp_path: Path, folder: RunFolder) -> None:
    carry(tmp_path, folder, "a", "b")
    with pytest.raises(InputError, match=r"2 learners, of which 1 are missing.*overwrite_db=True"):
        carry(tmp_path, folder, "a", "c")
    assert len(rows_of(folder)) == 2


def test_resources_of_an_old_shape_keep_their_place(tmp_path: Path, folder: RunFolder) -> None:
    carry(tmp_path, folder, "a", "b")
    plan = make_plan(
        local(cores=(2, 1)), [line(), line()], names(tmp_path, "a", "b"), Settings(goal=1)
    )
    prepare.prepare(plan, folder)
    assert [shape.cores for shape in state.read_config(folder).shapes] == [1, 2]
    assert [row.shape for row in rows_of(folder)] == [1, 0]


def test_begun_anew_the_old_database_is_kept(tmp_path: Path, folder: RunFolder) -> None:
    carry(tmp_path, folder, "a", "b")
    set_phase(folder, a=Phase.DONE)
    store = Database(folder)
    store.put("jobs", "1", {"id": "1", "submit": 1})
    store.put("jobs", "2", {"id": "2", "submit": 1, "ended": "completed"})
    store.close()
    plan = make_plan(local(), [line()], names(tmp_path, "z"), Settings(goal=1))
    done = prepare.prepare(plan, folder, overwrite=True)
    (row,) = rows_of(folder)
    assert row.phase == "queued"
    assert row.token == 7  # the next right is higher than any that was given
    assert list(read_tables(folder)["jobs"]) == ["1"]  # a job that lives serves the new run
    kept = folder.database.with_name("db.tinydb.old")
    assert str(kept) in " ".join(done.remarks)
    assert '"done"' in kept.read_text()


def test_a_damaged_database_is_kept_aside(tmp_path: Path, folder: RunFolder) -> None:
    carry(tmp_path, folder, "a")
    folder.database.write_text("{broken")
    plan = make_plan(local(), [line()], names(tmp_path, "a"), Settings(goal=1))
    remarks = prepare.prepare(plan, folder, overwrite=True).remarks
    assert "damaged" in remarks[0]
    assert folder.database.with_name("db.tinydb.old").read_text() == "{broken"
    assert len(rows_of(folder)) == 1


def test_learners_that_meet_the_goal_are_done(tmp_path: Path, folder: RunFolder) -> None:
    for stem, n in (("a", 8), ("b", 3)):
        learner = line()
        for x in range(n):
            learner.tell(x / 10, x)
        learner.save(str(tmp_path / f"{stem}.pickle"))
    (tmp_path / "c.pickle").write_bytes(b"damaged")
    carry(tmp_path, folder, "a", "b", "c", "d")
    rows = rows_of(folder)
    assert [row.phase for row in rows] == ["done", "queued", "queued", "queued"]
    assert rows[0].npoints == 8
    with pytest.raises(UserCodeError, match="your goal raised ZeroDivisionError"):
        carry(tmp_path, folder, "a", "b", "c", "d", goal=lambda learner: learner.npoints / 0)


def test_time_goals_are_not_met_by_data(tmp_path: Path, folder: RunFolder) -> None:
    line().save(str(tmp_path / "a.pickle"))
    carry(tmp_path, folder, "a", goal=timedelta(seconds=1))
    assert rows_of(folder)[0].phase == "queued"


def test_resume_and_retry_without_a_manager(tmp_path: Path, folder: RunFolder) -> None:
    carry(tmp_path, folder, "a", "b", "c")
    set_phase(folder, a=Phase.DONE, b=Phase.FAILED, c=Phase.CANCELLED)
    store = Database(folder)
    store.put("run", "1", {"held": "why", "cancelled": True})
    store.close()
    assert "held: why" in snapshot_on_disk(folder).notes[0]
    assert offline.resume(folder) == 1
    assert [row.phase for row in rows_of(folder)] == ["done", "failed", "queued"]
    assert state.read_run(read_tables(folder)) == state.RunRow()
    assert offline.retry(folder, [0, 1]) == 2
    assert snapshot_on_disk(folder, "all").phases == {"queued": 3}


def test_environment_outside_of_the_environment() -> None:
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


# ------------------------------------------------------------------------ low level


def test_empty_database(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "running.tinydb")
    combos = [{"n": np.int64(k), "x": np.float64(0.5), "t": (1, 2)} for k in range(2)]
    empty.create(folder, [tmp_path / "a", [str(tmp_path / "b"), str(tmp_path / "c")]], combos)
    tables = read_tables(folder)
    assert tables["combos"]["1"] == {"combo": {"n": 1, "x": 0.5, "t": [1, 2]}}
    assert rows_of(folder)[1].fname == [str(tmp_path / "b"), str(tmp_path / "c")]
    empty.create(folder, ["a"], None)
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
def test_bad_databases(tmp_path: Path, given: Any, combos: Any, words: str) -> None:
    folder = RunFolder(tmp_path / "running.tinydb")
    with pytest.raises(InputError, match=words):
        empty.create(folder, given, combos)
    assert not folder.folder.exists()


def test_exports_come_behind_the_directives() -> None:
    text = "#!/bin/bash\n#SBATCH -n 4\n\n# mine\nmodule load x\npython y\n"
    assert user_script.with_exports(text, ["export A=1"]).splitlines() == [
        "#!/bin/bash", "#SBATCH -n 4", "", "# mine", "export A=1", "module load x", "python y",
    ]  # fmt: skip
    assert user_script.with_exports("echo", ["export A=1"]).splitlines() == [
        "#!/bin/bash -l", "export A=1", "echo",
    ]  # fmt: skip
