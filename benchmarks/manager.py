"""`manager`: cost of a manager with 100,000 learners and 1,000 clients.

The clients are sockets of one process that beat each 10 s, as real ones are told to in runs of
that size; what they compute is not there.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.core_manager import make_run
from benchmarks.figures import Figure, at_most
from benchmarks.many_clients import ManyClients
from benchmarks.server import serving

LEARNERS, CLIENTS = 100_000, 1_000
BEAT = 10.0
#: Longer than the 50 s between two checkpoints.
SECONDS = 75.0
#: Seconds between two requests of the observer.
PAUSE = 0.002


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """Memory and CPU with heartbeats only; the longest answer during cycles and checkpoints."""
    memory, cpu, pause, bare = [], [], [], []
    with tempfile.TemporaryDirectory() as home:
        folder = make_run(Path(home), LEARNERS)
        with serving(folder) as (address, process):
            clients = ManyClients(folder, address, CLIENTS)
            clients.hello()
            tokens = clients.claim()
            before, begin = sum(process.cpu_times()[:2]), time.monotonic()
            while time.monotonic() - begin < 2 * BEAT:
                clients.beat(tokens)
                time.sleep(BEAT - (time.monotonic() - begin) % BEAT)
            cpu.append(100 * (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - begin))
            memory.append(process.memory_info().rss / 2**20)
            answer, oversleep = pauses(folder, address, process.pid)
            pause.append(answer)
            bare.append(oversleep)
            clients.close()
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
        "manager-pause", "longest answer during a checkpoint", "ms", pause, bare,
        at_most(20), "longest oversleep of the asker, which the machine causes",
    )  # fmt: skip


def pauses(folder, address, pid) -> tuple[float, float]:
    """Milliseconds of the longest answer during a checkpoint, and of the asker's longest oversleep.

    One client sends requests all the time while another works, so that there is a journal.
    """
    one, other = ManyClients(folder, address, 1, "one"), ManyClients(folder, address, 1, "other")
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
    while time.monotonic() < end and not (answers and not is_writing_checkpoint(pid)):
        begin = time.monotonic()
        time.sleep(PAUSE)
        asked = time.monotonic()
        one.beat({})
        if is_writing_checkpoint(pid):
            answers.append(time.monotonic() - asked)
            oversleeps.append(asked - begin - PAUSE)
    ending.set()
    worker.join()
    one.close()
    other.close()
    if not answers:
        raise RuntimeError(f"no checkpoint within {SECONDS} s")
    return 1000 * max(answers), 1000 * max(oversleeps)


def is_writing_checkpoint(pid: int) -> bool:
    """Whether a manager has a child process, which writes a checkpoint."""
    return bool(Path(f"/proc/{pid}/task/{pid}/children").read_text())
