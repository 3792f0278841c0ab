"""A lock that ends with its process."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from adaptive_scheduler.errors import RunError
from adaptive_scheduler.io.disk import process_lock
from adaptive_scheduler.io.disk.process_lock import holder, locked


def test_who_looks_at_a_lock_keeps_nobody_from_taking_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep that began while another program looked was refused: "runs already"."""
    path = tmp_path / "lock"
    with path.open("w") as looks:
        fcntl.flock(looks, fcntl.LOCK_SH)
        waits: list[float] = []

        def goes_away(seconds: float) -> None:
            waits.append(seconds)
            fcntl.flock(looks, fcntl.LOCK_UN)

        clock = SimpleNamespace(monotonic=time.monotonic, sleep=goes_away)
        monkeypatch.setattr(process_lock, "time", clock)
        with locked(path, "it runs", "Wait."):
            assert holder(path)
        assert len(waits) == 1
    assert not holder(path)


def test_a_lock_that_another_process_keeps_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_lock, "_LOOK", 0.1)
    with locked(tmp_path / "lock", "it runs", "Wait."):
        with (
            pytest.raises(RunError, match=r"it runs already \(process \d+ on .*\)\. Wait\."),
            locked(tmp_path / "lock", "it runs", "Wait."),
        ):
            pytest.fail("it has been taken twice")
        assert holder(tmp_path / "lock")
