"""`learners`: 100,000 learners that share one function, written at `start()`.

Where the time goes (py-spy): two thirds are the pickling of each learner, a third of which is its own
`__getstate__`; a tenth are their names, made absolute and compared.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import adaptive

from adaptive_scheduler.runs.start.prepare import prepare
from adaptive_scheduler.scheduler import LocalScheduler
from adaptive_scheduler.server_support import RunManager
from benchmarks.environment import run_peer
from benchmarks.figures import Figure, at_most
from benchmarks.runners import peak

LEARNERS = 100_000


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """All that `start()` does before it starts the manager, the checks included."""
    seconds, files, peer = [], [], []
    learners = [adaptive.Learner1D(peak, (-1, 1 + n)) for n in range(LEARNERS)]
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as home:
            fnames = [f"{home}/data/learner_{n:06d}.pickle" for n in range(LEARNERS)]
            begin = time.perf_counter()
            run = RunManager(LocalScheduler(cores=1), learners, fnames, goal=0.01, folder=home)
            prepare(run._plan, run.folder)
            seconds.append(time.perf_counter() - begin)
            files.append(float(sum(path.is_file() for path in Path(home).rglob("*"))))
        if with_peer:
            peer.append(float(run_peer("learners.py", LEARNERS)))
    yield Figure(
        "learners", "100,000 learners of one function, written", "s", seconds, peer, at_most(8),
        "adaptive-scheduler 2.17.2, one file each",
    )  # fmt: skip
    yield Figure("learners-files", "files made for them", "files", files, bar=at_most(10))
