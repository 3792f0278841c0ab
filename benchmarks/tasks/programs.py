"""`programs`: programs of 2 x 2 ranks one after the other through a pool, beside bare `srun` and `mpiexec`.

The cluster is a private Slurm: its nodes are simulated, daemons on one machine that claim cores.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from adaptive_scheduler import Command, Executor, TaskResources
from adaptive_scheduler.scheduler import SLURM
from adaptive_scheduler.schedulers.base import default_mpiexec
from benchmarks.cluster import cluster, wait_until_idle
from benchmarks.figures import Figure
from benchmarks.tasks.bars import BARS
from benchmarks.tasks.pool import PATIENCE
from tests.clusters.slurm import PrivateSlurm

NODES, RANKS = 2, 2
PROGRAMS = 20
#: What each rank runs.
PROGRAM = "true"
NOTE = "the nodes are simulated: daemons on one machine"


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """Programs per second; each begins when the one before has ended."""
    ours: list[float] = []
    bare: dict[str, list[float]] = {name: [] for name in launchers()}
    with cluster() as slurm:
        for _ in range(rounds):
            with pool(slurm) as executor:
                ours.append(rate(executor))
            for name, words in launchers().items():
                wait_until_idle(slurm)
                bare[name].append(bare_rate(slurm, words))
    what = f"programs of {NODES} x {RANKS} ranks one by one in a job, durable; simulated nodes"
    bar = BARS["programs"]
    yield Figure("programs", what, "1/s", ours, bare["srun"], bar, "bare srun in a loop", NOTE)
    yield Figure(
        "programs-mpiexec", "the same beside mpiexec", "1/s", ours, bare["mpiexec"],
        None, "bare mpiexec in a loop", NOTE,
    )  # fmt: skip


def launchers() -> dict[str, list[str]]:
    """How users start such a program by themselves inside of a job."""
    ranks = NODES * RANKS
    return {
        "srun": ["srun", f"--nodes={NODES}", f"--ntasks={ranks}", PROGRAM],
        "mpiexec": [
            *default_mpiexec(sys.executable),
            "-n",
            str(ranks),
            "-ppn",
            str(RANKS),
            PROGRAM,
        ],
    }


@contextmanager
def pool(slurm: PrivateSlurm) -> Iterator[Executor]:
    """Yield an executor whose job, of just the nodes of one program, has run one."""
    home = Path(tempfile.mkdtemp(prefix="as-bench-", dir="/tmp"))
    shape = SLURM(cores=NODES * RANKS, nodes=NODES, walltime="10m")
    try:
        with (
            patch.dict(os.environ, slurm.env),
            Executor(shape, folder=home / "run", interval=1, idle=0.5) as executor,
        ):
            submit(executor, 1)
            yield executor
        wait_until_idle(slurm)  # its last job needs the folder until it has ended
    finally:
        shutil.rmtree(home, ignore_errors=True)


def rate(executor: Executor) -> float:
    """Programs per second, from the first submit to the last value."""
    begin = time.perf_counter()
    submit(executor, PROGRAMS)
    return PROGRAMS / (time.perf_counter() - begin)


def submit(executor: Executor, n: int) -> None:
    """Run so many of them."""
    resources = TaskResources(nodes=NODES, ranks_per_node=RANKS)
    futures = executor.options(resources=resources).submit_many(Command([PROGRAM]), [{}] * n)
    codes = [future.result(PATIENCE) for future in futures]
    assert codes == [0] * n


def bare_rate(slurm: PrivateSlurm, words: list[str]) -> float:
    """Programs per second of a shell's loop in a job of the same nodes."""
    done = slurm.folder / f"loop-{time.monotonic_ns()}"
    line = shlex.join(words)
    script = (
        f"{line}; begin=$(date +%s%N); for i in $(seq {PROGRAMS}); do {line} || exit 1; done; "
        f"echo $(( $(date +%s%N) - begin )) > {done}.new; mv {done}.new {done}"
    )
    slurm.run(
        "sbatch", f"--nodes={NODES}", f"--ntasks-per-node={RANKS}", "--output=/dev/null",
        f"--wrap={script}",
    )  # fmt: skip
    deadline = time.monotonic() + PATIENCE
    while not done.exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{line}: {PROGRAMS} of them do not end within {PATIENCE:.0f} s")
        time.sleep(0.05)
    return PROGRAMS / (int(done.read_text()) / 1e9)
