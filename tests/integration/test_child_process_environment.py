"""What is read of processes that have only just been started."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

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


def test_what_has_none_is_told_at_once() -> None:
    with subprocess.Popen(["sleep", "600"], env={}) as process:
        assert child_process.environment_of(process.pid) == [b""]
        process.kill()
    assert child_process.environment_of(process.pid) == [b""]
    assert child_process.variable_of(process.pid, "HOME") is None
