"""Commands by a peer, two at a time on this machine: ``commands.py hyperqueue|mlrunner N``.

Prints how many shell commands `true` it runs in a second.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def hyperqueue(n):
    from hyperqueue import Job, LocalCluster
    from hyperqueue.cluster import WorkerConfig

    with LocalCluster(str(Path("server").absolute())) as cluster:
        cluster.start_worker(WorkerConfig(cores=2))
        client = cluster.client()
        client.wait_for_jobs([client.submit(programs(Job(), 20))])  # warm
        job = programs(Job(), n)
        # its client looks once a second whether all have ended: the last one says when it was begun
        add(job, "touch end", priority=-1)
        begin = time.time()
        assert client.wait_for_jobs([client.submit(job)])
        return n / (Path("end").stat().st_mtime - begin)


def programs(job, n):
    for _ in range(n):
        add(job, "true")
    return job


def add(job, text, **options):
    job.program(["/bin/sh", "-c", text], stdout=None, stderr=None, **options)


def mlrunner(n):
    """Its own start takes part of a second, which is measured by a run of one command."""
    return (n - 1) / (sweep(n) - sweep(1))


def sweep(n):
    Path("params.yaml").write_text(
        f"resource: [0, 1]\ntemplate:\n  one:\n    true {{x}}\n---\nx: {list(range(n))}\n"
    )
    begin = time.perf_counter()
    done = subprocess.run(
        [str(Path(sys.executable).parent / "run"), "-o", f"out-{n}"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert "No task failed" in done.stdout, done.stdout
    return time.perf_counter() - begin


if __name__ == "__main__":
    who, number = sys.argv[1:]
    # not removed here: ext4 looks through inodes that were deleted in the last minutes each time it
    # makes one, which would slow down whoever makes files next. Who calls removes it at the end.
    os.chdir(tempfile.mkdtemp())
    print({"hyperqueue": hyperqueue, "mlrunner": mlrunner}[who](int(number)))
