"""Sweeps as their users run them: the command in a folder of its own, and a ledger of what began."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

PATIENCE = 180.0
PROGRAM = [sys.executable, "-m", "adaptive_scheduler.cli", "sweep"]
#: Writes a line when it begins and one when it ends: ``begin train 1``.
TRAIN = "echo begin train {x} >> ledger && sleep {s} && echo end train {x} >> ledger"
TEST = "echo begin test {x} >> ledger && echo end test {x} >> ledger"
#: 0 and 1 train; all others are held until there is a file ``go``, so that a sweep is not over before it is killed.
HELD_TRAIN = f"{TRAIN} && {{ test {{x}} -lt 2 || until test -e go; do sleep 0.05; done; }}"

#: Sweeps that run.
_begun: list[subprocess.Popen[bytes]] = []


class SweepWorld:
    """A folder in which sweeps are run.

    Parameters
    ----------
    home : Path
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.output = home / "output"

    def write(self, text: str) -> None:
        """Write ``params.yaml``."""
        (self.home / "params.yaml").write_text(text)

    def run(self, *args: str, code: int | None = 0) -> str:
        """Run a sweep to its end, and return what it printed."""
        done = subprocess.run(
            [*PROGRAM, *args], cwd=self.home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert code in (None, done.returncode), f"exit code {done.returncode}\n{done.stdout}"
        return done.stdout

    @contextmanager
    def begun(self, *args: str) -> Iterator[subprocess.Popen[bytes]]:
        """Begin a sweep; it is killed at the end of the block, if it is still there."""
        with (self.home / "printed").open("ab") as printed:
            process = subprocess.Popen(
                [*PROGRAM, *args], cwd=self.home, stdout=printed, stderr=printed,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        _begun.append(process)
        try:
            yield process
        finally:
            _begun.remove(process)
            if process.poll() is None:
                process.kill()
            process.wait()

    @property
    def printed(self) -> str:
        """What sweeps that were begun have printed."""
        return (self.home / "printed").read_text()

    @property
    def ledger(self) -> list[str]:
        """What has begun and ended."""
        path = self.home / "ledger"
        return path.read_text().splitlines() if path.exists() else []

    def stat(self, task: str) -> dict[str, Any]:
        """The codes of a task's commands."""
        found = json.loads((self.output / task / "stat.json").read_text())
        return {name: one["code"] for name, one in found.items()}

    def codes(self) -> list[int]:
        """The codes of all commands of all tasks."""
        return [
            code
            for path in self.output.glob("*/stat.json")
            for code in self.stat(path.parent.name).values()
        ]

    def log(self, task: str, command: str) -> str:
        """The last log of a command."""
        *_, last = sorted((self.output / task).glob(f"log.{command}.*"))
        return last.read_text()

    def processes(self, word: str) -> list[psutil.Process]:
        """Processes of this folder whose command line has a word."""
        found = []
        for one in psutil.process_iter():
            try:
                line = " ".join(one.cmdline())
                if word in line and (one.cwd() == str(self.home) or str(self.home) in line):
                    found.append(one)
            except psutil.Error:
                continue
        return [one for one in found if one.pid != os.getpid()]


def wait_until(condition: Callable[[], Any]) -> None:
    """Wait for a condition, for `PATIENCE` seconds at most."""
    end = time.monotonic() + PATIENCE
    while not condition():
        ended = [one for one in _begun if one.poll() not in (None, -signal.SIGKILL)]
        assert not ended, f"a sweep has ended with {ended[0].returncode}"
        assert time.monotonic() < end, "it has not come about"
        time.sleep(0.02)


def interrupt(process: subprocess.Popen[bytes]) -> int:
    """Type Ctrl-C; returns the exit status."""
    process.send_signal(signal.SIGINT)
    return process.wait(PATIENCE)
