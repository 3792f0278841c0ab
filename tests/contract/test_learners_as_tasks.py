"""Every kind of learner on an `Executor`: reaches its goal, keeps every evaluation, goes on after its driver."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from adaptive_scheduler import Executor, Runner, scheduler
from adaptive_scheduler.evaluation.learners.store import LearnerStore
from adaptive_scheduler.evaluation.refits import is_ranking
from adaptive_scheduler.io.learner_data import adaptive_private
from adaptive_scheduler.runs.runner import points_wanted
from tests.contract.learner_kinds import count, fname_of, kinds
from tests.integration.ledger import Ledger, held

KINDS = list(kinds())
PATIENCE = 120.0
#: On two slots: all may come back together.
MOST_IN_FLIGHT = 2 + 2 * points_wanted.MOST_AHEAD


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    with Executor(scheduler.Here(slots=2), tmp_path_factory.mktemp("tasks") / "run") as executor:
        yield executor


def ledgers(tmp_path: Path) -> tuple[Callable[..., Ledger], Callable[[], list[str]]]:
    made: list[Ledger] = []

    def wrap(function: Any) -> Ledger:
        made.append(Ledger(tmp_path / f"ledger-{len(made)}", function))
        return made[-1]

    return wrap, lambda: [line for ledger in made for line in ledger.lines()]


@pytest.mark.usefixtures("nobody_is_late")
@pytest.mark.parametrize("name", KINDS)
def test_goal_is_reached_and_the_next_driver_computes_nothing_twice(
    name: str, executor: Executor, tmp_path: Path
) -> None:
    wrap, lines = ledgers(tmp_path)
    make, goal = kinds(wrap)[name]
    learner = make()
    outcome = Runner(learner, executor, goal, name=name).start().wait(PATIENCE)
    assert (outcome.reason, outcome.error) == ("goal", None)
    assert goal is None or goal(learner)
    if isinstance(goal, partial):  # a number of points
        asked, each = goal.args[0], adaptive_private.counts_each(learner)
        assert asked <= learner.npoints
        # all candidates are submitted at once: what has ended before the others are withdrawn counts
        assert learner.npoints <= asked + (0 if each else MOST_IN_FLIGHT) or is_ranking(learner)
    assert count(learner) == outcome.new_points
    # an integral may be done while points are in flight that it needs no more: these are withdrawn,
    # and how many of them were evaluated before is a matter of speed
    withdrawn = len(lines()) - count(learner)
    assert withdrawn >= 0 if name == "IntegratorLearner" else withdrawn == 0
    assert max(Counter(row["key"] for row in executor.tasks()).values()) == 1

    # as after the death of a driver that had no data file: its tasks are all that is known
    again, before = make(), len(lines())
    with Executor.attach(executor.folder.home) as attached:
        outcome = Runner(again, attached, goal, name=name).start().wait(PATIENCE)
    assert outcome.reason == "goal"
    assert len(lines()) == before or name == "IntegratorLearner"  # see test_learners.py
    assert len(set(lines()[before:]).intersection(lines()[:before])) <= withdrawn
    if name != "IntegratorLearner":
        assert held(again) == held(learner)


@pytest.mark.parametrize("name", KINDS)
def test_values_are_told_together_and_data_are_saved(
    name: str, executor: Executor, tmp_path: Path
) -> None:
    wrap, lines = ledgers(tmp_path)
    make, goal = kinds(wrap)[name]
    learner, fname = make(), fname_of(name, tmp_path / "data")
    runner = Runner(
        learner, executor, goal, name=f"{name}, together", fname=fname, refit_every=7, ahead=5
    )
    outcome = runner.start().wait(PATIENCE)
    assert (outcome.reason, outcome.error, outcome.saved) == ("goal", None, True)
    assert len(lines()) == count(learner) == len(set(lines())) or name.startswith("Balancing")
    again = make()
    LearnerStore(again, fname).load()
    assert held(again) == held(learner)
