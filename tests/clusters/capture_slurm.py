"""Write ``tests/data/slurm/*.txt`` anew: ``python -m tests.clusters.capture_slurm``."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from adaptive_scheduler.core.jobs.batch_jobs import CommandResult, JobId, JobRequest
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.schedulers.slurm import SLURM
from tests.clusters import captures
from tests.clusters.slurm import PrivateSlurm

SCHEDULER = SLURM(cores=1)
ODD = "-n |a$(b)\"c' é\nsecond line"


def keep(cluster: PrivateSlurm, name: str, argv: list[str], timeout: float = 60) -> CommandResult:
    """Run, save, return; a command that hangs is saved with the status 124."""
    try:
        done = cluster.run(*argv, check=False, timeout=timeout)
        result = CommandResult(tuple(argv), done.returncode, done.stdout, done.stderr)
    except subprocess.TimeoutExpired as hung:
        said = (hung.stderr or b"").decode()
        result = CommandResult(tuple(argv), 124, (hung.stdout or b"").decode(), said)
    captures.save(f"slurm/{name}", result)
    return result


def submit(cluster: PrivateSlurm, n: int = 1, name: str = "job", *options: str) -> list[str]:
    """The command of a submit, with options before the script."""
    script = cluster.folder / "job.sh"
    script.write_text("#!/bin/bash\nsleep 60\n")
    job = JobRequest(name, "as:run:1", Resources(), str(cluster.folder))
    *command, last = SCHEDULER.submit_command(job, script, n)
    return [*command, *options, last]


def queues(cluster: PrivateSlurm) -> None:
    """Listings, cancels and histories of jobs in all states that are easily made."""
    queue = SCHEDULER.queue_command()
    keep(cluster, "queue_empty", queue)
    keep(cluster, "submit_one", submit(cluster, 1, ODD))
    keep(cluster, "submit_array", submit(cluster, 3))
    cluster.run(*submit(cluster, 1, "held", "--hold"))
    spread = cluster.run(*submit(cluster, 1, "spread", "--nodes=3", "--ntasks=3")).stdout
    cluster.run(*submit(cluster, 1, "wide", "--ntasks=32", "--exclusive"))
    wait_for(cluster, spread.strip(), "RUNNING")
    cluster.scontrol("suspend", "2_1")
    cluster.scontrol("requeue", "2_2")
    cluster.run("scancel", "2_0")
    wait_for(cluster, "2_0", "CANCELLED")
    keep(cluster, "queue_mixed", queue)
    history = SCHEDULER.history_command
    keep(cluster, "history", history([JobId(job) for job in ("2_0", "2_1", "1", "99")]) or [])
    keep(cluster, "history_unknown", history([JobId("99")]) or [])
    keep(cluster, "cancel_finished", SCHEDULER.cancel_commands([JobId("2_0")])[0])
    keep(cluster, "cancel_unknown", SCHEDULER.cancel_commands([JobId("99")])[0])
    keep(cluster, "cancel_nonsense", ["scancel", "nonsense"])
    keep(cluster, "time_left", SCHEDULER.time_left_command(JobId("1")) or [])
    keep(cluster, "time_left_unknown", SCHEDULER.time_left_command(JobId("99")) or [])


def refusals(cluster: PrivateSlurm) -> None:
    """Submits that Slurm refuses, and a controller that is away."""
    options = {
        "partition": "--partition=nowhere",
        "nodes": "--nodes=99",
        "cores": "--ntasks=999",
        "memory": "--mem=999G",
        "walltime": "--partition=minute",
        "option": "--no-such-option=1",
        "value": "--time=soon",
        "gres": "--gpus-per-node=1",
    }
    for name, option in options.items():
        more = ["--time=10"] if name == "walltime" else []
        keep(cluster, f"refused_{name}", submit(cluster, 1, "job", option, *more))
    keep(cluster, "refused_array", submit(cluster, 200))
    cluster.run(*submit(cluster, 8))
    keep(cluster, "refused_limit_hangs", submit(cluster, 8), timeout=5)
    cluster.stop_controller()
    keep(cluster, "down_submit", submit(cluster))
    keep(cluster, "down_queue", SCHEDULER.queue_command())
    keep(cluster, "down_cancel", ["scancel", "1"])
    keep(cluster, "down_time_left", SCHEDULER.time_left_command(JobId("1")) or [])


def wait_for(cluster: PrivateSlurm, job: str, state: str) -> None:
    deadline = time.monotonic() + 30
    while state not in cluster.run("squeue", "-h", "-r", "-tall", "-j", job, "-o", "%T").stdout:
        if time.monotonic() > deadline:
            raise RuntimeError(f"job {job} is not {state}")
        time.sleep(0.1)


def main() -> None:
    limits = {"MaxJobCount": "12", "MaxArraySize": "101", "EnforcePartLimits": "ALL"}
    for fill, settings in ((queues, {}), (refusals, limits | {"MessageTimeout": "3"})):
        cluster = PrivateSlurm(settings=settings)
        try:
            fill(cluster.start())
        finally:
            cluster.stop()
        for path in Path(captures.DATA / "slurm").glob("*.txt"):  # no names of passing folders
            path.write_text(path.read_text().replace(str(cluster.folder), "/run"))


if __name__ == "__main__":
    main()
