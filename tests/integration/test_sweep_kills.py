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
    tasks = range(8)
    world.write(f"template: {{train: '{TRAIN}', test: '{TEST}'}}\nresource: [0, 1]\n---\n"
                f"x: {list(tasks)}\ns: [0.4]")  # fmt: skip
    world.run()
    again = 0
    for number in range(KILLS):
        begin = len(world.ledger)
        with world.begun("-f") as process:
            if number % 2:  # while it begins, too
                wait_until(lambda begin=begin: len(world.ledger) > begin)
            time.sleep(draw.uniform(0, 2))
            process.send_signal(signal.SIGKILL)
            process.wait()
        world.run()
        wait_until(lambda: not world.processes("adaptive_scheduler.manager"))
        assert set(world.codes()) == {0}
        assert len(world.codes()) == 2 * len(tasks)
        lines = Counter(world.ledger[begin:])
        for command in ("train", "test"):
            for x in tasks:
                begun, ended = lines[f"begin {command} {x}"], lines[f"end {command} {x}"]
                assert begun <= 2
                assert ended >= min(1, begun)
                again += max(0, begun - 1)
    # two slots, and as many that were ending just then
    assert again <= 4 * KILLS
    print(f"{KILLS} kills: {again} commands have begun again")
