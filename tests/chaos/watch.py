"""Watches the queue, the managers, the journals and shared memory while faults happen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.io.learner_data import adaptive_private, point_journal
from adaptive_scheduler.runs.views import status
from tests.chaos.world import MAX_JOBS, ChaosRun, World
from tests.clusters import remains
from tests.integration.ledger import written

#: A dead manager is found after up to so many seconds.
WATCHDOG = 4.0


@dataclass
class Seen:
    """What was seen while faults happened.

    Attributes
    ----------
    violations : list of str
        Texts of broken promises.
    most_jobs : dict
        Of each run, the most jobs at a time.
    journalled : dict
        For a run and the place of a learner, the arguments seen in any of its journals.
    alive : dict of int to float
        When each process of a client was last seen.
    """

    violations: list[str] = field(default_factory=list)
    most_jobs: dict[str, int] = field(default_factory=dict)
    samples: int = 0
    journalled: dict[tuple[str, int], set[str]] = field(default_factory=dict)
    segments: set[Path] = field(default_factory=set)
    alive: dict[int, float] = field(default_factory=dict)


class Watch:
    """Threads that look at intervals until they are stopped.

    Parameters
    ----------
    world : World
    dice : Random
        For how long a dead manager stays unnoticed.
    """

    def __init__(self, world: World, dice: Random) -> None:
        self.world = world
        self.seen = Seen()
        self.failure: BaseException | None = None
        self._dice = dice
        self._end = threading.Event()
        self._sizes: dict[Path, int] = {}
        looks: list[tuple[Callable[[], None], float]] = [
            (self._look_at_queue, 1.0), (self._look_at_disk, 0.5), (self._look_at_managers, 0.5),
        ]  # fmt: skip
        self._threads = [threading.Thread(target=self._repeat, args=look) for look in looks]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads; raises the error that ended one of them before."""
        self._end.set()
        for thread in self._threads:
            thread.join(60)
        if self.failure is not None:
            raise self.failure

    def _repeat(self, look: Callable[[], None], seconds: float) -> None:
        try:
            while not self._end.wait(seconds):
                look()
        except BaseException as error:  # told by `stop`
            self.failure = error

    # ------------------------------------------------------------------ looks

    def _look_at_queue(self) -> None:
        rows = self.world.queue()
        if rows is None:
            return
        self.seen.samples += 1
        for run in self.world.runs:
            mine = self.world.queue_of(run, rows)
            most = max(self.seen.most_jobs.get(run.name, 0), len(mine))
            self.seen.most_jobs[run.name] = most
            if len(mine) > MAX_JOBS:
                said = f"{run.name}: more than {MAX_JOBS} jobs: {mine}"
                if said not in self.seen.violations:
                    self.seen.violations.append(said)

    def _look_at_disk(self) -> None:
        for rank in self.world.ranks():
            self.seen.alive[rank.process.pid] = time.monotonic()
            self.seen.segments |= remains.shared_memory(rank.process)
        for run in self.world.runs:
            for path in (self.world.disk / run.name / "data").glob("*/.*.points"):
                self._read_journal(run, path)

    def _read_journal(self, run: ChaosRun, path: Path) -> None:
        """Note the points that are whole in a journal: from now on they must not be lost."""
        try:
            if path.stat().st_size == self._sizes.get(path):
                return
            content = path.read_bytes()
        except FileNotFoundError:  # its points were saved
            return
        self._sizes[path] = len(content)
        place = int(path.parent.name)
        learner = run.mix.learners[place]
        known = self.seen.journalled.setdefault((run.name, place), set())
        for short, _ in point_journal.decode(content)[0]:
            known.add(written(learner, adaptive_private.expand(learner, short)))

    def _look_at_managers(self) -> None:
        for run in self.world.runs:
            if run.manager() is None and not is_over(run, with_jobs=True):
                if self._end.wait(self._dice.uniform(0, WATCHDOG)):
                    return
                run.resume()
            elif word(run) == status.HELD:
                self.seen.violations.append(
                    f"{run.name} submits nothing any more: {run.attached.status().text}"
                )
                run.resume()


def is_over(run: ChaosRun, with_jobs: bool = False) -> bool:
    """Whether all its learners (and jobs) have ended, by the manager or the database."""
    try:
        picture = run.attached.snapshot("none")
    except AdaptiveSchedulerError:  # nobody can tell just now
        return False
    return picture.over and not (with_jobs and picture.jobs)


def word(run: ChaosRun) -> str:
    try:
        return status.word_of(run.attached.snapshot("none"))
    except AdaptiveSchedulerError:
        return ""


def wait_until(is_true: Callable[[], bool], seconds: float) -> bool:
    """Whether it has become true in time."""
    deadline = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True
