"""`submit`: 10,000 jobs submitted, and one listing of a queue of 10,000."""

from __future__ import annotations

import gc
import os
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from adaptive_scheduler.core.config import JobLimits
from adaptive_scheduler.core.jobs.batch_jobs import PENDING, RUNNING, JobId, ListedJob
from adaptive_scheduler.core.jobs.commands import ListQueue, QueueListing, SubmitJobs, Submitted
from adaptive_scheduler.core.jobs.job_table import JobTable
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.item_table import ItemTable
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.core.rows.run_state import RunState
from adaptive_scheduler.core.wire.messages import Claim, Hello, Owner
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.manager.batch_worker import BatchWorker
from adaptive_scheduler.manager.clients import DatabaseManager, Moment
from adaptive_scheduler.manager.jobs import JobManager
from adaptive_scheduler.schedulers.slurm import SLURM
from benchmarks.cluster import cluster
from benchmarks.core_manager import config
from benchmarks.figures import Figure, at_most

JOBS, ARRAY = 10_000, 1_000
#: Jobs submitted without arrays; the result is scaled to all.
ONE_BY_ONE = 200
SETTINGS = {"MaxJobCount": "50000", "MaxArraySize": "1001"}


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """The manager's batch worker with a private Slurm whose nodes are drained."""
    seconds, requests, looks, peer = [], [], [], []
    for _ in range(rounds):
        with cluster(SETTINGS) as slurm, tempfile.TemporaryDirectory() as home:
            os.environ["SLURM_CONF"] = slurm.env["SLURM_CONF"]
            slurm.scontrol("update", "NodeName=n[1-4]", "State=DRAIN", "Reason=bench")
            batch = _batch(Path(home))
            before = _requests(slurm)
            begin = time.perf_counter()
            for number in range(JOBS // ARRAY):
                result = batch.carry_out(SubmitJobs(0, ARRAY, number, "bench"))
                if not isinstance(result, Submitted):
                    raise RuntimeError(f"not submitted: {result}")
            seconds.append(time.perf_counter() - begin)
            requests.append(_requests(slurm) - before)
            looks.append(1000 * _parse(batch))
            if with_peer:
                peer.append(_one_by_one(slurm, Path(home)))
    yield Figure(
        "submit", "10,000 jobs handed in", "s", seconds, peer, at_most(2),
        "one sbatch each, 200 of them times 50",
    )  # fmt: skip
    yield Figure(
        "submit-requests",
        "controller requests for them (sdiag)",
        "requests",
        requests,
        bar=at_most(30),
    )
    yield Figure("submit-look", "one look at 10,000 rows, parsed", "ms", looks, bar=at_most(50))
    yield Figure(
        "submit-judge", "the same taken in and judged, while answers wait", "ms",
        [1000 * _judge() for _ in range(rounds)], bar=at_most(20),
    )  # fmt: skip


def _batch(home: Path) -> BatchWorker:
    settings = msgspec.structs.replace(
        config(), shapes=[Resources(cores=1)], log_folder=str(home / "logs")
    )
    folder = RunFolder(home)
    for private in (folder.folder, folder.scripts):
        files.private_folder(private)
    return BatchWorker(SLURM(cores=1), settings, folder, lambda _: None, _script)


def _script(*_) -> str:
    return "#!/bin/sh\nsleep 1\n"


def _requests(slurm) -> float:
    """Number of messages that the controller has served, without those of `sdiag`."""
    text = slurm.run("sdiag").stdout
    counts = re.findall(
        r"^\s*REQUEST_\w*(?:SUBMIT|JOB_INFO)\w*\s*\(\s*\d+\)\s*count:(\d+)", text, re.MULTILINE
    )
    return float(sum(map(int, counts)))


def _parse(batch: BatchWorker) -> float:
    """Seconds of our code for a listing, without the time of the command."""
    result = batch._run(batch._scheduler.queue_command())
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        rows = batch._scheduler.parse_queue(result)
        times.append(time.perf_counter() - begin)
        assert len(rows) == JOBS
    assert isinstance(batch.carry_out(ListQueue()), QueueListing)
    return min(times)


def _judge() -> float:
    """Seconds of a manager for a listing of jobs of which four fifths run."""
    names = [JobId(f"{1 + n // ARRAY}_{n % ARRAY}") for n in range(JOBS)]
    table = ItemTable(Item(n, f"data/{n}", Phase.QUEUED) for n in range(2 * JOBS))
    settings = msgspec.structs.replace(config(), limits=JobLimits(max_jobs=JOBS))
    run = RunState(table, JobTable([], [], 0.0), settings)
    clients = DatabaseManager(run)
    for n in range(JOBS // ARRAY):
        submit = run.jobs.begin_submit(0, ARRAY, "bench", 0.0, 0.0)
        run.jobs.end_submit(submit.number, names[n * ARRAY : (n + 1) * ARRAY], 0.0)
    running = JOBS * 4 // 5
    for name in names[:running]:
        owner = Owner(name, 0, 0, name)
        clients.handle(owner, 1, Hello("node", 1, 1, 1), Moment(1.0, 1.0))
        clients.handle(owner, 2, Claim(), Moment(1.0, 1.0))
    rows = [
        ListedJob(
            name, *((RUNNING, "R") if n < running else (PENDING, "PD")), nodes=(f"n{n % 500}",)
        )
        for n, name in enumerate(names)
    ]
    manager = JobManager(run)
    manager.configure(settings, "slurm", ARRAY)
    gc.collect()
    gc.freeze()  # as a manager does after it has read its tables
    times = []
    for second in range(5):
        begin = time.perf_counter()
        tasks = manager.on_result(QueueListing(rows), Moment(2.0 + second, 2.0 + second))
        times.append(time.perf_counter() - begin)
        assert tasks == []  # nothing to do
    gc.unfreeze()
    return statistics.median(times)


def _one_by_one(slurm, home: Path) -> float:
    script = home / "one.sh"
    script.write_text(_script())
    begin = time.perf_counter()
    for _ in range(ONE_BY_ONE):
        slurm.run("sbatch", "-o", os.devnull, str(script))
    return JOBS / ONE_BY_ONE * (time.perf_counter() - begin)
