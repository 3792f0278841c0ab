"""How many points a goal asks for, found without calling anything that has effects."""

from __future__ import annotations

import time
from functools import partial
from types import SimpleNamespace

import adaptive
import pytest
from adaptive.runner import auto_goal

from adaptive_scheduler.core.goals import Goal, parse_goal, predicate
from adaptive_scheduler.evaluation.point_goals import asks_all, points_asked

WANTED = 20
calls: list[int] = []
data = {"as": "notebooks call it"}


def has_them(learner):
    known = learner.npoints
    return known > WANTED


def counts_its_calls(learner):
    calls.append(learner.npoints)
    return learner.npoints >= WANTED


def changes_what_it_sees(learner):
    global WANTED
    WANTED += 0
    return learner.npoints >= WANTED


def grows_a_list(learner):
    known = calls
    known += [1]
    return learner.npoints >= WANTED


class Enough:
    def __init__(self, n):
        self.n = n

    def __call__(self, learner):
        return learner.npoints >= self.n

    def is_met(self, learner):
        return learner.npoints >= self.n


def given(goal: object):
    return predicate(parse_goal(goal), None, lambda: 0.0, lambda: 0.0)


@pytest.mark.parametrize(
    ("goal", "n"),
    [
        (given(20), 20),
        (lambda learner: learner.npoints >= 20, 20),
        (lambda learner: learner.npoints > WANTED, 21),
        (lambda learner: not learner.npoints < 20, 20),
        (lambda learner: 20 <= learner.npoints, 20),  # noqa: SIM300
        (lambda learner: learner.npoints / 2 > 10, 21),
        (lambda learner: len(learner.data) >= WANTED, 20),
        (lambda learner: bool(learner.npoints >= max(7, WANTED)), 20),
        (partial(lambda n, learner: learner.npoints >= n, 30), 30),
        (auto_goal(npoints=20, learner=adaptive.Learner1D(abs, (0, 1))), 20),
        (has_them, 21),
        (Enough(1), 1),
        (Enough(9).is_met, 9),
        (lambda learner: learner.npoints >= 100_000, 100_000),
    ],
)
def test_a_number_of_points_is_found_in_every_form_of_goal(goal, n):
    assert points_asked(goal) == n
    assert not asks_all(goal)
    assert not goal(SimpleNamespace(npoints=n - 1, data=range(n - 1)))
    assert goal(SimpleNamespace(npoints=n, data=range(n)))


@pytest.mark.parametrize(
    "goal",
    [
        None,
        lambda learner: False,
        lambda learner: True,
        lambda learner: learner.loss() < 0.1,
        lambda learner: learner.npoints >= 20 and learner.loss() < 0.1,
        lambda learner: learner.loss() < 0.1 or learner.npoints >= 20,
        lambda learner: learner.done(),
        lambda learner: time.time() > 0 or learner.npoints > 20,
        lambda learner: learner.missing > 3,
        lambda learner: learner.npoints >= "20",
        print,
        given(0.1),
        predicate(Goal("duration", 5), None, lambda: 0.0, lambda: 0.0),
        predicate(Goal("until", 5), None, lambda: 0.0, lambda: 0.0),
    ],
)
def test_other_goals_have_no_known_number_of_points(goal):
    assert points_asked(goal) is None


@pytest.mark.parametrize("goal", [counts_its_calls, changes_what_it_sees, grows_a_list])
def test_a_goal_that_could_change_something_is_not_called(goal):
    assert points_asked(goal) is None
    assert not asks_all(goal)
    assert calls == []


def test_a_goal_of_all_points_is_recognised():
    assert asks_all(None)
    assert asks_all(lambda learner: learner.done())
    assert not asks_all(lambda learner: not learner.done())
    assert not asks_all(lambda learner: learner.loss() < 0.1)
