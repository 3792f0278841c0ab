"""One learner over jobs that come and go, and drivers that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import adaptive
import pytest

from adaptive_scheduler import Executor, Runner
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.io.storage import database
from adaptive_scheduler.io.storage.read_only import read_tables
from adaptive_scheduler.runs.runner.run_tasks import RunTasks
from adaptive_scheduler.scheduler import SLURM
from tests.clusters.slurm import PrivateSlurm
from tests.integration.learner_driver import N
from tests.integration.noted import noted, noted_in
from tests.integration.test_driver_deaths import wait_for

PATIENCE = 120.0
#: Seconds of one call.
CALL = 1.0


def wait_for_points(executor: Executor, slots: int) -> None:
    """Wait until there are so many slots, and as many points were evaluated at the same time since."""
    tasks = RunTasks(executor)
    wait_for(lambda: tasks.slots().slots == slots)
    since = time.time()
    wait_for(lambda: most_at_a_time(executor.tasks(state="done"), since) >= slots)


def most_at_a_time(done: list[dict[str, Any]], since: float) -> int:
    """How many points were evaluated at the same time, of those that have begun since then."""
    runs = [(row["begun"], row["ended"]) for row in done if row["begun"] >= since]
    changes = [(at, change) for run in runs for at, change in zip(run, (1, -1), strict=True)]
    return max(accumulate(change for _, change in sorted(changes)), default=0)


@pytest.mark.slurm
@pytest.mark.timeout(500)
def test_points_under_way_follow_the_slots(
    tmp_path: Path, slurm: PrivateSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)
    ledger = os.fspath(tmp_path / "ledger")
    learner = adaptive.Learner2D(partial(noted, CALL, ledger), [(-1, 1), (-1, 1)])
    jobs = SLURM(cores=2, walltime="5m")
    with Executor(jobs, tmp_path / "run", min_jobs=1, interval=1, idle=1) as executor:
        runner = Runner(learner, executor, lambda _: False).start()
        wait_for_points(executor, 2)
        executor.add_pool(jobs, 1, name="second", min_jobs=1)
        executor.add_pool(jobs, 2, name="more", min_jobs=2)
        wait_for_points(executor, 8)
        killed = newest_jobs(executor)
        slurm.run("scancel", *killed)
        executor.remove_pool("more")
        wait_for_points(executor, 4)
        runner.cancel()
        outcome = runner.wait(PATIENCE)
        rows = executor.tasks()
    assert (outcome.reason, runner.done) == ("signal", True)
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


def n_done(home: Path) -> int:
    """How many points the manager knows to be done."""
    folder = RunFolder(home / "run")
    tables = read_tables(folder) if folder.database.exists() else {}
    return sum(row["phase"] == "done" for row in tables.get(database.ITEMS, {}).values())


@pytest.mark.timeout(300)
def test_a_driver_that_is_killed_computes_nothing_twice(tmp_path: Path) -> None:
    ledger = os.fspath(tmp_path / "ledger")
    driver = start_driver(tmp_path)
    wait_for(lambda: n_done(tmp_path) >= N // 3 or driver.poll() is not None)
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
