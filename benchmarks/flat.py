"""`flat`: the time of a cycle with 100,000 learners, relative to 1,000 learners."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.core_manager import CoreManager
from benchmarks.figures import Figure, at_most

FEW, MANY = 1_000, 100_000
#: Few enough that 1,000 learners suffice; the database is created again for each measurement.
GROUPS = 14


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """Microseconds of one claim + finish."""
    many, few = [], []
    for _ in range(5 * rounds):
        many.append(microseconds(MANY))
        few.append(microseconds(FEW))
    yield Figure(
        "flat", "one assign-core cycle at 100,000 learners over one at 1,000", "µs", many, few,
        at_most(1.3, "ratio"), "the same at 1,000 learners (adaptive-scheduler: ×100)",
    )  # fmt: skip


def microseconds(learners: int) -> float:
    """Microseconds of one cycle in a new database."""
    with tempfile.TemporaryDirectory() as home:
        return 1e6 / CoreManager(Path(home), learners).cycles(GROUPS)
