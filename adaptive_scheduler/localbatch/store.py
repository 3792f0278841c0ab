"""The database of jobs: an SQLite file that several commands may change at once."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from adaptive_scheduler.errors import FileError
from adaptive_scheduler.localbatch.folder import FOLDER_VARIABLE, Folder
from adaptive_scheduler.localbatch.rules import BatchJob, Spec, parse_id

#: For how long, and for how many jobs, it is remembered how they ended.
HISTORY_SECONDS = 86400.0
HISTORY_JOBS = 10_000

#: Seconds to wait for another command that is writing.
BUSY_SECONDS = 30.0

_VERSION = 1
_SCHEMA = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE submits(id INTEGER PRIMARY KEY AUTOINCREMENT, spec TEXT NOT NULL, script BLOB NOT NULL);
CREATE TABLE jobs(
  submit INTEGER NOT NULL, task INTEGER NOT NULL, state TEXT NOT NULL, cores INTEGER NOT NULL,
  walltime REAL, kill_wait REAL NOT NULL, restart INTEGER NOT NULL DEFAULT 0, wanted TEXT,
  started REAL, signalled REAL, boot TEXT,
  cause TEXT, code INTEGER, detail TEXT, ended REAL,
  PRIMARY KEY(submit, task)) WITHOUT ROWID;
CREATE INDEX jobs_by_state ON jobs(state, submit, task);
"""
_JOB = ", ".join(BatchJob._fields)


class Ended(NamedTuple):
    """How a job ended."""

    id: str
    cause: str
    code: int | None
    detail: str


class Store:
    """All jobs of one folder. Every method is one transaction, or part of one."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self._db = sqlite3.connect(folder.database, timeout=BUSY_SECONDS, isolation_level=None)
        # No fsync at a commit: on a busy disk it would delay each start and end. After a power
        # failure the last commits may be missing, as a whole; no job has survived it anyway.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            version = self._create()
        if version != _VERSION:
            raise FileError(
                folder.database,
                f"was written by another version of adaptive_scheduler (format {version}, "
                f"this one reads {_VERSION}): name another folder by ${FOLDER_VARIABLE}.",
            )

    def _create(self) -> int:
        with self.transaction():
            if self._db.execute("PRAGMA user_version").fetchone()[0] == 0:
                for statement in _SCHEMA.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {_VERSION}")
        return _VERSION

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction: all changes or none, and no other process writes meanwhile."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    # --------------------------------------------------------------------- size

    def _meta(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def _set_meta(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    @property
    def slots(self) -> int:
        """Cores of the whole batch system: as the last submit set them, else all of the machine."""
        return int(self._meta("slots") or os.cpu_count() or 1)

    # ------------------------------------------------------------------ submits

    def add(self, spec: Spec, script: bytes, count: int, slots: int | None) -> list[str]:
        """Queue `count` jobs; `slots` None keeps the number of slots. Returns their ids."""
        with self.transaction():
            if slots is not None:
                self._set_meta("slots", str(slots))
            cursor = self._db.execute(
                "INSERT INTO submits(spec, script) VALUES (?, ?)",
                (json.dumps(spec._asdict()), script),
            )
            submit = int(cursor.lastrowid or 0)
            tasks = range(count) if count > 1 else [-1]
            self._db.executemany(
                "INSERT INTO jobs(submit, task, state, cores, walltime, kill_wait)"
                " VALUES (?, ?, 'pending', ?, ?, ?)",
                [(submit, task, spec.cores, spec.walltime, spec.kill_wait) for task in tasks],
            )
        return [str(submit)] if count == 1 else [f"{submit}_{task}" for task in tasks]

    def spec(self, submit: int) -> Spec:
        """The request of a submit."""
        row = self._db.execute("SELECT spec FROM submits WHERE id = ?", (submit,)).fetchone()
        return Spec(**json.loads(row[0]))

    def script(self, submit: int) -> bytes:
        """The text of a submit's script."""
        row = self._db.execute("SELECT script FROM submits WHERE id = ?", (submit,)).fetchone()
        return bytes(row[0])

    # --------------------------------------------------------------------- jobs

    def _jobs(self, where: str, values: Sequence[Any] = ()) -> list[BatchJob]:
        rows = self._db.execute(f"SELECT {_JOB} FROM jobs WHERE {where}", values)  # noqa: S608
        return [BatchJob(*row) for row in rows]

    def running(self) -> list[BatchJob]:
        """Jobs that have been started and have not ended."""
        return self._jobs("state = 'running'")

    def pending(self, limit: int = -1) -> list[BatchJob]:
        """Jobs that wait, in their order."""
        return self._jobs("state = 'pending' ORDER BY submit, task LIMIT ?", (limit,))

    def count_active(self) -> int:
        """Jobs that wait or run."""
        row = self._db.execute("SELECT count(*) FROM jobs WHERE state IN ('pending', 'running')")
        return int(row.fetchone()[0])

    def find(self, job_id: str) -> list[BatchJob]:
        """The job of this id, or all tasks of an array; empty if there is none."""
        parsed = parse_id(job_id)
        if parsed is None:
            return []
        submit, task = parsed
        if task is None:
            return self._jobs("submit = ?", (submit,))
        return self._jobs("submit = ? AND task = ?", (submit, task))

    def get(self, job: BatchJob) -> BatchJob:
        """The current row of a job."""
        return self._jobs("submit = ? AND task = ?", (job.submit, job.task))[0]

    def change(self, job: BatchJob, **values: object) -> None:
        """Change columns of one job, within a transaction of the caller."""
        columns = ", ".join(f"{column} = ?" for column in values)
        self._db.execute(
            f"UPDATE jobs SET {columns} WHERE submit = ? AND task = ?",  # noqa: S608
            (*values.values(), job.submit, job.task),
        )

    def cancel(self, ids: Iterable[str]) -> None:
        """Take waiting jobs out of the queue; mark running ones for the server to end."""

        def mark(job: BatchJob) -> None:
            if job.state == "pending":
                self.end(job, "cancelled", None, "cancelled while it waited")
            elif job.wanted in (None, "requeue"):
                self.change(job, wanted="cancel")

        self._each(ids, mark)

    def requeue(self, ids: Iterable[str]) -> None:
        """Mark running jobs to be ended and started again, with the next restart count."""

        def mark(job: BatchJob) -> None:
            if job.state == "running" and job.wanted is None:
                self.change(job, wanted="requeue")

        self._each(ids, mark)

    def _each(self, ids: Iterable[str], mark: Callable[[BatchJob], None]) -> None:
        with self.transaction():
            for job_id in ids:
                for job in self.find(job_id):
                    if job.state != "ended":
                        mark(job)

    def end(self, job: BatchJob, cause: str, code: int | None, detail: str) -> None:
        """Record how a job ended, within a transaction of the caller."""
        values = {"state": "ended", "cause": cause, "code": code, "detail": detail}
        self.change(job, **values, ended=time.time())

    def put_back(self, job: BatchJob, *, started: bool) -> None:
        """Queue a job again, at its old place, within a transaction of the caller."""
        restart = job.restart + started
        self.change(job, state="pending", restart=restart, wanted=None, started=None)
        self.change(job, signalled=None, boot=None)

    def endings(self, ids: Iterable[str]) -> list[Ended]:
        """How these jobs ended; without live ones and those that were deleted."""
        found = []
        for job_id in ids:
            for job in self.find(job_id):
                row = self._db.execute(
                    "SELECT cause, code, detail FROM jobs"
                    " WHERE submit = ? AND task = ? AND state = 'ended'",
                    (job.submit, job.task),
                ).fetchone()
                if row is not None:
                    found.append(Ended(job.id, *row))
        return found

    def forget_old(self, now: float) -> list[int]:
        """Delete ended jobs that are too old or too many; returns the submits without any job left."""
        with self.transaction():
            self._db.execute(
                "DELETE FROM jobs WHERE state = 'ended' AND (ended < ? OR ended <="
                " (SELECT ended FROM jobs WHERE state = 'ended'"
                "  ORDER BY ended DESC LIMIT 1 OFFSET ?))",
                (now - HISTORY_SECONDS, HISTORY_JOBS),
            )
            unused = "SELECT id FROM submits WHERE id NOT IN (SELECT submit FROM jobs)"
            gone = [int(row[0]) for row in self._db.execute(unused)]
            self._db.executemany("DELETE FROM submits WHERE id = ?", [(n,) for n in gone])
        return gone
