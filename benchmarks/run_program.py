"""Runs this package on the cluster: ``run_program.py TASK``; prints JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from functools import partial
from pathlib import Path

import adaptive

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.io.storage import row_codec
from adaptive_scheduler.io.storage.read_only import read_tables
from adaptive_scheduler.scheduler import SLURM
from adaptive_scheduler.server_support import RunManager


def note_cpu(path):
    """Write once how much CPU all processes of this job have taken so far, see proc(5)."""
    from pathlib import Path

    job, ticks = f"SLURM_JOB_ID={os.environ['SLURM_JOB_ID']}".encode(), 0
    for folder in Path("/proc").glob("[1-9]*"):
        try:
            if job in (folder / "environ").read_bytes().split(b"\0"):
                ticks += sum(
                    map(int, (folder / "stat").read_text().rpartition(")")[2].split()[11:15])
                )
        except OSError:  # it has ended, or belongs to another user
            continue
    Path(path).write_text(str(ticks / os.sysconf("SC_CLK_TCK")))


def point(ledger, which, seconds, x, cpu=""):
    """Sleep, and append one line with the times, in one write."""
    import time

    if cpu and not os.access(cpu, os.F_OK):
        note_cpu(cpu)
    begin = time.time()
    if seconds:
        time.sleep(seconds)
    if ledger:
        line = f"{which} {os.environ.get('SLURM_JOB_ID')} {begin} {time.time()}\n"
        fd = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(fd, line.encode())
        os.close(fd)
    return x * x


def main(task: dict) -> None:
    """Start the run, wait for its end, print the times of its steps."""
    folder = Path(task["folder"])
    ledger = str(folder / "ledger") if task.get("ledger", True) else ""
    cpu = str(folder / "cpu") if task.get("cpu") else ""
    learners = [
        adaptive.Learner1D(partial(point, ledger, n, task["seconds"], cpu=cpu), (-1, 1))
        for n in range(task["learners"])
    ]
    options = {"partition": task["partition"]} if "partition" in task else {}
    begin = time.time()
    run = RunManager(
        SLURM(cores=task["cores"], **options), learners,
        [str(folder / f"data/{n}.pickle") for n in range(task["learners"])],
        goal=task["points"], folder=folder / "run", max_jobs=task["jobs"],
    )  # fmt: skip
    run.start()
    if "stop_after" in task:
        time.sleep(task["stop_after"])
        run.cancel()
    snapshot = run.wait(timeout=task["timeout"])
    end = time.time()
    run.load_learners(progress=False)
    print(json.dumps({
        "start": begin, "end": end, "ledger": read(ledger), "phases": snapshot.phases, "words": run.status().text,
        "points": sum(learner.npoints for learner in learners),
        "done": max(row.changed for row in row_codec.read_items(read_tables(run.folder), run.folder)),
        "ended": client_ends(folder / "run"), "cpu": float(Path(cpu).read_text()) if cpu else None,
    }))  # fmt: skip


def read(ledger: str) -> list[list[float]]:
    """Learner, job, begin and end of each point."""
    if not ledger or not Path(ledger).exists():
        return []
    return [
        [float(word) for word in line.split()] for line in Path(ledger).read_text().splitlines()
    ]


def client_ends(folder: Path) -> dict[str, str]:
    """The time of the last log line of each job's client."""
    ends = {}
    for path in RunFolder(folder).logs.glob("*.log"):
        for line in path.read_text(errors="replace").splitlines():
            if '"client_ended"' in line:
                row = json.loads(line)
                ends[row["job"]] = row["timestamp"]
    return ends


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
