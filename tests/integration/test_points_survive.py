"""Clients and ranks are killed again and again; the data and a ledger of all calls are compared.

Issue 3, section 3. The full figures are in docs/reliability.md.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adaptive_scheduler.scheduler import SLURM, LocalScheduler
from adaptive_scheduler.schedulers.base import Scheduler
from adaptive_scheduler.server_support import parse_log_files
from tests.clusters.slurm import DAEMON_PATH, PrivateSlurm
from tests.contract.learner_kinds import kinds
from tests.effort import FULL, times
from tests.integration.campaigns import Campaign, campaign

KINDS = list(kinds())
KILL, TERM = signal.SIGKILL, signal.SIGTERM

pytestmark = pytest.mark.timeout(700)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Campaign]]:
    """Those that a test began; they are ended at its end."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    begun: list[Campaign] = []
    yield begun
    for one in begun:
        one.run.cancel()
        one.run.wait(60)


def local(tmp_path: Path, **more: Any) -> Scheduler:
    options = {"cores": 2, "max_cores": 9, "executor_type": "process-pool", "kill_wait": 10}
    return LocalScheduler(state=tmp_path / "batch", **{**options, **more})


def test_points_survive_kills_of_clients_of_all_kinds_of_learners(
    tmp_path: Path, runs: list[Campaign]
) -> None:
    one = campaign(tmp_path, local(tmp_path), KINDS, max_jobs=3)
    runs.append(one)
    one.run.start()
    seed = random.SystemRandom().randrange(10**6)
    orders = [KILL] * times(1, 3) + [TERM] * times(1, 1)
    one.kill_all({name: list(orders) for name in KINDS}, seed)
    assert one.run.wait(300).phases == {"done": len(KINDS)}
    figures = one.check(f"clients killed, process-pool, seed {seed}")
    assert len({kill.kind for kill in one.kills}) == len(KINDS)
    assert figures["SIGKILL"] + figures["SIGTERM"] >= len(KINDS) * len(orders) * 3 // 4


@pytest.mark.mpi
def test_points_survive_kills_of_ranks_of_all_kinds_of_learners(
    tmp_path: Path, runs: list[Campaign]
) -> None:
    names = KINDS if FULL else ["Learner1D", "IntegratorLearner", "BalancingLearner"]
    scheduler = local(tmp_path, cores=3, executor_type="mpi4py")
    one = campaign(tmp_path, scheduler, names, slower=1.5, max_jobs=3)
    runs.append(one)
    one.run.start()
    seed = random.SystemRandom().randrange(10**6)
    orders = [KILL] * times(1, 2) + [TERM] * times(0, 1)
    one.kill_all({name: list(orders) for name in names}, seed)
    assert one.run.wait(300).phases == {"done": len(names)}
    figures = one.check(f"ranks killed, mpi4py, seed {seed}")
    assert figures["SIGKILL"] + figures["SIGTERM"] >= len(names)


def test_points_survive_the_walltime(
    tmp_path: Path,
    runs: list[Campaign],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = KINDS
    if FULL:  # SLURM's shortest walltime is a minute
        cluster: PrivateSlurm = request.getfixturevalue("slurm")
        for name, value in {**cluster.env, "PATH": DAEMON_PATH}.items():
            monkeypatch.setenv(name, value)
        scheduler: Scheduler = SLURM(
            cores=2, executor_type="process-pool", walltime=60, partition="minute"
        )
        one = campaign(tmp_path, scheduler, names, slower=25.0, max_jobs=10)
    else:
        # long enough to start on a busy machine, and too short for what each has to do
        names = ["Learner2D", "AverageLearner1D", "IntegratorLearner", "BalancingLearner"]
        scheduler = local(tmp_path, walltime=30)
        one = campaign(tmp_path, scheduler, names, slower=11.0, max_jobs=4)
    runs.append(one)
    one.run.start()
    assert one.run.wait(times(500, 600)).phases == {"done": len(names)}
    figures = one.check(f"walltime, {type(scheduler).__name__}")
    events = parse_log_files(one.run.folder.logs)
    ends = events[(events["event"] == "item_released") & (events["reason"] == "deadline")]
    print(f"  learners released by the walltime: {len(ends)}")
    assert len(ends) >= 1
    assert figures["again"] == figures["as its client left"]
    assert one.run.snapshot("all").items[0].crashes == 0
    assert os.environ.get("SLURM_JOB_ID") is None
