"""`first-point`: from `start()` on the idle private Slurm to the first evaluation."""

from __future__ import annotations

import shlex
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from adaptive_scheduler.schedulers.base import default_mpiexec
from benchmarks.cluster import cluster, drive, wait_until_idle
from benchmarks.environment import peer_python, run, side
from benchmarks.figures import Figure, at_most
from benchmarks.import_cost import CPU

FEW, MANY = 8, 32


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """One learner, compared with a bare MPI job; then until each of 8 and of 32 has one point."""
    ours, bare, cpu, any_of_peer = [], [], [], defaultdict(list)
    each: dict[int, list[float]] = {FEW: [], MANY: []}
    peer: dict[int, list[float]] = {FEW: [], MANY: []}
    with cluster() as slurm:
        for _ in range(rounds):
            first, seconds = one_learner(slurm)
            ours.append(first)
            cpu.append(seconds)
            bare.append(bare_chain(slurm))
            for n, values in each.items():
                values.append(seconds_to_each(slurm, sys.executable, "run_program.py", n)[1])
                if with_peer:
                    any_one, all_of_them = seconds_to_each(
                        slurm, peer_python(in_jobs=True), "peer/first_point.py", n
                    )
                    any_of_peer[n].append(any_one)
                    peer[n].append(all_of_them)
    over = [a - b for a, b in zip(ours, bare, strict=True)]
    yield Figure(
        "first-point",
        "start() to the first evaluation, 1 learner",
        "s",
        ours,
        bare,
        peer_name="sbatch + mpiexec + import adaptive + one MPI call",
    )
    yield Figure("first-point-over", "the same, less the bare chain", "s", over, bar=at_most(0.7))
    yield Figure(
        "first-point-cpu", "CPU of all processes of a job up to its first evaluation", "s",
        cpu, [adaptive_cpu() for _ in cpu], at_most(1.3, "ratio"), "import adaptive",
    )  # fmt: skip
    for n, values in each.items():
        if any_of_peer[n]:
            yield Figure(
                f"first-point-{n}-any", f"each of {n} of ours, beside the first of any of the peer's",
                "s", values, any_of_peer[n], at_most(1.0, "ratio"), "adaptive-scheduler 2.17.2",
            )  # fmt: skip
        yield Figure(
            f"first-point-{n}", f"until each of {n} learners in {n} jobs has one evaluation", "s",
            values, peer[n], at_most(1.0, "ratio"), "adaptive-scheduler 2.17.2",
        )  # fmt: skip


def one_learner(slurm) -> tuple[float, float]:
    """Seconds to the first evaluation of one learner, and the CPU that its job took for it."""
    task = {"learners": 1, "points": 4, "seconds": 0.05, "cores": 2, "jobs": 1, "timeout": 200}
    with side("ours"):
        told = drive(slurm, sys.executable, "run_program.py", **task, cpu=True)
    return min(end for *_, end in told["ledger"]) - told["start"], told["cpu"]


def adaptive_cpu() -> float:
    """CPU seconds of `import adaptive`."""
    return float(run([sys.executable, "-c", CPU.format("adaptive")]))


def seconds_to_each(slurm, python: str, program: str, n: int) -> tuple[float, float]:
    """Seconds from the start to the first point of any, and of the last, of `n` learners."""
    task = {"learners": n, "points": 4, "seconds": 0.05, "cores": 2, "jobs": n, "timeout": 200}
    whose = "ours" if python == sys.executable else "the peer"
    with side(whose):
        told = drive(slurm, python, program, **task)
    firsts: dict[float, float] = {}
    for which, _, _, end in told["ledger"]:
        firsts[which] = min(end, firsts.get(which, end))
    if len(firsts) != n:
        raise RuntimeError(
            f"{whose} failed: only {len(firsts)} of {n} learners have a point. "
            f"Its words:\n{told['words']}"
        )
    return min(firsts.values()) - told["start"], max(firsts.values()) - told["start"]


def bare_chain(slurm) -> float:
    """Seconds from `sbatch` to one call in a worker rank, without this package."""
    with tempfile.TemporaryDirectory(prefix="as-bench-", dir="/tmp") as folder:
        launcher = shlex.join([*default_mpiexec(sys.executable), "-n", "2", sys.executable])
        program = Path(__file__).with_name("bare_program.py")
        script = Path(folder) / "bare.sh"
        script.write_text(f"#!/bin/sh\n{launcher} -m mpi4py.futures {shlex.quote(str(program))}\n")
        begin = time.time()
        slurm.run("sbatch", "-n", "2", "-o", f"{folder}/out", str(script))
        out = Path(folder) / "out"
        end = time.monotonic() + 60
        while not (out.exists() and out.read_text().endswith("\n")):
            if time.monotonic() > end:
                raise RuntimeError("the bare chain failed: no point in 60 s")
            time.sleep(0.02)
        wait_until_idle(slurm)
        return float(out.read_text()) - begin
