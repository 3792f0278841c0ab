"""`prioritise`: 100,000 new priorities among a million queued calls, while calls run."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from benchmarks.figures import Figure
from benchmarks.tasks.bars import BARS
from benchmarks.tasks.pool import PATIENCE, pool, wait_durable

QUEUED, CHANGED = 1_000_000, 100_000
CALL_SECONDS = 0.01


def begun(seconds: float) -> float:
    """Take a while; returns when it was begun, on the clock that all processes share."""
    import time

    begin = time.monotonic()
    time.sleep(seconds)
    return begin


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """From `update_priorities` to the begin of the best one, which has to wait for a slot, too."""
    returned, first = [], []
    draw = random.Random(1)
    with pool(is_left=True) as (executor, _):
        futures = executor.submit_many(begun, [CALL_SECONDS] * QUEUED)
        wait_durable(futures)
        for number in range(1, rounds + 1):
            some = draw.sample(futures[QUEUED // 10 :], CHANGED)
            priorities = [number + draw.random() for _ in some]
            best = max(zip(priorities, range(CHANGED), strict=True))[1]
            begin = time.monotonic()
            executor.update_priorities(some, priorities)
            returned.append(time.monotonic() - begin)
            first.append(some[best].result(PATIENCE) - begin)
    yield Figure(
        "prioritise", "100,000 new priorities among a million calls: until the best one has begun",
        "s", first, bar=BARS["prioritise"],
    )  # fmt: skip
    yield Figure("prioritise-returned", "until `update_priorities` returns", "s", returned)
