"""`flat`: what a cycle costs at 100,000 learners over what it costs at 1,000."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.books import Books
from benchmarks.figures import Figure, at_most

FEW, MANY = 1_000, 100_000
#: So that 1,000 learners last, with the 64 that are held: they are made anew each time.
GROUPS = 14


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """Microseconds of one claim + finish; the comparisons are counted in the tests."""
    many, few = [], []
    for _ in range(5 * rounds):
        many.append(microseconds(MANY))
        few.append(microseconds(FEW))
    yield Figure(
        "flat", "one assign-core cycle at 100,000 learners over one at 1,000", "µs", many, few,
        at_most(1.3, "ratio"), "the same at 1,000 learners (adaptive-scheduler: ×100)",
    )  # fmt: skip


def microseconds(learners: int) -> float:
    """Of one cycle in a fresh database."""
    with tempfile.TemporaryDirectory() as home:
        return 1e6 / Books(Path(home), learners).cycles(GROUPS)
