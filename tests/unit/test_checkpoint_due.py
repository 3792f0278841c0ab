"""When the file that people open is brought up to date: it costs more, the more rows there are."""

from __future__ import annotations

import pytest

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.manager.persistence import CHECKPOINT_INTERVAL
from adaptive_scheduler.testing.clock import Clock
from adaptive_scheduler.testing.manager import VirtualManager


class Rows(list[None]):
    """So many rows, without the rows."""

    def __init__(self, n: int) -> None:
        self._n = n

    def __len__(self) -> int:
        return self._n


@pytest.mark.parametrize(
    ("rows", "lines", "seconds", "due"),
    [
        (60, 1, CHECKPOINT_INTERVAL - 1, False),
        (60, 1, CHECKPOINT_INTERVAL, True),
        (60, 9_999, 30.0, False),
        (60, 10_001, 9.0, False),
        (60, 10_001, 11.0, True),
        (100_000, 40_000, 30.0, False),
        (100_000, 51_000, 30.0, True),
        (1_000_000, 10_000, 60.0, False),
        (1_000_000, 10_000, 3600.0, False),
        (1_000_000, 51_000, 30.0, False),
        (1_000_000, 51_000, 60.0, True),
        (1_000_000, 501_000, 11.0, True),
    ],
)
def test_a_checkpoint_is_due(rows: int, lines: int, seconds: float, due: bool) -> None:
    manager = VirtualManager([], RunConfig("run", [Resources()], ["job"], "/logs"), Clock())
    persistence, begun = manager.dispatcher.persistence, list[bool]()
    manager.store.begin_checkpoint = begun.append  # type: ignore[method-assign]
    persistence.checkpoint_if_due(100.0)
    manager.state.items.rows = Rows(rows)  # type: ignore[assignment]
    manager.store.lines = lines
    persistence.checkpoint_if_due(100.0 + seconds)
    assert bool(begun) == due


@pytest.mark.parametrize(("size", "seconds", "due"), [(2**26, 2.0, False), (2**28, 2.0, True)])
def test_a_checkpoint_is_due_before_large_facts_fill_the_memory(
    size: int, seconds: float, due: bool
) -> None:
    manager = VirtualManager([], RunConfig("run", [Resources()], ["job"], "/logs"), Clock())
    persistence, begun = manager.dispatcher.persistence, list[bool]()
    manager.store.begin_checkpoint = begun.append  # type: ignore[method-assign]
    persistence.checkpoint_if_due(100.0)
    manager.store.lines, manager.store.size = 10, size
    persistence.checkpoint_if_due(100.0 + seconds)
    assert bool(begun) == due
