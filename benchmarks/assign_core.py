"""`assign-core`: durable assignments without sockets.

Half of a group's time is the journal's fdatasync, line and encoding; the rest is one pass of
two requests through `DatabaseManager.handle`, `Book` and `step`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.books import Books
from benchmarks.figures import Figure, at_least

LEARNERS = 100_000
GROUPS = 400


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """Claim + finish in groups of 64, journal written, one fdatasync a group."""
    with tempfile.TemporaryDirectory() as home:
        books = Books(Path(home), LEARNERS)
        ours = [books.cycles(GROUPS) for _ in range(rounds)]
    yield Figure(
        "assign-core", "claim + finish, journal synced, groups of 64, 100,000 learners",
        "cycles/s", ours, bar=at_least(50_000),
    )  # fmt: skip
