"""How drivers end on bad days, and what they have started; `Here`, on which they run."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import InputError, RunError
from adaptive_scheduler.io.system import child_process
from adaptive_scheduler.runs.driver import closing, pools, start_run
from adaptive_scheduler.runs.driver.closing import Closing
from adaptive_scheduler.runs.sites.local import LocalSite
from adaptive_scheduler.schedulers.here import Here


def book(stopped: list[Any], fault: Exception | None = None) -> Any:
    keeper = SimpleNamespace(lives=lambda: True, stop_if_alone=stopped.append)
    return SimpleNamespace(
        keeper=keeper,
        fault=fault,
        has_work=False,
        wait=lambda: None,
        close=lambda **_: None,
        site=SimpleNamespace(close=lambda: None),
    )


def test_the_manager_ends_with_a_driver_whose_head_cannot_be_started() -> None:
    """It stayed for an hour, though nothing was left that could run a task."""
    stopped: list[Any] = []
    Closing(book(stopped, RunError("no head")), closes_run=True, waits=True, stops=True).finish()
    assert stopped == [set()]


def test_a_fork_of_a_driver_ends_nothing() -> None:
    """At its exit it waited for tasks for ever, as it has no threads, or ended the driver's head."""
    stopped: list[Any] = []
    one = Closing(book(stopped), closes_run=True, waits=False, stops=True)
    pid = os.fork()
    if not pid:
        one.begin()
        are_threads = any(thread.name == "executor's end" for thread in threading.enumerate())
        os._exit(bool(closing._open_ones or are_threads or stopped))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert one in closing._open_ones
    one.finish()


def test_a_head_that_cannot_be_started_again_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that watches it ended without a word, and its tasks waited for ever."""

    def start(*_: Any) -> Any:
        starts.append(1)
        if len(starts) > 1:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return SimpleNamespace(wait=lambda: 1)

    starts: list[int] = []
    told: list[Exception] = []
    monkeypatch.setattr(pools, "start_head", start)
    head = pools.LocalHead(RunFolder(tmp_path / "run"), Here(), lambda: True, told.append)
    head._thread.join(60)
    assert "cannot be started: [Errno 11]" in str(told[0])


def test_a_watch_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> bool:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(start_run, "WATCH", 0.01)
    told = threading.Event()
    keeper = start_run.ManagerKeeper(LocalSite(RunFolder(tmp_path / "run")), "name", fail)
    keeper.watch(lambda _: told.set())
    assert told.wait(60)


@pytest.mark.parametrize("gpus", ["0,1", -1, True, 1.5, [""], ["0,1"], [0, "0"], None])
def test_gpus_of_this_machine_that_make_no_sense_are_refused(gpus: Any) -> None:
    """'0,1' were three of them; one that was named twice had two tasks at a time."""
    with pytest.raises(InputError, match="gpus="):
        Here(gpus=gpus)


def test_gpus_of_this_machine() -> None:
    assert Here(gpus=2).gpus == Here(gpus=[0, 1]).gpus == Here(gpus=("0", " 1")).gpus == ("0", "1")
    assert Here().gpus == ()


def test_what_cannot_be_killed_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child of another user, as of ``sudo``, ended the agent, its supervisor and the head."""

    def refuse(_pid: int, _number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    monkeypatch.setattr(child_process, "children", lambda: {1})
    child_process.kill(1)
    child_process.end_all()
