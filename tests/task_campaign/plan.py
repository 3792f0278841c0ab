"""What a campaign does: how many tasks of which length, on which jobs."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec

from adaptive_scheduler import TaskResources
from adaptive_scheduler.scheduler import PBS, SLURM, LocalScheduler
from adaptive_scheduler.schedulers.base import Scheduler

#: Of each job, and of each node where jobs have several.
CORES, CORES_OF_NODE = 4, 2
GPUS_OF_NODE = 2
#: Of a hundred calls, those that always fail; of a hundred commands, those that leave a daemon behind.
WRONG, LEAVES = 2, 20
#: Whether tasks may have several ranks.
WITH_RANKS = True
#: What tasks occupy on whole nodes, and how many of a hundred calls, and of a hundred commands.
SIZES = (
    (TaskResources(), 62, 36),
    (TaskResources(threads_per_rank=2), 12, 10),
    (TaskResources(gpus_per_rank=0.5), 10, 10),
    (TaskResources(gpus_per_rank=1), 8, 10),
    (TaskResources(gpus_per_rank=2), 2, 4),
    (TaskResources(ranks_per_node=2), 2, 8),
    (TaskResources(nodes=2), 2, 8),
    (TaskResources(nodes=2, ranks_per_node=2), 1, 8),
    (TaskResources(nodes=2, ranks_per_node=2, gpus_per_rank=1), 1, 6),
)


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
    nodes : int
        Of each job, which has them whole; 0: its jobs are a part of one node.
    """

    folder: str
    batch_system: str
    seed: int
    calls: int = 2000
    commands: int = 200
    seconds: float = 0.1
    walltime: int = 12
    nodes: int = 0

    @property
    def path(self) -> Path:
        """Its folder."""
        return Path(self.folder)

    @property
    def ledger(self) -> str:
        """The file in which tasks note when they begin and end."""
        return str(self.path / "ledger")

    @property
    def cores(self) -> int:
        """Cores of a job on each of its nodes."""
        return CORES_OF_NODE if self.nodes else CORES

    def scheduler(self, nodes: int = 0) -> Scheduler:
        """What submits its jobs, or such of fewer nodes."""
        if self.batch_system == "local":
            state = self.path / "batch"
            return LocalScheduler(
                cores=CORES, walltime=self.walltime, max_cores=4 * CORES, kill_wait=5, state=state
            )
        shape: dict[str, Any] = {"cores": CORES}
        if self.nodes:
            n = nodes or self.nodes
            shape = {"cores": n * self.cores, "nodes": n, "gpus": GPUS_OF_NODE}
        if self.batch_system == "slurm":
            return SLURM(**shape, walltime=self.walltime, partition="minute", kill_wait=5)
        gpus = {"CUDA_VISIBLE_DEVICES": ",".join(map(str, range(GPUS_OF_NODE)))}
        return PBS(
            **shape, walltime=self.walltime, kill_wait=5,
            extra_env_vars=gpus if self.nodes else None,
        )  # fmt: skip

    def tasks(self) -> list[dict[str, Any]]:
        """Key, seconds and settings of all tasks, the same in each life of the driver."""
        return self.planned() + [self._supply(number) for number in range(self._supplied())]

    def planned(self) -> list[dict[str, Any]]:
        """Those of the beginning and of the end; between them `supply` may have given more."""
        dice = random.Random(self.seed)
        kinds = ["call"] * self.calls + ["command"] * self.commands
        dice.shuffle(kinds)
        return [self._task(number, kind, dice) for number, kind in enumerate(kinds)]

    def supply(self, n: int) -> list[dict[str, Any]]:
        """Return n more tasks; from now on `tasks` has them, too."""
        first = self._supplied()
        new = self.path / "supplied.new"
        new.write_text(str(first + n))
        new.replace(self.path / "supplied")
        return [self._supply(number) for number in range(first, first + n)]

    def _supplied(self) -> int:
        known = self.path / "supplied"
        return int(known.read_text()) if known.exists() else 0

    def _supply(self, number: int) -> dict[str, Any]:
        number += self.calls + self.commands
        dice = random.Random(f"{self.seed} {number}")
        (kind,) = dice.choices(("call", "command"), (self.calls, self.commands))
        return self._task(number, kind, dice)

    def _task(self, number: int, kind: str, dice: random.Random) -> dict[str, Any]:
        is_wrong = kind == "call" and dice.randrange(100) < WRONG
        leaves = kind == "command" and self.nodes and dice.randrange(100) < LEAVES
        name = "wrong" if is_wrong else "leaves" if leaves else kind
        return {
            "kind": kind,
            "key": f"{name}-{number}",
            "seconds": dice.expovariate(1.0) * self.seconds,
            "settings": {
                "priority": float(dice.randrange(10)),
                "tag": dice.choice(("", "a", "b")),
                "resources": self._size(kind, is_wrong, dice),
                "retries": 0 if is_wrong else 20,
            },
        }  # fmt: skip

    def _size(self, kind: str, is_wrong: bool, dice: random.Random) -> TaskResources:
        """What a task occupies; one that fails does so in a single process, whose error is known."""
        if not self.nodes:
            return TaskResources(threads_per_rank=dice.choice((1, 1, 1, 2)))
        can = [
            one for one in SIZES if one[0].nodes <= self.nodes
            and (WITH_RANKS or one[0].nodes * one[0].ranks_per_node == 1)
        ]  # fmt: skip
        weights = [calls if kind == "call" else commands for _, calls, commands in can]
        size = dice.choices(can, weights)[0][0]
        return size if size.nodes * size.ranks_per_node == 1 or not is_wrong else TaskResources()


def write_plan(plan: Plan) -> Path:
    """Write it to where the driver reads it."""
    path = plan.path / "plan.json"
    path.write_bytes(msgspec.json.encode(plan))
    return path


def read_plan(path: Path) -> Plan:
    """Read it."""
    return msgspec.json.decode(path.read_bytes(), type=Plan)
