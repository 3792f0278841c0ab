"""A run whose manager is killed again and again, and what its clients noticed of it."""

from __future__ import annotations

import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import msgspec
import psutil

from adaptive_scheduler.errors import ManagerUnreachableError
from adaptive_scheduler.io.disk.lock import holder
from adaptive_scheduler.io.storage.run_config import read_config, write_config
from adaptive_scheduler.io.transport.addresses import read_address
from adaptive_scheduler.server_support import RunManager
from tests.integration import checkpointing_manager
from tests.integration.accidents import until
from tests.integration.ownership import events

#: When a manager is killed: while it serves, while it starts, during a checkpoint.
KINDS = {"serving": 6, "starting": 2, "checkpoint": 2}
#: One absence of so many is longer than a lease.
LONG_EVERY, LONG = 25, 35.0
#: Seconds that a manager must have been there for its clients to be judged.
JUDGED = 5.0


@dataclass
class Life:
    """One manager that published where it listens.

    Attributes
    ----------
    instance : str
    port : str
    published : float
        Seconds since 1970.
    ended : float
        The same.
    """

    instance: str
    port: str
    published: float
    ended: float = float("inf")


class Deaths:
    """Kills the manager of a run, and starts another.

    Parameters
    ----------
    run : RunManager
        Started.
    seed : int
    """

    def __init__(self, run: RunManager, seed: int) -> None:
        self.run = run
        self.rng = random.Random(seed)
        self.kills: Counter[str] = Counter()
        self.away: list[tuple[float, float]] = []  # on the monotonic clock
        self.lives: list[Life] = [self._published()]
        self.resumed = 0

    def happen(self, n: int) -> None:
        """Let n managers die, each followed by another."""
        while (number := self.kills.total() + 1) <= n:
            kind = self.rng.choices([*KINDS], [*KINDS.values()])[0]
            self._wait_for_the_moment(kind)
            self._kill()
            began = time.monotonic()
            time.sleep(LONG if number % LONG_EVERY == 0 else self.rng.uniform(0.0, 3.0))
            if kind == "starting":
                self._start_and_kill()
            self._restart(by_resume=number % 10 == 0)
            self.away.append((began, time.monotonic()))
            self.kills[kind] += 1

    def _wait_for_the_moment(self, kind: str) -> None:
        time.sleep(self.rng.uniform(0.3, 4.5))
        if kind == "checkpoint":
            with suppress(AssertionError):  # no change, no checkpoint
                until(self._checkpoints, 4)

    def _checkpoints(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                command = process.cmdline()
                if (
                    "adaptive_scheduler.io.storage.checkpoint" in command
                    and str(self.run.folder.database) in command
                ):
                    found.append(process)
        return found

    def _kill(self) -> None:
        """Kill the manager, and sometimes the checkpoint process that outlives it."""
        found = holder(self.run.folder.lock)
        assert found is not None
        os.kill(found.pid, signal.SIGKILL)
        if self.rng.random() < 0.5:
            for process in self._checkpoints():
                with suppress(psutil.Error):
                    process.kill()
        self.lives[-1].ended = time.time()
        with suppress(ChildProcessError):
            os.waitpid(found.pid, 0)

    def _start_and_kill(self) -> None:
        """Kill one in its start: before the lock, while it opens the database, after its bind."""
        process = self._start()
        time.sleep(self.rng.uniform(0.0, 1.5))
        process.kill()
        process.wait()
        before = self.lives[-1].instance
        if read_address(self.run.folder).instance != before:  # it had come so far
            self.lives.append(self._published())
            self.lives[-1].ended = time.time()

    def _start(self) -> subprocess.Popen[bytes]:
        output = self.run.folder.manager_output.open("ab")
        with output:
            return subprocess.Popen(
                [sys.executable, "-P", checkpointing_manager.__file__, self.run.folder],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    def _restart(self, by_resume: bool) -> None:
        """The next manager, sometimes at the port of the last one."""
        url = None if self.rng.random() < 0.5 else self._last_url()
        config = msgspec.structs.replace(read_config(self.run.folder), url=url)
        write_config(self.run.folder, config)
        before = self.lives[-1].instance
        if by_resume:
            self.run.resume()
            self.resumed += 1
        else:
            self._start()
        until(lambda: self._instance() != before, 60)
        self.lives.append(self._published())

    def _last_url(self) -> str:
        return read_address(self.run.folder).urls[0]

    def _instance(self) -> str:
        try:
            return read_address(self.run.folder).instance
        except ManagerUnreachableError:
            return self.lives[-1].instance

    def _published(self) -> Life:
        address = read_address(self.run.folder)
        port = address.urls[0].rpartition(":")[2]
        return Life(address.instance, port, self.run.folder.manager.stat().st_mtime)

    # ------------------------------------------------------------------- afterwards

    @property
    def moves(self) -> int:
        """Managers at another port than the one before."""
        return sum(
            one.port != other.port for one, other in zip(self.lives, self.lives[1:], strict=False)
        )

    def evaluations_while_away(self, moments: Iterable[float]) -> int:
        """How many of some moments lie between a death and the next manager's return."""
        return sum(any(begin < at < end for begin, end in self.away) for at in moments)

    def readoptions(self) -> tuple[list[float], list[str]]:
        """Seconds from each manager's return to each client's first answer, and who got none."""
        met, present = self._what_clients_noted()
        delays, missing = [], []
        for life in self.lives[1:]:
            for job, (since, until_then) in present.items():
                first = met[job].get(life.instance)
                if since > life.published - 1.0:
                    continue  # it had not met any manager yet
                if first is not None:
                    delays.append(first - life.published)
                elif min(life.ended, until_then) - life.published > JUDGED:
                    missing.append(f"job {job}, manager {life.instance}")
        return delays, missing

    def _what_clients_noted(
        self,
    ) -> tuple[dict[str, dict[str, float]], dict[str, tuple[float, float]]]:
        """By job: when it first heard each manager; since when, and until when, it talked."""
        met: defaultdict[str, dict[str, float]] = defaultdict(dict)
        present: dict[str, tuple[float, float]] = {}
        for event in events(self.run.folder.logs):
            at, job = datetime.fromisoformat(event["timestamp"]).timestamp(), event["job"]
            if event["event"] == "manager_met":
                met[job].setdefault(event["instance"], at)
                present.setdefault(job, (at, float("inf")))
            elif event["event"] == "client_ended":
                present[job] = (present[job][0], at)
        return met, present


def summary(delays: list[float]) -> str:
    """Median and the greatest, for people."""
    return f"median {statistics.median(delays):.2f} s, max {max(delays):.2f} s, n {len(delays)}"
