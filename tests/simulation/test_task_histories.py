"""Whole runs of tasks in virtual time: heads, drivers, pools, and all that goes wrong.

What is promised stands in `tests.simulation.task_oracle`.
"""

from __future__ import annotations

import pytest

from tests.effort import times
from tests.planting import planted
from tests.plants import TASKS, Plant, look_for, named
from tests.simulate import simulate_tasks
from tests.simulation import portions
from tests.simulation.fault_kinds import ENOUGH, TASK_FAULT_KINDS, fault_kinds_wrong
from tests.simulation.task_history import play_tasks

#: It only computes, in virtual time: ten times longer where ten others do.
pytestmark = pytest.mark.timeout(1200)


@pytest.mark.parametrize("start", range(0, times(200, 20_000), portions.PORTION))
def test_no_history_of_tasks_breaks_a_promise(start: int) -> None:
    portions.live_through(start, portions.TASKS)


def test_a_seed_of_tasks_gives_the_same_history_again() -> None:
    assert len({play_tasks(7, trace=True).digest for _ in range(2)}) == 1


def test_each_kind_of_fault_comes() -> None:
    """In a fifth of the histories after which it is a must."""
    tally = simulate_tasks(range(ENOUGH // 5))
    assert fault_kinds_wrong(tally.faults, ENOUGH, TASK_FAULT_KINDS) == []


@pytest.mark.parametrize("plant", TASKS, ids=lambda plant: plant.name)
def test_each_plant_still_fits_the_code(plant: Plant) -> None:
    assert planted(plant.changes)


@pytest.mark.parametrize(
    "name", ["a driver's resend counted twice", "half of a Submit kept", "tags ignored"]
)
def test_a_planted_bug_is_found(name: str) -> None:
    found = look_for(named(name), most=500)
    print(f"{name}: {found.violation} after {found.histories} histories, {found.cpu:.1f} s")
    assert found.seed >= 0
