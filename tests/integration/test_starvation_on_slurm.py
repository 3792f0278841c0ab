"""A task of two whole nodes among a steady stream of small ones, on the private Slurm."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from adaptive_scheduler import Executor, TaskResources
from adaptive_scheduler.core.config import Timing
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.tasks.starvation import STARVE_AFTER
from adaptive_scheduler.io.transport.addresses import read_address
from adaptive_scheduler.runs.driver.future import TaskFuture
from adaptive_scheduler.runs.driver.start_run import has_manager, start_run
from adaptive_scheduler.runs.run_manager import run_folder
from adaptive_scheduler.scheduler import SLURM
from tests.clusters.slurm import PrivateSlurm
from tests.effort import FULL
from tests.integration import impatient_manager
from tests.task_campaign import work
from tests.task_campaign.bookings import intervals, read_ledger

#: Seconds; they stand for the minute of `STARVE_AFTER`.
STARVED = 8.0
NODES, CORES = 2, 4
#: Seconds of the small tasks; so many of them wait or run at any time.
SHORTEST, LONGEST = 0.5, 1.5
STREAM = 3 * NODES * CORES
#: Seconds that a machine of two cores, on which other tests run, may take to start a program on two
#: nodes, and to tell. (Behind a stream that nobody stops it would wait until `PATIENCE` is over.)
START = 10.0 if FULL else 40.0
#: Of the cores, meanwhile; those who replace small tasks may have to wait for a turn themselves.
BUSY = 0.8 if FULL else 0.5
PATIENCE = 90.0


@pytest.mark.slow
@pytest.mark.slurm
@pytest.mark.timeout(300)
def test_a_task_of_two_whole_nodes_begins_in_time_and_most_cores_are_used_meanwhile(
    slurm: PrivateSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert STARVED < STARVE_AFTER, "else nothing is made shorter"
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)
    ledger = str(tmp_path / "ledger")
    shape = SLURM(nodes=NODES, cores=NODES * CORES, walltime="10m")
    folder = run_folder(tmp_path / "run", "starved")
    with (
        managed(folder, shape),
        Executor(shape, tmp_path / "run", name="starved", idle=0.5, interval=1) as executor,
    ):
        stream = Stream(executor, ledger)
        stream.top_up()
        stream.wait_until(lambda: len(stream.done) >= 2 * NODES * CORES)
        wide = executor.options(resources=TaskResources(nodes=NODES, threads_per_rank=CORES))
        submitted = time.time()
        future = wide.submit(work.call, "wide", 0.2, ledger)
        stream.wait_until(future.done)
        future.result(PATIENCE)
    its = intervals(read_ledger(Path(ledger)))
    begin = min(start for start, _, line in its if line["key"] == "wide")
    # from then on cores are kept free for it: how long depends on how slow this machine is just then
    end = begin if FULL else min(begin, submitted + STARVED)
    used = sum(max(0.0, min(until, end) - max(start, submitted)) for start, until, _ in its)
    share = used / (NODES * CORES * (end - submitted))
    print(f"begun after {begin - submitted:.1f} s, {share:.0%} of the cores used meanwhile")
    assert begin - submitted <= STARVED + LONGEST + START
    assert share > BUSY


class Stream:
    """Small tasks, of which there are always more than there are cores."""

    def __init__(self, executor: Executor, ledger: str) -> None:
        self._executor = executor
        self._ledger = ledger
        self._dice = random.Random(1)
        self._out: list[TaskFuture[Any]] = []
        self.done: list[TaskFuture[Any]] = []

    def top_up(self) -> None:
        """Replace those that have ended."""
        self.done += [one for one in self._out if one.done()]
        self._out = [one for one in self._out if not one.done()]
        while len(self._out) < STREAM:
            seconds = self._dice.uniform(SHORTEST, LONGEST)
            key = f"small-{len(self._out) + len(self.done)}"
            self._out.append(self._executor.submit(work.call, key, seconds, self._ledger))

    def wait_until(self, condition: Any) -> None:
        """Keep it flowing until then."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, f"not within {PATIENCE:.0f} s"
            self.top_up()
            time.sleep(0.05)


@contextmanager
def managed(folder: RunFolder, shape: SLURM) -> Iterator[None]:
    """Start a run whose manager is less patient."""
    start_run(folder, "starved", shape, Timing(interval=1.0, kill_wait=5.0))
    first = psutil.Process(read_address(folder).pid)
    first.kill()
    first.wait(PATIENCE)
    manager = subprocess.Popen(
        [sys.executable, "-P", impatient_manager.__file__, str(STARVED), os.fspath(folder)],
        cwd=Path(__file__).parents[2], stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        end = time.monotonic() + PATIENCE
        while not has_manager(folder):
            assert time.monotonic() < end
            time.sleep(0.05)
        yield
    finally:
        manager.kill()
        manager.wait()
