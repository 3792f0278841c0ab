"""`assign-core`: durable assignments without sockets.

It falls short of its bar where the machine is slow. Where the time of a cycle goes, at best and
(median) in microseconds: the request through `DatabaseManager.handle`, `Book` and `step`, which
finishes one row and claims the next, 8 (15), spread over some twenty small functions; the two rows
encoded and written 2 (4); a 64th of an fsync of 0.35 to 0.7 ms, 5.4 (11). The last two are the figure
beside ours.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from adaptive_scheduler.core.rows.row import Item, Phase
from benchmarks.core_manager import CoreManager
from benchmarks.figures import Figure, at_least

LEARNERS = 100_000
GROUPS = 300


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """Claim + finish in groups of 64, journal written, one fdatasync a group.

    A finish claims the next learner, as it does for clients: one request, two rows.
    """
    with tempfile.TemporaryDirectory() as home:
        manager = CoreManager(Path(home), LEARNERS)
        ours, apart, alone = [], [], []
        for _ in range(rounds):
            ours.append(manager.cycles(GROUPS))
            apart.append(manager.cycles(GROUPS // 4, apart=True))
            alone.append(bare(Path(home), GROUPS))
    yield Figure(
        "assign-core", "claim + finish, journal synced, groups of 64, 100,000 learners",
        "cycles/s", ours, alone, at_least(50_000), "bare: two lines encoded and written, fsync",
    )  # fmt: skip
    yield Figure(
        "assign-core-apart", "the same where the claim is a request of its own", "cycles/s", apart
    )


def bare(home: Path, groups: int, size: int = 64) -> float:
    """Cycles per second if two rows are only encoded, written and synced, in groups."""
    item = Item(99_999, "data/learner_099999.pickle", Phase.DONE, token=1_234_567, attempts=1)
    encode = msgspec.json.Encoder().encode
    with (home / "bare.jsonl").open("ab", buffering=0) as file:
        begin = time.perf_counter()
        for _ in range(groups):
            lines = [encode(("items", "99999", item)) for _ in range(2 * size)]
            file.write(b"\n".join(lines) + b"\n")
            os.fsync(file.fileno())
        return groups * size / (time.perf_counter() - begin)
