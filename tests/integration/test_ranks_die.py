"""A rank of an MPI world is killed: the world starts anew in the same job, and no point is lost.

Issue 3, section 3. The full figures are in docs/reliability.md.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import adaptive
import psutil
import pytest

from adaptive_scheduler.core.config import Timing
from adaptive_scheduler.scheduler import SLURM, LocalScheduler
from adaptive_scheduler.schedulers.base import Scheduler
from adaptive_scheduler.server_support import RunManager
from tests.clusters.slurm import DAEMON_PATH, PrivateSlurm
from tests.effort import times
from tests.integration.accidents import until
from tests.integration.campaigns import INTERVAL, WINDOW, rank_of, ranks_of
from tests.integration.ledger import TimedLedger, audit, held
from tests.integration.stalls import Stalls

pytestmark = [pytest.mark.mpi, pytest.mark.timeout(400)]

RANKS = 3
KILLS = times(3, 50)
#: Seconds until the next evaluation: issue 3 wants 5 on a machine that does nothing else.
BOUND = times(90, 5)
SECONDS = 0.05


@pytest.fixture(params=["mpiexec", pytest.param("srun", marks=pytest.mark.slurm)])
def scheduler(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Scheduler:
    """With which launcher the world is started; under SLURM for srun."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    if request.param == "mpiexec":
        return LocalScheduler(cores=RANKS, max_cores=2 * RANKS, state=tmp_path / "batch")
    cluster: PrivateSlurm = request.getfixturevalue("slurm")
    for name, value in {**cluster.env, "PATH": DAEMON_PATH}.items():
        monkeypatch.setenv(name, value)
    return SLURM(cores=RANKS, mpiexec_executable="srun --mpi=pmi2")


@dataclass
class World:
    """The MPI worlds of one learner, one after the other.

    Attributes
    ----------
    deaths : list of float
        When a rank was killed.
    ranks : Counter
        Which.
    pauses : list of float
        Seconds from each death to the next evaluation.
    segments : set of str
        Names of the shared memory that the worlds had.
    """

    run: RunManager
    ledger: TimedLedger
    deaths: list[float] = field(default_factory=list)
    ranks: Counter[str] = field(default_factory=Counter)
    pauses: list[float] = field(default_factory=list)
    segments: set[str] = field(default_factory=set)

    def kill_a_rank(self, dice: random.Random) -> None:
        job = until(lambda: self.run.snapshot("all").items[0].job)
        victim = dice.choice(until(lambda: ranks_of(job, self.run.folder.folder)))
        self.segments |= segments_of(victim)
        before = {entry.pid for entry in self.ledger.entries()}
        self.ranks[rank_of(victim)] += 1
        self.deaths.append(time.monotonic())  # before: this process may be held up behind it
        victim.kill()
        self.pauses.append(self._next(before) - self.deaths[-1])

    def _next(self, before: set[int]) -> float:
        """When a process of the next world has evaluated something."""
        new = until(lambda: [e.at for e in self.ledger.entries() if e.pid not in before], 90)
        return float(min(new))


def segments_of(process: psutil.Process) -> set[str]:
    maps = {part.path for part in process.memory_maps()}
    return {path for path in maps if path.startswith("/dev/shm/mpich_shm_")}


class Exists:
    """A goal: until a file is there."""

    def __init__(self, path: Path) -> None:
        self.path = os.fspath(path)

    def __call__(self, learner: adaptive.BaseLearner) -> bool:
        return os.path.exists(self.path)  # noqa: PTH110  it travels as text


@pytest.fixture
def run_of(tmp_path: Path, scheduler: Scheduler) -> Iterator[Callable[..., RunManager]]:
    made: list[RunManager] = []

    def make(learner: adaptive.BaseLearner, **settings: object) -> RunManager:
        options = {"folder": tmp_path / "run", "interval": 1,
                   "points_interval": INTERVAL, "save_interval": 2.0, **settings}  # fmt: skip
        made.append(RunManager(scheduler, [learner], [tmp_path / "data"], **options))
        made[0].start()
        return made[0]

    yield make
    made[0].cancel()
    made[0].wait(60)


def test_a_dead_rank_costs_seconds_and_no_point(
    tmp_path: Path, run_of: Callable[..., RunManager], scheduler: Scheduler
) -> None:
    ledger = TimedLedger(tmp_path / "ledger", abs, SECONDS)
    learner = adaptive.Learner1D(ledger, (-1, 1))
    world = World(run_of(learner, goal=Exists(tmp_path / "enough"), max_crashes=1000), ledger)
    seed = random.SystemRandom().randrange(10**6)
    dice = random.Random(seed)
    until(ledger.lines, 60)
    with Stalls(tmp_path) as stalls:
        for _ in range(KILLS):
            time.sleep(dice.uniform(0.0, 3.0))
            world.kill_a_rank(dice)
    (tmp_path / "enough").touch()
    end = world.run.wait(60)
    found = audit(ledger.entries(), held(world.run.load_learners(progress=False)[0]))
    lost = found.lost(world.deaths, WINDOW, stalls)
    in_time = sum(pause <= 5 for pause in world.pauses)
    print(
        f"\n{type(scheduler).__name__}, seed {seed}: {KILLS} ranks killed "
        f"({', '.join(f'rank {rank}: {n}' for rank, n in sorted(world.ranks.items()))}); next "
        f"evaluation after {statistics.median(world.pauses):.1f} s (median), "
        f"{max(world.pauses):.1f} s (longest), {in_time} of {KILLS} within 5 s; "
        f"{end.submitted} jobs submitted; "
        f"{found.evaluated} evaluated, {len(found.again)} again or in vain "
        f"({len(found.again) / KILLS:.1f} for each kill), {len(lost)} lost; {stalls}"
    )
    assert end.phases == {"done": 1}
    assert end.submitted == 1
    assert (lost, found.unknown) == ([], [])
    assert world.segments, "every world has shared memory"
    assert not [name for name in world.segments if Path(name).exists()], "of dead worlds"
    assert max(world.pauses) <= BOUND
    # each would take longer if the next world had to wait for that
    assert min(world.pauses) < Timing().lease, "until the lease of the dead client is over"


def dies(x: float) -> float:
    os.kill(os.getpid(), signal.SIGKILL)
    return x


def test_a_learner_whose_rank_always_dies_ends_failed_with_its_reason(
    run_of: Callable[..., RunManager],
) -> None:
    run = run_of(adaptive.Learner1D(dies, (-1, 1)), goal=10, max_crashes=1)
    end = run.wait(90)
    item = run.snapshot("all").items[0]
    print(f"\nended FAILED after {item.crashes} crashes: {item.reason}")
    assert end.phases == {"failed": 1}
    assert (item.crashes, item.fails, end.submitted) == (2, 0, 1)
    assert "died" in item.reason


def test_only_mpi_leaves_files_behind() -> None:
    """In a process of its own: this one may have begun a world of one in another test."""
    code = "from adaptive_scheduler.executors.mpi import MPI4Py; print(MPI4Py().leftover_files())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
