"""Where examples/campaign runs: a batch system of its own, its driver, what can be killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from adaptive_scheduler.core.paths import RUN_VARIABLE, RunFolder
from adaptive_scheduler.io.disk.lock import holder, is_alive
from tests.clusters.slurm import PrivateSlurm

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "campaign"
#: Of each job, which has whole nodes.
NODES, CORES, GPUS = 2, 2, 1
#: Seconds in which a driver should have told something on a busy machine; until all is over.
START, PATIENCE = 30.0, 600.0
#: What a job says that ends with its walltime.
_WALLTIME = "its walltime ends"


class CampaignWorld:
    """A run of the example's driver.

    Parameters
    ----------
    folder : Path
    slurm : PrivateSlurm, optional
        None: the LocalScheduler.
    options : dict of str to object
        Of the driver, by name.
    """

    def __init__(self, folder: Path, slurm: PrivateSlurm | None, **options: Any) -> None:
        self.folder = folder
        self.run = RunFolder(folder / "campaign")
        self._options = options
        self._env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ADAPTIVE_SCHEDULER")},
            "XDG_STATE_HOME": str(folder / "state"), "ADAPTIVE_SCHEDULER_LOCALBATCH_IDLE": "2",
            **({} if slurm is None else slurm.env),
        }  # fmt: skip
        self.driver: subprocess.Popen[bytes] | None = None
        self.lives = 0

    def start_driver(self, tasks: int) -> None:
        """Run the driver, for the first time or again, until there are so many evaluations."""
        self.lives += 1
        options = {**self._options, "tasks": tasks, "folder": self.run.home}
        words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        with (self.folder / "driver.out").open("ab") as out:
            self.driver = subprocess.Popen(
                [sys.executable, EXAMPLE / "driver.py", *words], cwd=self.folder, env=self._env,
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip

    def kill_driver(self) -> None:
        """Kill it; AssertionError if it has ended by itself."""
        assert self.driver is not None
        assert self.driver.poll() is None, f"it has ended by itself: {self.output()}"
        self.driver.kill()
        self.driver.wait()

    def finish(self) -> None:
        """Wait until the driver has ended in good order."""
        assert self.driver is not None
        status = self.driver.wait(PATIENCE)
        assert status == 0, f"the driver ended with {status}: {self.output()}"

    def output(self) -> str:
        """The end of what the driver printed."""
        return (self.folder / "driver.out").read_text(errors="replace")[-3000:]

    def told(self) -> list[dict[str, Any]]:
        """What the optimiser was told, in all lives; a line that a kill has cut is left out."""
        path = self.run.home / "told.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        found = []
        for line in lines:
            with contextlib.suppress(json.JSONDecodeError):
                found.append(json.loads(line))
        return found

    def wait_until_driver_tells(self, seconds: float) -> None:
        """Wait until this life has told the optimiser something, or so long."""
        assert self.driver is not None
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.driver.poll() is None:
            if any(one["life"] == self.driver.pid for one in self.told()[-1:]):
                return
            time.sleep(0.05)

    def walltimes(self) -> int:
        """How many jobs have ended with their walltime."""
        logs = (self.run.home / "logs").glob("*.log")
        return sum(_WALLTIME in log.read_text(errors="replace") for log in logs)

    # ------------------------------------------------------------------- other victims

    def kill_head(self, dice: random.Random) -> bool:
        """Kill the head of a job; whether there is one."""
        heads = [one for one, words in self._processes() if _is_head(words)]
        return bool(heads) and _kill(dice.choice(heads))

    def kill_manager(self) -> bool:
        """Kill the manager; whether it lived."""
        one = holder(self.run.lock)
        if one is None or not is_alive(self.run.lock, one):
            return False
        with contextlib.suppress(psutil.Error):
            return _kill(psutil.Process(one.pid))
        return False

    def _processes(self) -> list[tuple[psutil.Process, str]]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                words = " ".join(process.cmdline())
                its = process.environ().get(RUN_VARIABLE, "")
                if str(self.folder) in words + its and process.status() != psutil.STATUS_ZOMBIE:
                    found.append((process, words))
        return found

    def end(self) -> None:
        """End all that is left."""
        if self.driver is not None:
            self.driver.kill()
            self.driver.wait()
        end = time.monotonic() + 60
        while (left := self._processes()) and time.monotonic() < end:
            for process, _ in left:
                _kill(process)
            time.sleep(0.1)
        assert not left, f"these do not end: {left}"


def _is_head(words: str) -> bool:
    return re.search(r"-m adaptive_scheduler\.client( |$)", words) is not None


def _kill(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        process.kill()
        return True
    return False
