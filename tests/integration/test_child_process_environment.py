"""What is read of processes that have only just been started."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from adaptive_scheduler.io.system import child_process
from tests.effort import times

#: Starts of a program; of ten, about one is seen without its environment on an idle machine.
STARTS = times(short=400, full=10_000)


def test_a_program_that_is_being_executed_has_its_environment() -> None:
    """The kernel shows none for a moment: what is to be killed must not look like a stranger then."""
    n_empty = 0
    environment = {**os.environ, "MARK": "a b$"}
    for _ in range(STARTS):
        with subprocess.Popen(["sleep", "600"], env=environment) as process:
            n_empty += not Path(f"/proc/{process.pid}/environ").read_bytes()
            process.kill()
        with subprocess.Popen(["sleep", "600"], env=environment) as process:
            is_found = child_process.has_variables(process.pid, {"MARK": "a b$"})
            value = child_process.variable_of(process.pid, "MARK")
            process.kill()
        assert (is_found, value) == (True, "a b$")
    print(f"{STARTS} starts: {n_empty} without an environment at the first look")


def test_who_is_held_up_looks_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gave up by the clock, and not by what there was to see by then."""
    clock = [0.0]
    shown = iter([b"", b"", b"MARK=a"])

    def read(path: str) -> bytes:
        data = next(shown)
        clock[0] += 100.0  # here it is held up
        return data

    monkeypatch.setattr(child_process, "_read", read)
    monkeypatch.setattr(child_process, "_is_being_executed", lambda pid: True)
    held_up = SimpleNamespace(monotonic=lambda: clock[0], sleep=lambda seconds: None)
    monkeypatch.setattr(child_process, "time", held_up)
    assert child_process.environment_of(os.getpid()) == [b"MARK=a"]


def test_what_has_none_is_told_at_once() -> None:
    with subprocess.Popen(["sleep", "600"], env={}) as process:
        assert child_process.environment_of(process.pid) == [b""]
        process.kill()
    assert child_process.environment_of(process.pid) == [b""]
    assert child_process.variable_of(process.pid, "HOME") is None
