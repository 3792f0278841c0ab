"""`manager`: what a manager of 100,000 learners costs while 1,000 clients work.

The clients are sockets of one process that beat each 10 s, as real ones are told to in runs of
that size; what they compute is not there.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.books import make_run
from benchmarks.figures import Figure, at_most
from benchmarks.server import serving
from benchmarks.swarm import Swarm

LEARNERS, CLIENTS = 100_000, 1_000
BEAT = 10.0
#: Longer than the 50 s between two folds.
SECONDS = 75.0
#: Between two questions.
PAUSE = 0.002


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """Memory and CPU with beats alone; the longest answer while cycles go on and folds come."""
    memory, cpu, pause, bare = [], [], [], []
    with tempfile.TemporaryDirectory() as home:
        folder = make_run(Path(home), LEARNERS)
        with serving(folder) as (address, process):
            swarm = Swarm(folder, address, CLIENTS)
            swarm.hello()
            tokens = swarm.claim()
            before, begin = sum(process.cpu_times()[:2]), time.monotonic()
            while time.monotonic() - begin < 2 * BEAT:
                swarm.beat(tokens)
                time.sleep(BEAT - (time.monotonic() - begin) % BEAT)
            cpu.append(100 * (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - begin))
            memory.append(process.memory_info().rss / 2**20)
            answer, oversleep = pauses(folder, address, process.pid)
            pause.append(answer)
            bare.append(oversleep)
            swarm.close()
    yield Figure(
        "manager-memory",
        f"{LEARNERS:,} learners, {CLIENTS:,} clients",
        "MiB",
        memory,
        bar=at_most(200),
    )
    yield Figure(
        "manager-cpu",
        f"beats of {CLIENTS:,} clients each {BEAT:.0f} s",
        "% of a core",
        cpu,
        bar=at_most(1),
    )
    yield Figure(
        "manager-pause", "longest answer while the journal is folded", "ms", pause, bare,
        at_most(20), "longest oversleep of who asks: the machine's own",
    )  # fmt: skip


def pauses(folder, address, pid) -> tuple[float, float]:
    """Milliseconds of the longest answer, and of the longest oversleep of who asks, during a fold.

    One client asks on and on while another works, so that there is a journal to fold.
    """
    one, other = Swarm(folder, address, 1, "one"), Swarm(folder, address, 1, "other")
    one.hello()
    other.hello()
    ending = threading.Event()

    def work() -> None:
        while not ending.is_set():
            other.cycles(1)
            time.sleep(0.05)

    worker = threading.Thread(target=work)
    worker.start()
    answers, oversleeps = [], []
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and not (answers and not is_folding(pid)):
        begin = time.monotonic()
        time.sleep(PAUSE)
        asked = time.monotonic()
        one.beat({})
        if is_folding(pid):
            answers.append(time.monotonic() - asked)
            oversleeps.append(asked - begin - PAUSE)
    ending.set()
    worker.join()
    one.close()
    other.close()
    if not answers:
        raise RuntimeError(f"no fold within {SECONDS} s")
    return 1000 * max(answers), 1000 * max(oversleeps)


def is_folding(pid: int) -> bool:
    """Whether a manager has a child: the process that folds."""
    return bool(Path(f"/proc/{pid}/task/{pid}/children").read_text())
