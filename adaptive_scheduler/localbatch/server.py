"""The server: starts jobs, ends those that must end, records how each ended."""

from __future__ import annotations

import os
import select
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from adaptive_scheduler.localbatch import processes
from adaptive_scheduler.localbatch.folder import Folder
from adaptive_scheduler.localbatch.rules import (
    BatchJob,
    Step,
    ending,
    may_linger,
    next_event,
    next_step,
    startable,
)
from adaptive_scheduler.localbatch.store import Store

#: Seconds without a job until the server ends.
IDLE_SECONDS = 10.0

# Seconds between two steps, at most. Commands, and ends of its own children, wake the server.
_CALM = 1.0
_ADOPTED = 0.1  # children of an earlier server do not wake it
_SWEEP_FIRST, _SWEEP_LAST = 0.01, 0.25  # while killed processes end; doubled each time
_TROUBLE = 1.0  # after an error, such as a full disk or a locked database
_LAST_SWEEP = 10.0  # for processes to end whose folder is gone
_FORGET_EVERY = 600.0


class BatchServer:
    """Checks all jobs in each step; its state is in the database.

    Parameters
    ----------
    folder : Folder
        The state of the batch system.
    lock : int
        The descriptor that holds the server's lock.
    idle : float
        Seconds without a job until it ends.
    """

    def __init__(self, folder: Folder, lock: int, idle: float = IDLE_SECONDS) -> None:
        self.folder = folder
        self.store = Store(folder)
        self._lock = lock
        self._idle = idle
        self._children: dict[str, subprocess.Popen[bytes]] = {}  # by record
        self._stopped = False
        self._sweeps = 0
        self._worked = time.monotonic()
        self._forgot = float("-inf")
        self._wake_pipe = os.open(folder.wake_pipe, os.O_RDWR | os.O_NONBLOCK)

    def run(self) -> None:
        """Serve until no job was there for the idle time, or SIGTERM or SIGINT; jobs go on."""
        identity = _identity(self.folder)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only writes to the wake-up pipe
        signal.set_wakeup_fd(self._wake_pipe, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        log("serving", f"{self.store.slots} slots in {self.folder.path}")
        self._tidy()
        trouble = ""
        while not self._stopped:
            if _identity(self.folder) != identity:
                self._end_with_folder()
                return
            try:
                pause = self._step()
                if self._may_retire() and self._retire():
                    return
                trouble = ""
            except (OSError, sqlite3.OperationalError) as error:
                pause = _TROUBLE
                if str(error) != trouble:  # logged once
                    trouble = str(error)
                    log("trouble", trouble)
            self._wait(pause)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopped = True

    def _wait(self, seconds: float) -> None:
        if select.select([self._wake_pipe], [], [], seconds)[0]:
            os.read(self._wake_pipe, 65536)

    # --------------------------------------------------------------- one step

    def _step(self) -> float:
        """Do what is due now. Returns the seconds until the next step."""
        for record, child in list(self._children.items()):
            if child.poll() is not None:
                del self._children[record]
        jobs = self.store.running()
        alive = [job for job in jobs if processes.is_alive(self.folder, job)]
        left = self._signal(alive, [job for job in jobs if job not in alive])
        self._start_jobs()
        self._forget()
        if left:
            self._sweeps = min(self._sweeps + 1, 10)
            return min(_SWEEP_LAST, _SWEEP_FIRST * 2.0**self._sweeps)
        self._sweeps = 0
        now = time.monotonic()
        running = self.store.running()
        if running:
            self._worked = now
        else:
            return max(0.0, min(_CALM, self._worked + self._idle - now))
        own = all(self._record(job) in self._children for job in running)
        return min(_CALM if own else _ADOPTED, next_event(running, now))

    def _record(self, job: BatchJob) -> str:
        return self.folder.record(job.id, job.restart)

    def _signal(self, alive: list[BatchJob], gone: list[BatchJob]) -> bool:
        """End jobs that must end, record those that have ended. True if processes are still ending."""
        now = time.monotonic()
        steps = [(job, *next_step(job, now)) for job in alive]
        steps = [step for step in steps if step[1] is not Step.WAIT]
        if not steps and not gone:
            return False
        found = processes.find_processes(self.folder)
        for job, step, reason in steps:
            number = signal.SIGTERM if step is Step.TERMINATE else signal.SIGKILL
            processes.send(self._members(found, job, alive=True), number)
            if step is Step.TERMINATE:
                self._note_signal(job, reason, now)
        over, left = [], any(step[1] is Step.KILL for step in steps)
        for job in gone:
            rest = self._members(found, job, alive=False)
            if not may_linger(job, now):
                processes.send(rest, signal.SIGKILL)
            left = left or bool(rest)
            over += [] if rest else [job]
        self._finish(over)
        return left

    def _members(self, found: list[processes.Process], job: BatchJob, *, alive: bool) -> list[int]:
        # The pid of a dead watcher may have been reused since a reboot.
        trusted = alive or job.boot == self.store.boot
        session = processes.leader(self.folder, job) if trusted else None
        return processes.members(found, {job.id}, set() if session is None else {session})

    def _note_signal(self, job: BatchJob, reason: str | None, now: float) -> None:
        log("ending", f"{job.id}: {reason}")
        with self.store.transaction():
            fresh = self.store.get(job)
            # keep a cancel that came meanwhile
            self.store.change(job, wanted=fresh.wanted or reason, signalled=now)

    def _finish(self, jobs: list[BatchJob]) -> None:
        """Record how jobs ended whose processes are all gone; requeued ones wait again."""
        if not jobs:
            return
        with self.store.transaction():
            for job in map(self.store.get, jobs):
                record = processes.read_record(self.folder, job)
                cause, code, detail = ending(job, record, self.store.boot)
                log("ended", f"{job.id}: {cause or 'back to the queue'}, {detail}")
                if cause is None:
                    self.store.put_back(job, started=bool(record))
                else:
                    self.store.end(job, cause, code, detail)
        for job in jobs:
            Path(self._record(job)).unlink(missing_ok=True)

    def _tidy(self) -> None:
        """Delete records that a killed server left behind."""
        known = {self._record(job) for job in self.store.running()}
        for record in Path(self.folder.path, "running").iterdir():
            if str(record) not in known:
                record.unlink(missing_ok=True)

    def _start_jobs(self) -> None:
        slots = self.store.slots
        pending = self.store.pending(limit=slots)
        if not startable(pending, self.store.running(), slots):
            return
        with self.store.transaction():  # a cancel may have come meanwhile
            now = time.monotonic()
            chosen = startable(self.store.pending(limit=slots), self.store.running(), slots)
            for job in chosen:
                self.store.change(job, state="running", started=now, boot=self.store.boot)
        for job in chosen:
            self._start(job)

    def _start(self, job: BatchJob) -> None:
        spec, script = self.store.spec(job.submit), self.store.script(job.submit)
        try:
            child = processes.start(self.folder, job, spec, script)
        except OSError as error:
            detail = f"could not be started: {error}"
            log("ended", f"{job.id}: {detail}")
            with self.store.transaction():
                self.store.end(job, "failed", None, detail)
            Path(self._record(job)).unlink(missing_ok=True)
            return
        log("started", f"{job.id} (restart {job.restart}): pid {child.pid}")
        self._children[self._record(job)] = child

    # ------------------------------------------------------------------ end

    def _forget(self) -> None:
        now = time.monotonic()
        if now - self._forgot < _FORGET_EVERY:
            return
        self._forgot = now
        for submit in self.store.forget_old(time.time()):
            Path(self.folder.script(submit)).unlink(missing_ok=True)

    def _may_retire(self) -> bool:
        return time.monotonic() - self._worked >= self._idle

    def _retire(self) -> bool:
        """Return whether the server ends: only if there is no job at all.

        The lock is released within the transaction: a submit before it is seen here, and one after
        it finds the lock free.
        """
        with self.store.transaction():
            if self.store.count_active():
                return False
            log("idle", "ending")
            os.close(self._lock)
        return True

    def _end_with_folder(self) -> None:
        """End all jobs: without the folder nothing could find or end them later."""
        log("gone", f"{self.folder.path} was removed; ending its jobs")
        deadline = time.monotonic() + _LAST_SWEEP
        while ours := [
            p.pid for p in processes.find_processes(self.folder) if p.job_id is not None
        ]:
            processes.send(ours, signal.SIGKILL)
            # looked at last: this process itself may stand still for long
            if time.monotonic() > deadline:
                return
            time.sleep(_SWEEP_FIRST)


def _identity(folder: Folder) -> tuple[int, int] | None:
    try:
        found = Path(folder.database).stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def log(event: str, text: str) -> None:
    """Write one line to the server's log."""
    print(time.strftime("%Y-%m-%dT%H:%M:%S"), event, text, file=sys.stderr, flush=True)
