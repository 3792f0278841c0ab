"""A process is killed at random instants, again and again: all that it reported as written is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crashes.killed import Killings
from tests.effort import times


@pytest.mark.timeout(3000)
def test_kill_9_of_the_whole_process(tmp_path: Path) -> None:
    killings = Killings(tmp_path, seed=3)
    kills = times(20, 200)
    while killings.lives < kills or (killings.checkpoints < 2 and killings.lives < 100 * kills):
        killings.kill_one()
    print(killings.report())
    assert killings.checkpoints >= 2, (
        "no checkpoint was being written, alone or with its manager killed"
    )
