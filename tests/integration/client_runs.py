"""A run folder with learners and a real manager that submits no jobs: tests start the clients."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from adaptive_scheduler.core.config import RunConfig, Timing
from adaptive_scheduler.core.goals import parse_goal
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.pickling.callables_file import write_callables
from adaptive_scheduler.io.pickling.learner_file import write_learners
from adaptive_scheduler.io.storage import database
from adaptive_scheduler.io.storage.row_codec import new_tables
from adaptive_scheduler.manager.engine import Engine


class ClientRun:
    """One run; ``manage`` runs its manager, ``client`` starts a client process."""

    def __init__(self, path: Path, goal: object, **settings: Any) -> None:
        self.path = path
        self.folder = RunFolder(path / "running.tinydb")
        files.private_folder(self.folder.folder)
        self.config = RunConfig(
            run="test",
            shapes=[Resources()],
            job_names=["test"],
            log_folder=str(path / "logs"),
            goal=parse_goal(goal),
            **{"timing": Timing(beat=0.3, lease=5.0, idle=2.0), **settings},
        )
        config = msgspec.json.encode(self.config)
        files.write_atomically(self.folder.config, config, mode=0o600)
        write_callables(self.folder.callables, {"goal": goal} if callable(goal) else {})

    def fill(
        self, learners: Sequence[Any], fnames: Sequence[Any], combos: Sequence[Any] | None = None
    ) -> None:
        write_learners(self.folder.learners, learners)
        rows = [Item(index, fname, phase=Phase.QUEUED) for index, fname in enumerate(fnames)]
        database.create(self.folder.database, new_tables(rows, combos))

    @contextmanager
    def manage(self) -> Iterator[Engine]:
        engine = Engine(self.folder, self.config)
        thread = threading.Thread(target=engine.run, daemon=True)
        thread.start()
        try:
            yield engine
        finally:
            engine.stop()
            thread.join(60)

    def environment(self, job: str, **more: str) -> dict[str, str]:
        return {
            **os.environ,
            "ADAPTIVE_SCHEDULER_RUN": str(self.folder.folder),
            "ADAPTIVE_SCHEDULER_JOB": job,
            "ADAPTIVE_SCHEDULER_CORES": "2",
            "ADAPTIVE_SCHEDULER_EXECUTOR": "process-pool",
            "ADAPTIVE_SCHEDULER_LOGS": self.config.log_folder,
            "ADAPTIVE_SCHEDULER_END": str(self.folder.ends / job),
            **more,
        }

    def client(self, job: str, command: Sequence[str] = (), **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            list(command) or [sys.executable, "-m", "adaptive_scheduler.client"],
            env=self.environment(job, **more),
            cwd=self.path,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def events(self, job: str) -> list[dict[str, Any]]:
        log = Path(self.config.log_folder) / f"{job}.log"
        return (
            [msgspec.json.decode(line) for line in log.read_bytes().splitlines()]
            if log.exists()
            else []
        )

    def has_ended(self, job: str) -> bool:
        return (self.folder.ends / job).exists()


def wait_for(condition: Callable[[], Any], timeout: float = 120.0) -> Any:
    end = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.02)
    return found


def finish(process: subprocess.Popen[str], timeout: float = 120.0) -> tuple[int, str]:
    """Exit code and output of a client; it is ended if it does not end by itself."""
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        raise AssertionError(f"the client did not end: {output}") from None
    return process.returncode, output
