"""A process is killed at random instants, again and again: all that it had acknowledged is on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crashes.killed import Killings
from tests.effort import times


@pytest.mark.timeout(3000)
def test_kill_9_of_the_whole_process(tmp_path: Path) -> None:
    killings = Killings(tmp_path, seed=3)
    for _ in range(times(20, 200)):
        killings.kill_one()
    print(killings.report())
    assert killings.checkpoints, "no kill came during a checkpoint"
