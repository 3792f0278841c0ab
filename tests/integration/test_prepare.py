"""A checked run is written into its folder, and can be carried on, also without a manager."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import adaptive
import msgspec
import pytest

from adaptive_scheduler.core.options.run_options import RunOptions
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import Phase
from adaptive_scheduler.errors import InputError, RunError, UserCodeError
from adaptive_scheduler.io.disk.lock import Lock
from adaptive_scheduler.io.pickling.learner_file import LearnerFile
from adaptive_scheduler.io.storage import row_codec
from adaptive_scheduler.io.storage.database import Database
from adaptive_scheduler.io.storage.read_only import read_tables
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.runs import offline, retry
from adaptive_scheduler.runs.manager_client import snapshot_on_disk
from adaptive_scheduler.runs.run_manager import RunManager, run_folder
from adaptive_scheduler.runs.start import prepare
from adaptive_scheduler.runs.start.plan import CheckedRun, make_plan
from adaptive_scheduler.schedulers.local import LocalScheduler


def f(x: float, offset: float = 0.0) -> float:
    return x + offset


def line(offset: float = 0.0) -> adaptive.Learner1D:
    return adaptive.Learner1D(partial(f, offset=offset), bounds=(-1, 1))


def local(**options: Any) -> LocalScheduler:
    return LocalScheduler(**{"cores": 1, "max_cores": 4, "executor_type": "sequential", **options})


def plan_of(tmp_path: Path, n: int = 3, **settings: Any) -> CheckedRun:
    settings = {"goal": 10, **settings}
    names = [tmp_path / f"data/{k}.pickle" for k in range(n)]
    return make_plan(local(), [line(k) for k in range(n)], names, RunOptions(**settings))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return run_folder(tmp_path / "run", "job")


def test_a_run_folder_below_a_file_is_refused(tmp_path: Path, folder: RunFolder) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file is not one"):
        prepare.prepare(plan_of(tmp_path / "file"), folder)
    with pytest.raises(InputError, match=r"folder: .* is not one"):
        prepare.prepare(plan_of(tmp_path), run_folder(tmp_path / "file/run", "job"))
    with pytest.raises(InputError, match="must be a folder for one run"):
        run_folder(tmp_path / "file", "job")


PAST = datetime(2020, 1, 1, tzinfo=UTC)


def test_a_moment_that_has_passed_starts_no_run(tmp_path: Path, folder: RunFolder) -> None:
    with pytest.raises(InputError, match=r"goal=2020-01-01 .* has passed: it is 20"):
        prepare.prepare(plan_of(tmp_path, goal=PAST), folder)
    assert not folder.database.exists()
    prepare.prepare(plan_of(tmp_path), folder)
    before = folder.database.read_bytes()
    with pytest.raises(InputError, match="has passed"):
        prepare.prepare(plan_of(tmp_path, goal=PAST), folder, overwrite=True)
    assert folder.database.read_bytes() == before
    with pytest.raises(InputError, match="has passed"):
        retry.rows_to_retry(folder, plan_of(tmp_path, goal=PAST), [0, 1, 2], None)


def test_a_run_carried_on_after_its_moment_says_that_it_has_passed(
    tmp_path: Path, folder: RunFolder
) -> None:
    prepare.prepare(plan_of(tmp_path, goal=datetime.now(UTC) + timedelta(seconds=3600)), folder)
    assert any(
        "has passed: learners that are not done" in remark
        for remark in prepare.prepare(plan_of(tmp_path, goal=PAST), folder).remarks
    )


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder(tmp_path: Path, folder: RunFolder) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    with pytest.raises(InputError, match="nothing can be written"):
        prepare.prepare(plan_of(tmp_path), folder)


def test_an_unpicklable_learner_is_named(tmp_path: Path, folder: RunFolder) -> None:
    lock = threading.Lock()
    bad = adaptive.Learner1D(partial(f, offset=lock), bounds=(-1, 1))  # type: ignore[arg-type]
    plan = make_plan(local(), [line(), bad], [tmp_path / "a", tmp_path / "b"], RunOptions(goal=1))
    with pytest.raises(InputError, match=r"learners\[1\].*function\.keywords\['offset'\]"):
        prepare.prepare(plan, folder)
    assert not folder.database.exists()


def test_an_unpicklable_goal_is_named(tmp_path: Path, folder: RunFolder) -> None:
    lock = threading.Lock()
    with pytest.raises(InputError, match="goal cannot be pickled"):
        prepare.prepare(plan_of(tmp_path, goal=lambda _: bool(lock)), folder)


def test_a_folder_with_a_living_manager_is_refused(tmp_path: Path, folder: RunFolder) -> None:
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
    with pytest.raises(RunError, match="overwrite=True: a manager of the run"):
        RunManager(
            local(), same.learners, same.fnames, goal=1, folder=folder.home, overwrite=True
        ).start()
    lock.release()


def rows_of(folder: RunFolder) -> list[Any]:
    return row_codec.read_items(read_tables(folder), folder)


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
    plan = make_plan(local(), learners, names(tmp_path, *stems), RunOptions(**settings))
    return prepare.prepare(plan, folder)


def test_fault_08_a_run_is_carried_on(tmp_path: Path, folder: RunFolder) -> None:
    carry(tmp_path, folder, "a", "b", "c", "d")
    run = read_config(folder).run
    set_phase(folder, a=Phase.DONE, b=Phase.FAILED, c=Phase.CANCELLED)
    again = carry(tmp_path, folder, "e", "d", "c", "b", "a", dependencies={0: [4]}, goal=9)
    rows = rows_of(folder)
    assert [Path(row.fname).stem for row in rows] == list("abcde")
    assert [row.phase for row in rows] == ["done", "queued", "queued", "queued", "queued"]
    assert again.row_of == [4, 3, 2, 1, 0]
    assert rows[4].depends_on == (0,)  # its parent is done already
    assert "2 failed or cancelled learners queued again." in again.remarks
    config = read_config(folder)
    assert (config.run, config.goal.value) == (run, 9)
    with LearnerFile(folder.learners) as learners:
        for row, stem in enumerate("abcde"):  # rows and learners stay together
            assert learners.read(row).function(0) == ord(stem)


def test_a_run_carried_on_without_one_of_its_learners_is_refused(
    tmp_path: Path, folder: RunFolder
) -> None:
    carry(tmp_path, folder, "a", "b")
    with pytest.raises(InputError, match=r"2 learners, of which 1 are missing.*overwrite=True"):
        carry(tmp_path, folder, "a", "c")
    assert len(rows_of(folder)) == 2


def test_resources_of_an_old_shape_keep_their_place(tmp_path: Path, folder: RunFolder) -> None:
    carry(tmp_path, folder, "a", "b")
    plan = make_plan(
        local(cores=(2, 1)), [line(), line()], names(tmp_path, "a", "b"), RunOptions(goal=1)
    )
    prepare.prepare(plan, folder)
    assert [shape.cores for shape in read_config(folder).shapes] == [1, 2]
    assert [row.shape for row in rows_of(folder)] == [1, 0]


def test_overwrite_keeps_the_old_database(tmp_path: Path, folder: RunFolder) -> None:
    carry(tmp_path, folder, "a", "b")
    set_phase(folder, a=Phase.DONE)
    store = Database(folder)
    store.put("jobs", "1", {"id": "1", "submit": 1})
    store.put("jobs", "2", {"id": "2", "submit": 1, "ended": "completed"})
    store.close()
    plan = make_plan(local(), [line()], names(tmp_path, "z"), RunOptions(goal=1))
    done = prepare.prepare(plan, folder, overwrite=True)
    (row,) = rows_of(folder)
    assert row.phase == "queued"
    assert row.token == 7  # the next right is higher than any that was given
    assert list(read_tables(folder)["jobs"]) == ["1"]  # a job that lives serves the new run
    kept = folder.database.with_name("db.tinydb.old")
    assert str(kept) in " ".join(done.remarks)
    assert '"done"' in kept.read_text()


def test_overwrite_keeps_a_damaged_database(tmp_path: Path, folder: RunFolder) -> None:
    carry(tmp_path, folder, "a")
    folder.database.write_text("{broken")
    plan = make_plan(local(), [line()], names(tmp_path, "a"), RunOptions(goal=1))
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
    assert row_codec.read_run(read_tables(folder)) == row_codec.RunRow()
    assert offline.retry(folder, [0, 1]) == 2
    assert snapshot_on_disk(folder, "all").phases == {"queued": 3}
