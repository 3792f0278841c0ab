"""A process that writes every kind of file, and reports what is done, until it is killed."""

from __future__ import annotations

import os
import random
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import adaptive
import psutil

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.batch_jobs import JobRequest
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.evaluation.learners.store import LearnerStore
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.storage import database
from adaptive_scheduler.io.storage.database import Database
from adaptive_scheduler.io.transport.addresses import Address, read_address, write_address
from adaptive_scheduler.manager.batch_worker import BatchWorker
from adaptive_scheduler.schedulers.local import LocalScheduler

ROWS = 3


def value(x: float) -> float:
    return 2 * x


class Files:
    """One of each kind, in one folder; each life of the process goes on with what it finds."""

    def __init__(self, home: Path) -> None:
        self.run = RunFolder(home / "x.tinydb")
        self.fname = str(home / "data" / "learner.pickle")
        self.logs = str(home / "logs")

    def create(self) -> None:
        for folder in (self.run.folder, self.run.scripts):
            files.private_folder(folder)
        database.create(
            self.run.database, {database.ITEMS: {str(n): {"id": n, "n": 0} for n in range(ROWS)}}
        )

    def load(self, token: int) -> LearnerStore:
        data = LearnerStore(adaptive.AverageLearner(value, atol=1e-9), self.fname, token)
        report = data.load()
        assert not report.kept_aside
        assert not [note for note in report.notes if "damaged" in note]
        return data

    def script(self, n: int) -> tuple[BatchWorker, JobRequest]:
        shape = Resources()
        config = RunConfig("run", [shape], ["job"], self.logs)
        request = JobRequest("job", f"as:run:{n}", shape, self.logs)
        return BatchWorker(LocalScheduler(1), config, self.run, lambda _: None), request


class Life(Files):
    """From the opening of the files to the SIGKILL."""

    def __init__(self, home: Path, token: int, begin: int, mouth: int) -> None:
        super().__init__(home)
        self._mouth = mouth
        self._store = Database(self.run)
        self._data = self.load(token)
        self._begin = begin

    def say(self, what: str, n: int) -> None:
        os.write(self._mouth, f"{what} {n}\n".encode())

    def live(self) -> None:
        n = self._begin
        while True:
            n += 1
            for row in range(ROWS):
                self._store.put(database.ITEMS, row, {"id": row, "n": n})
            self._store.commit()
            self.say("row", n)
            self._tell(n)
            write_address(self.run, Address(["tcp://host:1"], "k" * 40, "host", n, "i"))
            self.say("address", n)
            batch, request = self.script(n)
            batch._write(request, n % 5)
            self.say("script", n)
            if n % 10 == 0:
                self._store.begin_checkpoint()

    def _tell(self, n: int) -> None:
        self._data.learner.tell(n, value(n))
        self._data.record(n, value(n))
        self._data.flush(sync=n % 9 == 0)
        self.say("point", n)
        if n % 4 == 0:
            self._data.save()
            self._data.delete_former_journals()


class Killings(Files):
    """Life after life, each ended by SIGKILL at a random instant.

    Attributes
    ----------
    points : set of int
        All that was ever reported as written.
    last : dict
        The newest of each kind that was reported.
    checkpoints : int
        Kills in which a checkpoint was being written; each second one was killed too.
    """

    def __init__(self, home: Path, seed: int) -> None:
        super().__init__(home)
        self._home = home
        self._rng = random.Random(seed)
        self.lives = self.checkpoints = self.said = 0
        self.points: set[int] = set()
        self.last = dict.fromkeys(("row", "point", "address", "script"), 0)
        self.create()

    def kill_one(self) -> None:
        """Start a process, kill it, and check its files."""
        self.lives += 1
        self._listen(*self._start())
        self._check()

    def _start(self) -> tuple[int, int]:
        ear, mouth = os.pipe()
        begin = max(self.last.values()) + 1
        pid = os.fork()
        if pid == 0:
            try:
                os.close(ear)
                Life(self._home, self.lives, begin, mouth).live()
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        os.close(mouth)
        return pid, ear

    def _listen(self, pid: int, ear: int) -> None:
        with os.fdopen(ear) as lines:
            first = lines.readline()
            time.sleep(self._rng.uniform(0, 0.15))
            processes = psutil.Process(pid).children() if first else []
            os.kill(pid, 9)
            if processes:
                self.checkpoints += 1
                if self.checkpoints % 2 == 0:
                    for process in processes:
                        with suppress(psutil.NoSuchProcess):  # it had just come to its end
                            process.kill()
            told = [first, *lines]
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status == -9, "it died by itself; its traceback is on standard error"
        for line in told:
            what, n = line.split()
            self.said += 1
            self.last[what] = int(n)
            if what == "point":
                self.points.add(int(n))

    def _check(self) -> None:
        newest = max(self.last.values()) + 1
        store = Database(self.run)
        rows: list[int] = [row["n"] for row in store.tables[database.ITEMS].values()]
        store.close()
        assert len(rows) == ROWS
        assert self.last["row"] <= min(rows) <= max(rows) <= newest, (rows, self.last)
        found = {int(x): y for x, y in self._data_found().items()}
        assert self.points <= found.keys(), self.points - found.keys()
        assert all(y == value(x) for x, y in found.items())
        assert self.last["address"] <= read_address(self.run).pid <= newest
        scripts = list(self.run.scripts.glob("*.sh"))
        assert all(path.read_text().endswith('exit "$status"\n') for path in scripts)
        assert scripts or not self.last["script"]  # killed before the first one

    def _data_found(self) -> dict[Any, Any]:
        return dict(self.load(self.lives).learner.data)

    def report(self) -> str:
        """Figures for people."""
        return (
            f"{self.lives} kills -9, {self.checkpoints} of them during a checkpoint ({self.checkpoints // 2} "
            f"with it), {self.said} writes reported, {len(self.points)} points: 0 lost"
        )
