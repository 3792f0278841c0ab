"""`calls-submit`: 20,000 calls submitted, while somebody else asks the manager something."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.figures import Figure
from benchmarks.tasks.bars import BARS
from benchmarks.tasks.observer import observed
from benchmarks.tasks.pool import PATIENCE, Blocked, pool, same, wait_durable

CALLS = 20_000


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """Until `submit_many` returns, and until all of them are on disk; the slots are busy meanwhile."""
    returned, durable, answers, oversleeps = [], [], [], []
    with pool() as (executor, home):
        for _ in range(rounds):
            blocked = Blocked(executor, home)
            with observed(executor.folder) as found:
                begin = time.perf_counter()
                futures = executor.submit_many(same, range(CALLS))
                returned.append(time.perf_counter() - begin)
                wait_durable(futures)
                durable.append(time.perf_counter() - begin)
            answers.append(found[0])
            oversleeps.append(found[1])
            blocked.release()
            futures[-1].result(PATIENCE)
    yield Figure(
        "calls-submit",
        "20,000 calls submitted, and on disk",
        "s",
        durable,
        bar=BARS["calls-submit"],
    )
    yield Figure("calls-submit-returned", "until `submit_many` returns", "s", returned)
    yield Figure(
        "calls-submit-answer", "longest answer to another client meanwhile", "ms", answers,
        oversleeps, BARS["calls-submit-answer"], "longest oversleep of the asker, which the machine causes",
    )  # fmt: skip
