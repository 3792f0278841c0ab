"""Commands that look for runs where other users have theirs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import adaptive
import pytest
from click.testing import Result
from typer.testing import CliRunner

from adaptive_scheduler.cli import app
from adaptive_scheduler.core.options.run_options import RunOptions
from adaptive_scheduler.errors import RunError
from adaptive_scheduler.runs.run_manager import RunManager, run_folder
from adaptive_scheduler.runs.start.plan import make_plan
from adaptive_scheduler.runs.start.prepare import prepare
from adaptive_scheduler.schedulers.local import LocalScheduler

#: Any user that is not root; who runs the tests as a user can only hide folders from himself.
NOBODY = 65534
IS_ROOT = os.geteuid() == 0


def f(x: float) -> float:
    return x


def make_run(home: Path, user: int | None = None) -> None:
    """Make a run; as root, of some other user, whom everything of it then belongs to."""
    scheduler = LocalScheduler(cores=1, max_cores=1, executor_type="sequential")
    learners = [adaptive.Learner1D(f, (-1, 1))]
    plan = make_plan(scheduler, learners, [home / "data"], RunOptions(goal=5))
    prepare(plan, run_folder(home, "job"))
    for path in (home, *home.rglob("*")) if user is not None and IS_ROOT else ():
        os.chown(path, user, user)


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of a group, with a run of somebody else and a folder that is nobody's business."""
    folder = Path(tempfile.mkdtemp(prefix="as-shared-", dir="/tmp"))
    folder.chmod(0o777)
    monkeypatch.chdir(folder)
    make_run(folder / "theirs/run")
    (folder / "theirs/run").chmod(0o755)
    make_run(folder / "closed/run")
    (folder / "closed").chmod(0o700 if IS_ROOT else 0)
    if not IS_ROOT:
        (folder / "theirs/run/db.tinydb.run").chmod(0)
    yield folder
    (folder / "closed").chmod(0o700)
    (folder / "theirs/run/db.tinydb.run").chmod(0o700)
    shutil.rmtree(folder)


@pytest.fixture
def as_user() -> Iterator[Callable[[], None]]:
    """From its call on this process is an ordinary user's."""

    def become() -> None:
        if IS_ROOT:
            os.setresgid(NOBODY, NOBODY, 0)
            os.setresuid(NOBODY, NOBODY, 0)

    CliRunner().invoke(app, ["status", "/is/not/there"])  # what it imports may lie in root's home
    yield become
    if IS_ROOT:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)


def command(*words: str) -> Result:
    result = CliRunner().invoke(app, list(words))
    assert not isinstance(result.exception, Exception), result.exception
    return result


def test_runs_of_other_users_are_reported_as_skipped(
    shared: Path, as_user: Callable[[], None]
) -> None:
    as_user()
    for words in (["status"], ["status", "--json"], ["resume"], ["manager"]):
        told = command(*words)
        assert told.exit_code == 2
        assert "There is no run below" in told.output
        assert f"folders that cannot be read ({shared}/closed" in told.output.replace("first ", "")
        if IS_ROOT:
            assert f"1 runs of other users ({shared}/theirs/run/db.tinydb.run)" in told.output


def test_ones_own_run_is_found_among_those_of_others(
    shared: Path, as_user: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # xdist sets 80, where a path is shortened
    make_run(shared / "mine", NOBODY)
    make_run(shared / "two/first", NOBODY)
    make_run(shared / "two/second", NOBODY)
    (shared / "two").rename(shared / ".two")
    as_user()
    told = command("status", "--json")
    assert told.exit_code == 3  # no manager runs
    assert told.stdout.startswith("{")  # a program reads it
    assert "Passed over: " in told.stderr
    assert f"{shared}/mine" in command("status", str(shared)).output
    (shared / ".two").rename(shared / "two")
    told = command("status")
    assert "There are 3 runs below" in told.output
    assert "Passed over: " in told.output


def test_a_named_run_of_another_user_is_a_clear_error(
    shared: Path, as_user: Callable[[], None]
) -> None:
    as_user()
    for run in ("theirs/run", "closed/run", "theirs/run/db.tinydb", "closed"):
        for name in ("status", "logs", "cancel", "resume", "retry", "manager"):
            told = command(name, str(shared / run))
            assert told.exit_code == 2
            assert "cannot be read (Permission denied)" in told.output
            assert not IS_ROOT or "belongs to user root" in told.output or "closed" in run
    with pytest.raises(RunError, match="Permission denied"):
        RunManager.attach(shared / "theirs/run")


def test_two_users_have_runs_of_the_default_name_in_one_folder(
    shared: Path, as_user: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    home = shared / "adaptive-scheduler-runs"
    home.mkdir(mode=0o777)
    home.chmod(0o777)
    make_run(home / "adaptive-scheduler")
    as_user()
    scheduler: Any = LocalScheduler(cores=1, max_cores=1)
    mine = RunManager(scheduler, [adaptive.Learner1D(f, (-1, 1))], [shared / "data"], goal=5)
    expected = "adaptive-scheduler-2" if IS_ROOT else "adaptive-scheduler"
    assert mine.folder.home == home / ("adaptive-scheduler-2" if IS_ROOT else expected + "-2")
    assert mine.status() == "not started"


def test_a_missing_folder_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    told = command("status")
    assert told.exit_code == 2
    assert "The current folder cannot be used" in told.output
