"""What a campaign does: how many tasks of which length, on which jobs."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec

from adaptive_scheduler import TaskResources
from adaptive_scheduler.scheduler import PBS, SLURM, LocalScheduler
from adaptive_scheduler.schedulers.base import Scheduler

CORES = 4
#: Of a hundred calls, those that always fail.
WRONG = 2


class Plan(msgspec.Struct, frozen=True):
    """One campaign, as its driver reads it.

    Attributes
    ----------
    folder, batch_system : str
    seed, calls, commands : int
    seconds : float
        Of one task on the average.
    walltime : int
        Of each job.
    """

    folder: str
    batch_system: str
    seed: int
    calls: int = 2000
    commands: int = 200
    seconds: float = 0.1
    walltime: int = 12

    @property
    def path(self) -> Path:
        """Its folder."""
        return Path(self.folder)

    @property
    def ledger(self) -> str:
        """The file in which tasks note when they begin and end."""
        return str(self.path / "ledger")

    def scheduler(self) -> Scheduler:
        """What submits its jobs."""
        if self.batch_system == "slurm":
            return SLURM(cores=CORES, walltime=self.walltime, partition="minute", kill_wait=5)
        if self.batch_system == "pbs":
            return PBS(cores=CORES, walltime=self.walltime, kill_wait=5)
        state = self.path / "batch"
        return LocalScheduler(
            cores=CORES, walltime=self.walltime, max_cores=4 * CORES, kill_wait=5, state=state
        )

    def tasks(self) -> list[dict[str, Any]]:
        """Key, seconds and settings of all tasks, the same in each life of the driver."""
        dice = random.Random(self.seed)
        kinds = ["call"] * self.calls + ["command"] * self.commands
        dice.shuffle(kinds)
        found = []
        for number, kind in enumerate(kinds):
            is_wrong = kind == "call" and dice.randrange(100) < WRONG
            found.append({
                "kind": kind,
                "key": f"{'wrong' if is_wrong else kind}-{number}",
                "seconds": dice.expovariate(1.0) * self.seconds,
                "settings": {
                    "priority": float(dice.randrange(10)),
                    "tag": dice.choice(("", "a", "b")),
                    "resources": TaskResources(threads_per_rank=dice.choice((1, 1, 1, 2))),
                    "retries": 0 if is_wrong else 20,
                },
            })  # fmt: skip
        return found


def write_plan(plan: Plan) -> Path:
    """Write it to where the driver reads it."""
    path = plan.path / "plan.json"
    path.write_bytes(msgspec.json.encode(plan))
    return path


def read_plan(path: Path) -> Plan:
    """Read it."""
    return msgspec.json.decode(path.read_bytes(), type=Plan)
