"""A client whose disk is full, or whose folder is gone, goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from adaptive_scheduler.client.job_environment import JobEnvironment
from adaptive_scheduler.client.link import ManagerLink
from adaptive_scheduler.core.config import Timing
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.messages import Owner
from adaptive_scheduler.io.system.logs import open_log

OWNER = Owner("1", 0, 0, "u")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_log_on_a_full_disk_complains_once(capsys: pytest.CaptureFixture[str]) -> None:
    log = open_log(Path("/dev/full"))
    for _ in range(3):
        log.info("progress_made", points=list(range(5000)))
    assert capsys.readouterr().err.count("lines are missing") == 1


def test_a_mark_that_cannot_be_made_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ends").write_text("no folder")
    JobEnvironment(OWNER, end=tmp_path / "ends" / "1.0").mark_end()
    assert str(tmp_path / "ends" / "1.0") in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_link_whose_thread_died_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise OSError("too many open files")

    monkeypatch.setattr("adaptive_scheduler.client.link.Connection", dies)
    with ManagerLink(RunFolder(tmp_path / "db.tinydb"), OWNER, Timing()) as link:
        link._thread.join(60)
        assert link.is_broken
