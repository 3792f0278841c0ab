"""Jobs whose login profile ends or replaces the shell, before the script's first line."""

from __future__ import annotations

from pathlib import Path

import adaptive
import pytest

import adaptive_scheduler
from adaptive_scheduler.errors import RunError
from adaptive_scheduler.runs import check


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of our own, whose profile the jobs' login shells read."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_LOCALBATCH", str(tmp_path / "batch"))
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_LOCALBATCH_IDLE", "2")
    return home


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        (
            "exec sh",
            "its output file is empty, and it ended with 0: look at the login profile",
        ),
        (
            "exit 0",
            "its output file is empty, and it ended with 0: look at the login profile",
        ),
        ("exit 3", "its output file is empty: look at the login profile"),
        ("echo Welcome; exit 0", "Welcome. It ended with 0, before its client began: look at the"),
    ],
)
def test_jobs_that_a_login_profile_ends_say_so(
    home: Path, tmp_path: Path, profile: str, words: str
) -> None:
    (home / ".bash_profile").write_text(profile + "\n")
    run = adaptive_scheduler.server_support.RunManager(
        adaptive_scheduler.scheduler.LocalScheduler(cores=1, executor_type="sequential"),
        [adaptive.Learner1D(abs, bounds=(-1, 1)) for _ in range(2)],
        [str(tmp_path / f"data{n}") for n in range(2)],
        goal=3, folder=tmp_path / "run",
    )  # fmt: skip
    run.start()
    with pytest.raises(RunError) as held:
        run.wait(200)
    assert words in str(held.value)
    run.cancel()
    run.wait(80)


def test_check_names_the_login_profile(home: Path, tmp_path: Path) -> None:
    (home / ".bash_profile").write_text("exec sh\n")
    scheduler = adaptive_scheduler.scheduler.LocalScheduler(cores=1)
    (resources,), _ = scheduler.shapes(1)
    trial = check.ClusterCheck(
        scheduler, resources, tmp_path / "run", tmp_path / "data", timeout=200.0, visible=2.0
    )
    here, failed = [finding for finding in check.check(trial) if not finding.ok]
    assert (here.fault, failed.fault) == ("profile-ends", "profile-ends-job")
    told = f"{failed.what} {failed.found} {failed.remedy}"
    assert "its output file is empty, and it ended with 0: look at the login profile" in told
