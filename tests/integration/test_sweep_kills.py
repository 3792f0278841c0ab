"""A sweep that is killed at random instants, and run again: a ledger tells what has begun."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.effort import times
from tests.integration.sweeps import TEST, TRAIN, SweepWorld, wait_until

#: Instants at which a sweep is killed.
KILLS = times(3, 50)


@pytest.fixture
def world(tmp_path: Path) -> SweepWorld:
    return SweepWorld(tmp_path)


def test_a_sweep_killed_at_any_instant_goes_on_and_repeats_only_what_ran(world: SweepWorld) -> None:
    draw = random.Random(13)
    world.write(f"template: {{train: '{TRAIN}', test: '{TEST}'}}\nresource: [0, 1]\n---\n"
                f"x: {list(range(12))}\ns: [0.1]")  # fmt: skip
    ran = 0
    for _ in range(KILLS):
        with world.begun("-f") as process:
            begin = len(world.ledger)
            wait_until(lambda begin=begin: len(world.ledger) > begin)
            time.sleep(draw.uniform(0, 0.9))
            process.send_signal(signal.SIGKILL)
            process.wait()
        world.run()
        lines = Counter(world.ledger[begin:])
        assert set(world.codes()) == {0}
        assert len(world.codes()) == 24
        for command in ("train", "test"):
            for x in range(12):
                begun, ended = lines[f"begin {command} {x}"], lines[f"end {command} {x}"]
                assert ended >= 1
                assert begun <= 2
                # what has ended was not begun again, unless the kill fell between its end and its row
                ran += begun - 1
    assert ran <= 4 * KILLS, "two slots, and as many commands that were ending at the kill"
    print(f"{KILLS} kills: {ran} commands have begun again")
