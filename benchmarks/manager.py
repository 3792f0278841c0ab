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


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """Memory and CPU with beats alone; the longest answer while cycles go on and folds come."""
    memory, cpu, pause = [], [], []
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
            pause.append(longest_pause(folder, address))
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
        "manager-pause", "longest answer while the journal is folded", "ms", pause, bar=at_most(20)
    )


def longest_pause(folder, address) -> float:
    """Milliseconds of the longest answer to one client that asks on and on, while another works."""
    one, other = Swarm(folder, address, 1, "one"), Swarm(folder, address, 1, "other")
    one.hello()
    other.hello()
    ending = threading.Event()

    def work() -> None:  # so that there is a journal to fold
        while not ending.is_set():
            other.cycles(1)
            time.sleep(0.05)

    worker = threading.Thread(target=work)
    worker.start()
    one.waits.clear()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        one.beat({})
        time.sleep(0.002)
    ending.set()
    worker.join()
    longest = max(one.waits)
    one.close()
    other.close()
    return 1000 * longest
