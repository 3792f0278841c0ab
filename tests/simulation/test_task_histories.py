"""Histories of tasks: drivers, heads, a manager that is killed, and messages that are late or lost.

What is promised stands in `tests.simulation.task_history`.
"""

from __future__ import annotations

import pytest

from tests.effort import times
from tests.planting import planted
from tests.plants import TASKS, Plant, look_for, named
from tests.simulate import simulate_tasks
from tests.simulation.task_history import TASK_FAULTS

PORTION = 250


@pytest.mark.parametrize("start", range(0, times(1000, 100_000), PORTION))
def test_no_history_of_tasks_breaks_a_promise(start: int) -> None:
    tally = simulate_tasks(range(start, start + PORTION))
    assert not tally.violations, "\n".join(
        f"seed {seed}: {words}" for seed, words in tally.violations
    )
    print(
        f"{tally.histories / tally.seconds * 3600:,.0f} an hour of one core's CPU, {tally.total[0]} "
        f"tasks, {tally.total[1]} jobs, {tally.faults.total()} faults"
    )
    assert set(tally.faults) == TASK_FAULTS, "each kind of fault comes"


@pytest.mark.parametrize("plant", TASKS, ids=lambda plant: plant.name)
def test_each_plant_still_fits_the_code(plant: Plant) -> None:
    assert planted(plant.changes)


@pytest.mark.parametrize(
    "name",
    ["a double booking at a release", "order inverted after a re-sort", "half of a Submit kept"],
)
def test_a_planted_bug_is_found(name: str) -> None:
    found = look_for(named(name), most=500)
    print(f"{name}: {found.violation} after {found.histories} histories, {found.cpu:.1f} s")
    assert found.seed >= 0
