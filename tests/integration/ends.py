"""Runs that end in every way, and what is left of them."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.io.disk.lock import holder, is_alive
from adaptive_scheduler.runs.manager_client import ManagerClient
from tests.integration import ends_driver
from tests.integration.accidents import until

#: Within so many seconds nothing is to be left; a machine on which other tests run, too, gets
#: four times as many.
SOON, LATEST = 10.0, 40.0
#: A client notices at its next heartbeat (5 s, a fifth more by jitter) that nobody answers (1 s).
NOTICED = 7.0
LEARNERS = 4
MANAGER = "-m adaptive_scheduler.manager"
ENDLESS, SHORT = 2000, 12


@dataclass
class End:
    """One run and its end.

    Attributes
    ----------
    kind : str
        How it ends; a method of this class.
    folder : Path
    env : mapping
        In which its commands run.
    options : dict
        Of `ends_driver`.
    queue : callable
        Gives the rows of the batch system that are of this run.
    """

    kind: str
    folder: Path
    env: Mapping[str, str]
    options: dict[str, Any]
    queue: Callable[[], list[str]]
    rng: random.Random
    gone_after: float = 0.0
    said: str = ""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def play(self) -> None:
        """Start the run, end it, and wait until nothing is left of it."""
        goes_on = self.kind in ("natural", "interrupted", "watch", "notebook")
        ends_driver.write(self.folder, LEARNERS, SHORT if goes_on else ENDLESS, 0.2)
        low_level = self.kind == "low_level"
        self.run = RunFolder(self.folder / ("running.tinydb" if low_level else "run"))
        try:
            self._start()
            until(self._manager, 60)
            moment = self.rng.uniform(0.0, 8.0)
            time.sleep(moment)
            self.said = f"{moment:.1f} s after its start"
            began = getattr(self, self.kind)()
            while left := self.left():
                assert time.monotonic() - began < LATEST, f"{self.kind}, {self.said}: left: {left}"
                time.sleep(0.1)
            self.gone_after = time.monotonic() - began
        finally:
            for process in self.processes:
                process.kill()
                process.wait()

    # ------------------------------------------------------------------- the ends

    def cancel(self) -> float:
        """A person ends it from another process."""
        self._command("cancel", str(self.folder / "run"))
        until(lambda: self._snapshot().phases == {"cancelled": LEARNERS}, 60)
        return time.monotonic()

    def ctrl_c(self) -> float:
        """Ctrl-C to `adaptive-scheduler run`, which stays and shows the progress: a cancel."""
        os.killpg(self.processes[0].pid, signal.SIGINT)
        return time.monotonic()

    def interrupted(self) -> float:
        """Ctrl-C to a script that waits: the run goes on."""
        os.killpg(self.processes[0].pid, signal.SIGINT)
        self.processes[0].wait(60)
        return self._go_on()

    def watch(self) -> float:
        """Ctrl-C to `status --watch`: the watching ends."""
        watching = self._command("status", "--watch", str(self.folder / "run"))
        time.sleep(2.0)
        os.killpg(watching.pid, signal.SIGINT)
        watching.wait(60)
        return self._go_on()

    def notebook(self) -> float:
        """The notebook's kernel is killed: its manager is a process of its own."""
        self.processes[0].kill()
        self.processes[0].wait()
        return self._go_on()

    def natural(self) -> float:
        """All is done."""
        return self._go_on()

    def manager(self) -> float:
        """The manager is killed, and nobody starts another."""
        found = self._manager()
        assert found is not None
        os.kill(found, signal.SIGKILL)
        return self._until_patience_is_over()

    def low_level(self) -> float:
        """The notebook is killed, and the manager was a thread of it."""
        self.processes[0].kill()
        self.processes[0].wait()
        return self._until_patience_is_over()

    def _go_on(self) -> float:
        until(lambda: self._snapshot().over, 120)
        assert self._snapshot().phases == {"done": LEARNERS}, self.kind
        return time.monotonic()

    def _until_patience_is_over(self) -> float:
        """A wave of jobs starts when the first have left: it waits, too, but briefly."""
        until(lambda: self._manager() is None, 60)
        return time.monotonic() + self.options["patience"] + NOTICED

    # ------------------------------------------------------------------- inside

    def _start(self) -> None:
        if self.kind == "ctrl_c":
            given = [f"--{key}={value}" for key, value in self.options["command"].items()]
            self._command("run", "learners_file.py", "--folder=run", *given)
            return
        kind = "low-level" if self.kind == "low_level" else "notebook"
        argv = [ends_driver.__file__, str(self.folder), kind, json.dumps(self.options)]
        self._popen([sys.executable, *argv])

    def _command(self, *argv: str) -> subprocess.Popen[bytes]:
        return self._popen([sys.executable, "-m", "adaptive_scheduler.cli", *argv])

    def _popen(self, argv: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "output").open("ab") as output:
            process = subprocess.Popen(
                argv, env=self.env, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, start_new_session=True,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def _manager(self) -> int | None:
        """Its process, if one lives and listens."""
        found = holder(self.run.lock)
        alive = found is not None and is_alive(self.run.lock, found) and self.run.manager.exists()
        return found.pid if found is not None and alive else None

    def _snapshot(self) -> Snapshot:
        with ManagerClient(self.run) as viewer:
            return viewer.snapshot("none")

    def left(self) -> list[str]:
        """Processes of this run, and its rows of the queue.

        Slurm may keep a job that has ended as COMPLETING, for minutes if its node was slow to
        say so; the manager waits for that.
        """
        rows = self.queue()
        ended = [row for row in rows if "COMPLETING" in row]
        found = [one for one in self._processes() if not (ended and MANAGER in one)]
        return [*found, *(row for row in rows if row not in ended)]

    def _processes(self) -> list[str]:
        """Ranks outlive their job where nothing but the process tree tells whose they are."""
        run, ours = os.fspath(self.run), {process.pid for process in self.processes}
        found = []
        for process in psutil.process_iter():
            try:
                command = " ".join(process.cmdline())
                environ = process.environ()
            except psutil.Error:
                continue
            mine = environ.get("ADAPTIVE_SCHEDULER_RUN") == run or run in command
            if mine and process.pid not in ours and "localbatch" not in command:
                found.append(command[:120])
        return found
