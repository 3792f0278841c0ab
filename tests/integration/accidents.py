"""Runs on the LocalScheduler to which accidents happen, and their processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from adaptive_scheduler.scheduler import LocalScheduler
from adaptive_scheduler.server_support import RunManager

CLIENT = "-m adaptive_scheduler.client"
JOB_SCRIPT = "/bin/bash -l"


class Accidents:
    """A run in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run: RunManager

    def make(
        self, learners: list[Any], scheduler: dict[str, Any] | None = None, **more: Any
    ) -> RunManager:
        """Describe a run; data go to ``data/PLACE``."""
        options = {"cores": 2, "max_cores": 4, "executor_type": "process-pool", "kill_wait": 5,
                   "state": self.folder / "batch", **(scheduler or {})}  # fmt: skip
        names = [self.folder / "data" / str(place) for place in range(len(learners))]
        settings = {"goal": 20, "folder": self.folder / "run", "interval": 1,
                    "max_jobs": 2, **more}  # fmt: skip
        self.run = RunManager(LocalScheduler(**options), learners, names, **settings)
        return self.run

    def processes(self, text: str = "") -> list[psutil.Process]:
        """Processes of this run whose command line holds a text."""
        found = []
        for process in psutil.process_iter():
            try:
                command = " ".join(process.cmdline())
                mine = str(self.folder) in command + process.environ().get(
                    "ADAPTIVE_SCHEDULER_RUN", ""
                )
            except psutil.Error:
                continue
            if mine and text in command and process.pid != os.getpid():
                found.append(process)
        return found

    def client(self) -> psutil.Process:
        """A process that talks with the manager: its workers have another command line."""
        return until(lambda: self.processes(CLIENT))[0]


def until(condition: Callable[[], Any], timeout: float = 120.0) -> Any:
    """Wait for something to be true; returns it."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)
    return found
