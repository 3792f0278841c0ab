"""However a run ends: soon no job of it runs or waits that should not."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from adaptive_scheduler.io.storage.run_config import read_config
from tests.clusters.slurm import PrivateSlurm
from tests.effort import times
from tests.integration.ends import SOON, End

ROOT = Path(__file__).parents[2]
KINDS = [
    "cancel", "manager", "ctrl_c", "low_level", "notebook", "natural", "interrupted", "watch",
]  # fmt: skip
ON_SLURM = ["manager", "cancel", "ctrl_c", "natural"]
#: Ends at a time.
ABREAST = 2


def local(tmp_path: Path, number: int) -> End:
    """An end on a batch system of its own, with two slots and up to four jobs."""
    state = str(tmp_path / f"batch{number}")
    env = {
        **os.environ, "ADAPTIVE_SCHEDULER_LOCALBATCH": state, "PYTHONPATH": str(ROOT),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }  # fmt: skip

    def queue() -> list[str]:
        argv = [sys.executable, "-m", "adaptive_scheduler.localbatch", "queue"]
        text = subprocess.run(argv, env=env, capture_output=True, text=True, check=True).stdout
        return text.splitlines()[:-1]  # the last line counts them

    rng = random.Random(number)
    cores = {"cores": 1, "max_cores": 2, "executor_type": "sequential"}
    options = {
        "system": "local", "scheduler": {**cores, "kill_wait": 5}, "jobs": rng.choice([2, 4]),
        "patience": 3.0,
        "command": {"scheduler": "local", "cores": 1, "max-cores": 2, "executor": "sequential"},
    }  # fmt: skip
    return End(KINDS[number % len(KINDS)], tmp_path / f"end {number}", env, options, queue, rng)


def on_slurm(tmp_path: Path, number: int, slurm: PrivateSlurm) -> End:
    """An end of jobs of three ranks."""
    env = {**os.environ, **slurm.env, "PYTHONPATH": str(ROOT)}
    folder = tmp_path / f"end on slurm {number}"

    def queue() -> list[str]:
        run = read_config(end.run).run
        rows = slurm.run("squeue", "-h", "-r", "-o", "%A %T %k").stdout.splitlines()
        return [row for row in rows if f":{run}:" in row]

    options = {
        "system": "slurm", "scheduler": {"cores": 3}, "jobs": 2, "patience": 3.0,
        "command": {"scheduler": "slurm", "cores": 3},
    }  # fmt: skip
    kind = ON_SLURM[number % len(ON_SLURM)]
    end = End(kind, folder, env, options, queue, random.Random(1000 + number))
    return end


def play(ends: list[End], where: str) -> None:
    """Play them all, a few at a time, and say how they went."""
    with ThreadPoolExecutor(ABREAST) as threads:
        played = [threads.submit(end.play) for end in ends]
        found = [one.exception() for one in played]
    failures = [one for one in found if isinstance(one, Exception)]
    gone: defaultdict[str, list[float]] = defaultdict(list)
    for end in ends:
        gone[end.kind].append(end.gone_after)
    late = sum(end.gone_after > SOON for end in ends)
    print(
        f"\n{len(ends)} ends {where}, {len(failures)} not as they should, {late} later than {SOON:.0f} s"
    )
    for kind, after in gone.items():
        print(f"  {kind}: {len(after)}, all gone after {max(after):.1f} s at most")
    if failures:
        raise ExceptionGroup("not as they should", failures)


@pytest.mark.slow
@pytest.mark.timeout(times(290, 3000))
def test_no_end_leaves_orphans(tmp_path: Path) -> None:
    play([local(tmp_path, number) for number in range(times(4, 40))], "on the LocalScheduler")


@pytest.mark.slow
@pytest.mark.slurm
@pytest.mark.mpi
@pytest.mark.timeout(times(200, 1200))
def test_no_end_leaves_ranks_on_slurm(tmp_path: Path, slurm: PrivateSlurm) -> None:
    play([on_slurm(tmp_path, number, slurm) for number in range(times(2, 10))], "on Slurm")
