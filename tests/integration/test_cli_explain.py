"""`explain`, as a person types it: learners, tasks and jobs; a manager that is killed; names typed wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import adaptive
import pytest
from typer.testing import CliRunner

from adaptive_scheduler import Executor
from adaptive_scheduler.cli import app
from adaptive_scheduler.commandline.output.terminal import console
from adaptive_scheduler.io.disk.lock import holder
from adaptive_scheduler.runs.run_manager import run_folder
from adaptive_scheduler.scheduler import Here, LocalScheduler
from adaptive_scheduler.server_support import RunManager

PATIENCE = 120.0
NAME = "two $HOME `x` 'y'"


def explain(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["explain", *map(str, words)])
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


def until(is_so: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE
    while not (found := is_so()):
        assert time.monotonic() < end, f"not within {PATIENCE:g} s"
        time.sleep(0.1)
    return found


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "width", 1000)


def hang(x: float) -> float:
    time.sleep(1000)
    return x


@pytest.fixture
def live(tmp_path: Path) -> Iterator[RunManager]:
    """One job at a time for three learners that never end."""
    learners = [adaptive.Learner1D(hang, (-1, 1)) for _ in range(3)]
    names = [tmp_path / "data" / f"x={n}.pickle" for n in range(3)]
    scheduler = LocalScheduler(cores=1, state=tmp_path / "batch")  # its own: the first job is 1
    run = RunManager(scheduler, learners, names, folder=tmp_path / NAME, goal=9, max_jobs=1)
    run.start()
    try:
        yield run
    finally:
        run.cancel()
        until(lambda: not run.snapshot("none").alive)


def test_learners_and_jobs_with_a_manager_and_after_it_was_killed(
    live: RunManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    until(lambda: live[0].explain().cause in ("runs", "begins"))
    queued = live[2].explain()
    assert (queued.kind, queued.state, queued.cause) == ("learner", "queued", "max_jobs")
    assert "larger max_jobs" in queued.text
    home = live.folder.home
    typed = explain(home, "x=2.pickle")
    assert typed.startswith(f"Learner 2 ({live.fnames[2]}) is queued: this run has 1 job, and may")
    assert "--max-jobs" in typed, "advice in the words of who asks"
    assert "1 learner goes first" in typed
    monkeypatch.chdir(tmp_path)
    assert json.loads(explain("2", "--json")) == live[2].explain().to_dict()

    (job,) = live.snapshot("none").jobs
    assert "holds learner 0" in explain(home, job.id, "--job")
    assert "There is a job 1, too: give --job for that." in explain(home, 1)
    assert live.explain_job(job.id).cause == "job runs"

    for words, found in (
        ((home, "3"), "no learner '3' in this run. Give a number from 0 to 2"),
        ((home, "x=2.pickl"), "Did you mean x=2.pickle"),
        ((home, "--job", "17"), "no job 17 in"),
        ((home,), "is a run. Which of its learners, tasks or jobs?"),
        ((home, "1", "2"), "give one run, and one learner, task or job"),
    ):
        assert found in explain(*words, code=2)

    found = holder(live.folder.lock)
    assert found is not None
    os.kill(found.pid, signal.SIGKILL)
    until(lambda: not live._viewer.lives())
    dead = explain(home, "2")
    assert "this run has no manager, so nothing is begun" in dead
    assert f"`adaptive-scheduler resume '{tmp_path}/two $HOME" in dead
    assert live[0].explain().cause == "manager dead"
    told = explain(home, "--job", job.id)
    assert told.startswith(f"Job {job.id} is not known to have ended: this run has no manager")


def root(x: float) -> float:
    if x < 0:
        raise ValueError(f"{x} has no root")
    return float(x**0.5)


def test_tasks_that_are_over(tmp_path: Path) -> None:
    with Executor(Here(slots=1), folder=tmp_path / NAME) as executor:
        bad = executor.options(name="bad one").submit(root, -1)
        child = executor.options(after=[bad]).submit(root, 4)
        good = executor.submit(root, 4)
        assert good.result(PATIENCE) == 2.0
        with pytest.raises(Exception, match="root"):
            bad.result(PATIENCE)
        with pytest.raises(Exception, match="depends on"):
            child.result(PATIENCE)
    home = run_folder(tmp_path / NAME, "").home
    failed = explain(home, "bad one")
    assert failed.startswith(
        "Task 0 (bad one) has failed: it was given up after 1 failure: ValueError: -1"
    )
    assert f"`adaptive-scheduler retry '{tmp_path}" in failed
    assert failed.split("What to do: ")[1].rstrip(".`").endswith(" 0")
    assert "it depends on task 0, which failed: ValueError" in explain(home, "1")
    # less than a second, unless the machine stands still
    assert re.match(r"Task 2 is done: it took \d+(\.\d+)? s of work", explain(home, "2"))
    assert "its ids are 0 to 2" in explain(home, "3", code=2)
