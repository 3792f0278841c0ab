"""`million`: a manager of a million queued calls: its memory, what it hands out, how it is opened again."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from adaptive_scheduler import Executor
from adaptive_scheduler.runs.driver.start_run import start_run
from benchmarks.figures import Figure
from benchmarks.tasks.bars import BARS
from benchmarks.tasks.pool import (
    PATIENCE,
    Blocked,
    manager_of,
    pool,
    same,
    wait_durable,
)

FEW, MANY = 10_000, 1_000_000
#: Calls that are handed out and answered for one value.
HANDED_OUT = 5_000


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """The calls wait while both slots are busy with others; then some of them run."""
    many = []
    with pool(is_left=True) as (executor, home):
        few = [seconds_of_each(executor, home, FEW) for _ in range(rounds)]
        before = memory(psutil.Process())
        blocked = Blocked(executor, home)
        futures = executor.submit_many(same, range(MANY))
        wait_durable(futures)
        future_size = (memory(psutil.Process()) - before) / MANY
        gc.collect()
        gc.freeze()  # the driver's million futures are not what is measured here
        size = memory(manager_of(executor)) / 1e9
        for number in range(rounds):
            own = futures[number * HANDED_OUT : (number + 1) * HANDED_OUT]
            wait_for_checkpoint(executor)
            many.append(drained(blocked, own))
            blocked = Blocked(executor, home)
        reopened = [reopen(executor) for _ in range(rounds)]
        gc.unfreeze()
    yield Figure(
        "million",
        "a million queued calls: memory of the manager",
        "GB",
        [size],
        bar=BARS["million"],
    )
    yield Figure(
        "million-hand-out", "one call handed out, run and collected, a million queued", "µs",
        many, few, BARS["million-hand-out"], "the same at 10,000",
    )  # fmt: skip
    yield Figure(
        "million-reopened",
        "until a new manager of it answers",
        "s",
        reopened,
        bar=BARS["million-reopened"],
    )
    yield Figure(
        "million-future", "memory of the driver for each future", "bytes", [future_size],
        bar=BARS["million-future"],
    )  # fmt: skip


def memory(process: psutil.Process) -> int:
    """Resident bytes."""
    return int(process.memory_info().rss)


def seconds_of_each(executor: Executor, home: Path, queued: int) -> float:
    """Microseconds of one call, when so many are queued."""
    blocked = Blocked(executor, home)
    futures = executor.submit_many(same, range(queued))
    wait_durable(futures)
    gc.collect()
    gc.freeze()
    wait_for_checkpoint(executor)
    value = drained(blocked, futures[:HANDED_OUT])
    gc.unfreeze()
    futures[-1].result(PATIENCE)
    return value


def wait_for_checkpoint(executor: Executor) -> None:
    """Wait until none runs: that of a million rows takes a core and the disk for some seconds."""
    manager, deadline = manager_of(executor), time.monotonic() + PATIENCE
    while manager.children():
        if time.monotonic() > deadline:
            raise RuntimeError(f"a checkpoint has not ended after {PATIENCE:.0f} s")
        time.sleep(0.05)


def drained(blocked: Blocked, futures: list) -> float:
    """Microseconds of each of these calls, which are the first in their order."""
    begin = time.perf_counter()
    blocked.release()
    for future in futures:
        future.result(PATIENCE)
    return 1e6 * (time.perf_counter() - begin) / len(futures)


def reopen(executor: Executor) -> float:
    """End the manager; returns the seconds until another one answers."""
    manager = manager_of(executor)
    manager.terminate()
    manager.wait(PATIENCE)
    begin = time.perf_counter()
    start_run(executor.folder, "tasks")
    return time.perf_counter() - begin
