"""`calls`, `calls-1ms`, `calls-latency`: how fast single calls go through a warm pool of two workers."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from adaptive_scheduler import Executor
from benchmarks.figures import Figure
from benchmarks.tasks.bars import BARS
from benchmarks.tasks.pool import PATIENCE, SLOTS, peer_value, pool, same, sleep

CALLS, CALLS_1MS, CALLS_LATENCY = 40_000, 4_000, 300
#: So many that each peer takes about two seconds.
PEER_CALLS = {"executorlib": 10_000, "parsl": 2_000, "dask": 1_000}
PEER_LATENCY = {"parsl": 200, "executorlib": 100, "dask": 100}


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """Calls that do nothing, from `submit` to the last result; each is durable before and after."""
    rates: list[float] = []
    peers: dict[str, list[float]] = {name: [] for name in PEER_CALLS if with_peer}
    with pool() as (executor, _):
        for _ in range(rounds):
            rates.append(rate(executor, CALLS))
            for name, values in peers.items():
                values.append(peer_value("calls.py", name, "rate", PEER_CALLS[name]))
    yield Figure(
        "calls", "no-op calls, from the driver and back to it, two workers, durable", "calls/s",
        rates, bar=BARS["calls"],
    )  # fmt: skip
    for name, values in peers.items():
        yield Figure(
            f"calls-{name}", f"the same beside {name}", "calls/s", rates, values,
            BARS[f"calls-{name}"], f"{name}, not durable",
        )  # fmt: skip


def rate(executor: Executor, n: int) -> float:
    """Calls per second, from the first submit to the last result."""
    begin = time.perf_counter()
    futures = executor.submit_many(same, range(n))
    values = [future.result(PATIENCE) for future in futures]
    seconds = time.perf_counter() - begin
    assert values == list(range(n))
    return n / seconds


def measure_1ms(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """Calls that sleep for a millisecond: the share of both slots' time that they fill."""
    ours, bare = [], []
    with pool() as (executor, _), bare_workers() as two:
        executor.submit(sleep, 0.001).result(PATIENCE)
        for _ in range(rounds):
            begin = time.perf_counter()
            for future in executor.submit_many(sleep, [0.001] * CALLS_1MS):
                future.result(PATIENCE)
            ours.append(share(time.perf_counter() - begin))
            bare.append(share(max(two.map(partial(sleep_often, 0.001), [CALLS_1MS // 2] * 2))))
    yield Figure(
        "calls-1ms", "calls of 1 ms: share of two slots used", "", ours, bare, BARS["calls-1ms"],
        "bare: two processes that call it in a loop; what is missing is the sleep's own lateness",
    )  # fmt: skip


def bare_workers() -> ProcessPoolExecutor:
    """Return two processes; not forked: this one has threads, whose locks a fork would copy."""
    return ProcessPoolExecutor(SLOTS, get_context("spawn"))


def share(seconds: float) -> float:
    """Part of the slots' time that calls of a millisecond should have taken."""
    return CALLS_1MS * 0.001 / SLOTS / seconds


def sleep_often(seconds: float, n: int) -> float:
    """Call `sleep` in a loop; returns the seconds that this took."""
    begin = time.perf_counter()
    for _ in range(n):
        sleep(seconds)
    return time.perf_counter() - begin


def measure_latency(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """One call after the other: each waits for the result of the one before."""
    ours: list[float] = []
    peers: dict[str, list[float]] = {name: [] for name in PEER_LATENCY if with_peer}
    with pool() as (executor, _):
        for _ in range(rounds):
            ours.append(latency(executor))
            for name, values in peers.items():
                values.append(peer_value("calls.py", name, "latency", PEER_LATENCY[name]))
    yield Figure(
        "calls-latency", "one call on a warm pool, and its result, median", "ms", ours,
        bar=BARS["calls-latency"],
    )  # fmt: skip
    for name, values in peers.items():
        yield Figure(
            f"calls-latency-{name}", f"the same beside {name}", "ms", ours, values,
            BARS.get(f"calls-latency-{name}"), f"{name}, not durable",
        )  # fmt: skip


def latency(executor: Executor) -> float:
    """Milliseconds, the median."""
    times = []
    for x in range(CALLS_LATENCY):
        begin = time.perf_counter()
        assert executor.submit(same, x).result(PATIENCE) == x
        times.append(time.perf_counter() - begin)
    return 1000 * statistics.median(times)
