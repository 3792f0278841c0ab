"""The peer's run on the private Slurm: `first_point.py TASK`; prints JSON."""

import asyncio
import json
import os
import sys
import time
from functools import partial
from pathlib import Path

import adaptive

from adaptive_scheduler import scheduler, server_support


def point(ledger, which, seconds, x):
    """Sleep, and append one line with the times, in one write."""
    import os
    import time

    begin = time.time()
    time.sleep(seconds)
    line = f"{which} {os.environ.get('SLURM_JOB_ID')} {begin} {time.time()}\n"
    fd = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, line.encode())
    os.close(fd)
    return x * x


async def main(task):
    folder = Path(task["folder"])
    os.chdir(folder)
    ledger = str(folder / "ledger")
    n = task["learners"]
    learners = [
        adaptive.Learner1D(partial(point, ledger, k, task["seconds"]), (-1, 1)) for k in range(n)
    ]
    begin = time.time()
    run = server_support.RunManager(
        scheduler.SLURM(cores=task["cores"], partition="normal", executor_type="mpi4py"),
        learners,
        [str(folder / f"data/{k}.pickle") for k in range(n)],
        goal=lambda learner: learner.npoints >= 4,
        max_simultaneous_jobs=task["jobs"],
        job_manager_interval=1,
    )
    run.start()
    end = time.monotonic() + task["timeout"]
    while time.monotonic() < end:
        await asyncio.sleep(0.2)
        rows = read(ledger)
        if len({row[0] for row in rows}) == n:
            break
    await asyncio.sleep(3)
    run.cancel()
    words = "".join(
        path.read_text(errors="replace")[-300:] for path in sorted(folder.rglob("*.out"))[:3]
    )
    print(json.dumps({"start": begin, "ledger": read(ledger), "words": words}), flush=True)
    os._exit(0)


def read(ledger):
    if not Path(ledger).exists():
        return []
    return [
        [float(word) for word in line.split()] for line in Path(ledger).read_text().splitlines()
    ]


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
