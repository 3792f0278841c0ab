"""One learner over jobs that come and go, and drivers that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler import Executor, Runner
from adaptive_scheduler.runs.runner.run_tasks import RunTasks
from adaptive_scheduler.scheduler import SLURM
from tests.clusters.slurm import PrivateSlurm
from tests.integration.learner_driver import N
from tests.integration.noted import noted, noted_in
from tests.integration.test_driver_deaths import wait_for

PATIENCE = 60.0
#: Seconds of one call; in which the points must follow the slots; of a phase after them.
CALL, FOLLOW, PHASE = 0.5, 2.0, 3.0


class Slots:
    """What the manager says of the slots, with the time."""

    def __init__(self, executor: Executor) -> None:
        self._tasks, self._is_over = RunTasks(executor), threading.Event()
        self.seen = [(time.time(), 0)]
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while not self._is_over.wait(0.05):
            if (slots := self._tasks.slots().slots) != self.seen[-1][1]:
                self.seen.append((time.time(), slots))

    def wait(self, slots: int) -> float:
        """Wait until there are so many, and then a phase more; return when they were there."""
        wait_for(lambda: self.seen[-1][1] == slots)
        time.sleep(FOLLOW + PHASE)
        assert self.seen[-1][1] == slots, self.seen
        return self.seen[-1][0]

    def close(self) -> None:
        self._is_over.set()


@pytest.mark.slurm
@pytest.mark.timeout(180)
def test_points_per_second_follow_the_slots(
    tmp_path: Path, slurm: PrivateSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)
    ledger = os.fspath(tmp_path / "ledger")
    learner = adaptive.Learner2D(partial(noted, CALL, ledger), [(-1, 1), (-1, 1)])
    jobs = SLURM(cores=2, walltime="5m")
    with Executor(jobs, tmp_path / "run", min_jobs=1, interval=1, idle=1) as executor:
        slots = Slots(executor)
        runner = Runner(learner, executor, lambda _: False).start()
        since = {2: slots.wait(2)}
        executor.add_pool(jobs, 1, name="second", min_jobs=1)
        executor.add_pool(jobs, 2, name="more", min_jobs=2)
        since[8] = slots.wait(8)
        killed = newest_jobs(executor)
        slurm.run("scancel", *killed)
        executor.remove_pool("more")
        since[4] = slots.wait(4)
        slots.close()
        runner.cancel()
        outcome = runner.wait(PATIENCE)
        rows = executor.tasks()
    assert (outcome.reason, runner.done) == ("signal", True)
    ended = sorted(row["ended"] for row in rows if row["state"] == "done")
    for n, begin in since.items():
        in_time = [end for end in ended if begin + FOLLOW <= end < begin + FOLLOW + PHASE]
        assert 0.5 <= len(in_time) * CALL / PHASE / n <= 1.1, (n, len(in_time))
    assert_none_lost_or_repeated(ledger, learner, rows, n_killed=2 * len(killed))


def newest_jobs(executor: Executor) -> list[str]:
    """The two jobs that were submitted last; those of one array are ``17_0`` and ``17_1``."""
    jobs = {row["job"] for row in executor.tasks() if row["job"]}
    return sorted(jobs, key=lambda job: [int(part) for part in job.split("_")])[-2:]


def assert_none_lost_or_repeated(
    ledger: str, learner: adaptive.Learner2D, rows: list[dict[str, object]], n_killed: int
) -> None:
    keys = Counter(row["key"] for row in rows)
    assert max(keys.values()) == 1
    begun, ended = Counter(noted_in(ledger, "begin")), Counter(noted_in(ledger, "end"))
    assert set(ended) == {repr(x) for x in learner.data}
    again = {point for point, times in begun.items() if times > 1}
    assert len(again) <= n_killed
    assert {row["state"] for row in rows} <= {"done", "cancelled"}


def start_driver(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integration.learner_driver", os.fspath(home)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip


@pytest.mark.timeout(300)
def test_a_driver_that_is_killed_computes_nothing_twice(tmp_path: Path) -> None:
    ledger = os.fspath(tmp_path / "ledger")
    driver = start_driver(tmp_path)
    wait_for(lambda: len(noted_in(ledger, "end")) >= N // 3 or driver.poll() is not None)
    driver.send_signal(signal.SIGKILL)
    driver.communicate(timeout=PATIENCE)
    second = start_driver(tmp_path)
    output, _ = second.communicate(timeout=PATIENCE)
    assert second.returncode == 0, output
    new, npoints = map(int, output.split()[-2:])
    assert new <= npoints - N // 3 + 1
    begun, ended = Counter(noted_in(ledger, "begin")), Counter(noted_in(ledger, "end"))
    assert max(begun.values()) == max(ended.values()) == 1
    assert set((tmp_path / "data").read_text().splitlines()) == set(ended) == set(begun)
    assert N <= npoints == len(ended) <= N + 4
