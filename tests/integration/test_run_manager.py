"""A RunManager on the LocalScheduler, with its real manager process and real clients."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import adaptive
import pytest

from adaptive_scheduler import OptimizerLearner, server_support
from adaptive_scheduler.errors import DataFileError, EnvironmentMismatchError, RunError
from adaptive_scheduler.io.disk.lock import holder
from adaptive_scheduler.io.storage.read_only import read_tables
from adaptive_scheduler.runs import load_data
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.runs.run_manager import RunManager
from adaptive_scheduler.schedulers.local import LocalScheduler

PATIENCE = 120.0


def f(x: float, offset: float = 0.0, seconds: float = 0.005) -> float:
    time.sleep(seconds)
    return x**2 + offset


def f_with_gate(x: float, home: Path, most: int) -> float:
    """As `f`; but when `most` points of all learners have begun, others wait for a file `go`."""
    (home / "points").mkdir(exist_ok=True)
    (home / "points" / f"{os.getpid()} {time.monotonic_ns()}").touch()
    while not (home / "go").exists() and len(list((home / "points").iterdir())) > most:
        time.sleep(0.02)
    return f(x)


def line_with_gate(home: Path, most: int) -> adaptive.Learner1D:
    """A learner that does not come to its end before the test has looked: see `f_with_gate`."""
    return adaptive.Learner1D(partial(f_with_gate, home=home, most=most), bounds=(-1, 1))


def line(offset: float = 0.0, seconds: float = 0.005) -> adaptive.Learner1D:
    return adaptive.Learner1D(partial(f, offset=offset, seconds=seconds), bounds=(-1, 1))


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., RunManager]]:
    """Make a run in this test's folder; at the end none is left."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    home = tmp_path / "a run"
    options: dict[str, Any] = {
        "cores": 2,
        "max_cores": 4,
        "executor_type": "process-pool",
        "kill_wait": 5,
        "state": tmp_path / "localbatch",
    }

    def run(
        learners: list[Any], scheduler: dict[str, Any] | None = None, **more: Any
    ) -> RunManager:
        names = [tmp_path / f"data/{n}.pickle" for n in range(len(learners))]
        settings = {"goal": 20, "folder": home, "interval": 1, **more}
        settings.setdefault("max_jobs", 2)
        return RunManager(
            LocalScheduler(**{**options, **(scheduler or {})}), learners, names, **settings
        )

    yield run
    if (home / "db.tinydb.run/run.json").exists():
        left = RunManager.attach(home)
        left.cancel()
        left.wait(PATIENCE)


def until(condition: Callable[[], Any], timeout: float = PATIENCE) -> Any:
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)
    return found


def kill_manager(run: RunManager) -> None:
    found = holder(run.folder.lock)
    assert found is not None
    os.kill(found.pid, signal.SIGKILL)
    until(lambda: not ManagerClient(run.folder).lives())


def queue(run: RunManager, tmp_path: Path) -> str:
    argv = [sys.executable, "-m", "adaptive_scheduler.localbatch", "queue"]
    argv.append(f"--state={tmp_path / 'localbatch'}")
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout


def test_learners_reach_their_goals(
    make: Callable[..., RunManager], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learners = [line(k) for k in range(4)]
    sequence = adaptive.SequenceLearner(partial(f, seconds=0.0), [float(k) for k in range(30)])
    run = make([*learners, sequence], dependencies={4: [0, 1]})
    run.start()
    assert run.status() in ("running", "finished")
    run.info()
    assert "/5 done" in capsys.readouterr().out
    end = run.wait(PATIENCE)
    assert end.phases == {"done": 5}
    assert run.status() == "finished"
    assert queue(run, tmp_path).strip() == '{"rows": 0}'
    assert not ManagerClient(run.folder).lives()
    assert not run.folder.manager.exists()
    assert all(learner.npoints >= 20 for learner in run.load_learners(progress=False))
    frame = run.to_dataframe()
    assert set(frame["learner"]) == set(range(5))
    assert frame[frame["learner"] == 3]["y"].min() >= 3
    found = RunManager.attach(run.folder.home)
    assert found.fnames == run.fnames
    assert [learner.npoints for learner in found.load_learners(progress=False)] == [
        learner.npoints for learner in run.learners
    ]
    events = server_support.parse_log_files(run.folder.logs)
    assert 1 <= len(set(events["job"])) <= end.submitted  # one that came late had nothing to do
    assert events["timestamp"].is_monotonic_increasing


def test_a_report_knows_what_ran_before_the_manager_was_killed(
    make: Callable[..., RunManager], tmp_path: Path
) -> None:
    run = make([line_with_gate(tmp_path, 40) for _ in range(4)], goal=15, max_jobs=1)
    run.start()
    until(lambda: run.snapshot("none").phases.get("done", 0) >= 1)
    kill_manager(run)  # it has not ended: the last learner waits
    (tmp_path / "go").touch()
    found = json.loads(run.report(tmp_path / "dead.json").read_text())
    assert found["run"]["state"] == "manager dead"
    assert found["use"]["computing"] > 0
    assert found["chart"]["lines"][0]["bars"]
    run.resume()
    run.wait(timeout=PATIENCE)
    until(lambda: not ManagerClient(run.folder).lives())
    found = json.loads(run.report(tmp_path / "over.json").read_text())
    assert found["is_complete"]
    assert found["run"]["phases"] == {"done": 4}
    ends = {one["how"]: one["tries"] for one in found["retries"]["by_end"]}
    assert ends["done"] == 4
    parts = [value for name, value in found["use"].items() if name != "held"]
    assert sum(parts) == pytest.approx(found["use"]["held"], abs=0.1)
    held = sum(
        line["cores"] * (line["ended"] - line["started"]) for line in found["chart"]["lines"]
    )
    assert held == pytest.approx(found["use"]["held"], abs=0.1)
    assert found["waits"]["jobs"] >= 1


def test_a_second_start_attaches_to_the_run(
    make: Callable[..., RunManager], tmp_path: Path
) -> None:
    slow = [line_with_gate(tmp_path, 40) for _ in range(3)]
    first = make(slow, goal=60)
    first.start()
    second = make(slow, goal=60)
    manager = second._viewer.snapshot().manager
    second.start()
    assert first.snapshot().manager == second.snapshot().manager == manager
    found = RunManager.attach(first.folder.home)
    until(lambda: found.snapshot("active").items)
    with pytest.raises(TimeoutError, match=r"not over after 0\.1 s"):
        found.wait(0.1)
    (tmp_path / "go").touch()
    assert asyncio.run(_awaited(found)).phases == {"done": 3}
    again = make(slow, goal=60)
    again.start()  # all is done: nothing to do
    assert again.wait(PATIENCE).submitted == first.snapshot().submitted


def square(x: float, kind: str) -> float:
    return x * x + (kind == "b")


def test_a_search_is_a_learner_like_any_other(
    make: Callable[..., RunManager], tmp_path: Path
) -> None:
    learners = [
        OptimizerLearner(square, {"x": (-1.0, 1.0), "kind": ["a", "b"]}, seed=n) for n in (1, 2)
    ]
    run = make(learners, goal=30)
    run.start()
    assert run.wait(PATIENCE)
    run.load_learners()
    assert [learner.npoints >= 30 for learner in learners] == [True, True]
    assert sorted(number for number, _ in learners[0].data)[:30] == list(range(30))
    assert learners[0].best[1] == min(learners[0].data.values()) < 0.5
    frame = run.to_dataframe()
    assert list(frame.columns)[:4] == ["number", "x", "kind", "y"]


async def _awaited(run: RunManager) -> Any:
    return await asyncio.wait_for(run, PATIENCE)


def test_fault_07_08_a_killed_manager_is_seen_and_resumed(
    make: Callable[..., RunManager], tmp_path: Path
) -> None:
    run = make([line_with_gate(tmp_path, 40) for _ in range(3)], goal=80)
    run.start()
    until(lambda: run.snapshot().phases.get("running") == 2)
    kill_manager(run)
    assert run.status() == "manager dead"
    assert run.snapshot("all").items[0].fname == run.fnames[0]
    with pytest.raises(RunError, match="manager dead"):
        run.wait(PATIENCE)
    run.resume()
    (tmp_path / "go").touch()
    end = run.wait(PATIENCE)
    assert end.phases == {"done": 3}
    assert len(list(run.folder.logs.glob("*.log"))) == 2, "a second job for one that ran on"
    assert all(learner.npoints < 200 for learner in run.load_learners(progress=False))


def see_the_data_of_now(run: RunManager) -> None:
    """Before the first save there are only the point journals, which stay their owners'."""
    found = RunManager.attach(run.folder.home)
    until(lambda: len(found.to_dataframe()) > 6)
    assert not list(Path(run.fnames[0]).parent.glob("*.pickle")), "it was to look before the save"
    n = sum(learner.npoints for learner in found.learners)
    journals = {path: path.stat() for path in Path(run.fnames[0]).parent.glob(".*.points")}
    assert len(run.to_dataframe()) >= n
    for path, before in journals.items():
        now = path.stat()
        assert (now.st_ino, now.st_mode) == (before.st_ino, before.st_mode)
        assert now.st_size >= before.st_size


def raises_at_first(x: float, marker: str) -> float:
    if not Path(marker).exists():
        raise ValueError(f"no file {marker}")
    time.sleep(0.01)
    return x


def test_one_learner_is_shown_cancelled_and_retried(
    make: Callable[..., RunManager], tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    bad = adaptive.Learner1D(partial(raises_at_first, marker=str(marker)), bounds=(-1, 1))
    run = make(
        [line(seconds=0.05), line(seconds=0.05), bad], {"cores": 1}, goal=100_000,
        max_fails=0, max_jobs=3,
    )  # fmt: skip
    run.start()
    assert len(run) == 3
    assert [one.place for one in run] == [0, 1, 2]
    until(lambda: run[2].status == "failed")
    assert "ValueError: no file" in run[2].traceback
    assert "ValueError" in run[2].status.text
    assert "item_claimed" in run["2.pickle"].logs()
    until(lambda: run[0].status == "running" and run[0].learner.npoints > 3)
    assert (run[0].cancel(), run[0].cancel()) == (1, 0)
    assert run[0].status == "cancelled"
    assert run[1].status in ("queued", "running")
    marker.touch()
    assert run[2].retry() == 1
    kill_manager(run)
    assert run[1].cancel() == 1, "without a manager, too"
    assert RunManager.attach(run.folder.home)[-2].status == "cancelled"
    assert run.cancel() == 1
    run.wait(PATIENCE)
    assert run.cancel() == 0, "nothing is left to cancel"
    assert run[:2][1].retry() == 1


def test_the_job_script_is_shown_before_it_is_submitted(make: Callable[..., RunManager]) -> None:
    run = make([line()], scheduler={"setup": "true a 'setup' line"})
    shown = run.job_script()
    assert not run.folder.folder.exists(), "nothing is written"
    run.start()
    run.wait(PATIENCE)
    (submitted,) = run.folder.scripts.iterdir()
    number = "export ADAPTIVE_SCHEDULER_SUBMIT="
    assert [line for line in submitted.read_text().splitlines() if not line.startswith(number)] == [
        line for line in shown.splitlines() if not line.startswith(number)
    ]
    assert RunManager.attach(run.folder.home).job_script() == shown


def test_changes_of_a_finished_run_report_that_nothing_changed(
    make: Callable[..., RunManager],
) -> None:
    run = make([line()])
    with pytest.raises(RunError, match="never started"):
        run.snapshot()
    assert "call start()" in run._repr_html_()
    run.start()
    end = run.wait(PATIENCE)
    assert repr(end).startswith("<finished: 1/1 done")
    assert len(repr(end)) < 300
    assert "<pre" in run._repr_html_()
    assert repr(run) == f"RunManager of 1 learner in {run.folder.home}"
    assert (run.cancel(), run.resume(), run.retry()) == (0, 0, 0)
    assert run.status() == "finished"


def test_a_cancelled_run_can_be_resumed(make: Callable[..., RunManager], tmp_path: Path) -> None:
    run = make([line_with_gate(tmp_path, 20) for _ in range(3)], goal=50)
    run.start()
    until(lambda: run.snapshot().phases.get("running"))
    see_the_data_of_now(run)
    run.cancel()
    (tmp_path / "go").touch()  # what is at the gate ends, and is not waited for until it is killed
    assert run.wait(PATIENCE).phases == {"cancelled": 3}
    assert run.status() == "cancelled"
    assert queue(run, tmp_path).strip() == '{"rows": 0}'
    run.cancel()  # nothing is left: no manager is started for it
    assert not ManagerClient(run.folder).lives()
    run.resume()
    assert run.wait(PATIENCE).phases == {"done": 3}


def broken(x: float) -> float:
    raise ValueError(f"no value at {x}")


def test_failed_learners_are_retried_with_a_new_function(make: Callable[..., RunManager]) -> None:
    learners = [line(), adaptive.Learner1D(broken, bounds=(-1, 1))]
    run = make(learners, max_fails=0)
    run.start()
    end = run.wait(PATIENCE)
    assert end.phases == {"done": 1, "failed": 1}
    assert run.status() == "failed"
    assert "ValueError at x=" in run.status().text
    assert "no value at" in end.items[0].traceback
    mended = make([line(), line(1.0)], goal=40)
    mended.retry()  # the failed one, and the done one that does not meet the wider goal
    assert mended.wait(PATIENCE).phases == {"done": 2}
    assert all(learner.npoints >= 40 for learner in mended.load_learners(progress=False))
    before = max(row["attempts"] for row in read_tables(run.folder)["_default"].values())
    mended.retry([0])
    assert mended.wait(PATIENCE).phases == {"done": 2}
    assert max(row["attempts"] for row in read_tables(run.folder)["_default"].values()) > before


def test_a_held_run_waits_for_resume(make: Callable[..., RunManager]) -> None:
    run = make([line()], scheduler={"extra_scheduler": ["--no-such-option"]})
    run.start()
    with pytest.raises(RunError, match="held: the batch system refuses these jobs"):
        run.wait(PATIENCE)
    assert run.status() == "held"
    kill_manager(run)
    mended = make([line()])
    mended.start()
    assert mended.wait(PATIENCE).phases == {"done": 1}


@pytest.mark.mpi
def test_learners_run_on_mpi(make: Callable[..., RunManager]) -> None:
    run = make([line(k) for k in range(3)], scheduler={"executor_type": "mpi4py", "cores": 3})
    run.start()
    assert run.wait(PATIENCE).phases == {"done": 3}
    assert run.load_learners(progress=False)[2].npoints >= 20


def test_a_manager_that_cannot_start_says_why(make: Callable[..., RunManager]) -> None:
    run = make([line()], url="tcp://192.0.2.1:5555")  # an address that nobody has, RFC 5737
    with pytest.raises(RunError, match=r"could not start .*cannot listen on tcp://192.0.2.1"):
        run.start()


def test_data_that_cannot_be_loaded_are_named(tmp_path: Path) -> None:
    good, damaged, cut = (line() for _ in range(3))
    good.tell(0.0, 1.0)
    names = [str(tmp_path / name) for name in ("good", "damaged", "cut")]
    good.save(names[0])
    Path(names[1]).write_bytes(b"no gzip")
    Path(names[2]).write_bytes(Path(names[0]).read_bytes()[:20])
    loaded = line()
    with pytest.raises(DataFileError, match=r"damaged.*1 more could not be loaded"):
        load_data.load_learners([loaded, damaged, cut], names, progress=False)
    assert loaded.npoints == 1
    assert load_data.load_learners([line(), line()], [names[0], "/not/there"]) == 1


def test_a_missing_pandas_is_an_error_that_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(EnvironmentMismatchError, match=r"pip install 'adaptive-scheduler\["):
        load_data.to_dataframe([], [])
