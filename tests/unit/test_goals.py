"""What users give as a goal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from adaptive_scheduler.core.goals import Goal, parse_goal, predicate
from adaptive_scheduler.errors import InputError

MOMENT = datetime(2030, 1, 1, tzinfo=UTC)


def is_done(learner: object) -> bool:
    return bool(learner)


@pytest.mark.parametrize(
    ("given", "goal"),
    [
        (None, Goal("exhausted")),
        (100, Goal("npoints", 100)),
        (np.int64(5), Goal("npoints", 5)),
        (0.01, Goal("loss", 0.01)),
        (np.float32(0.5), Goal("loss", 0.5)),
        (Fraction(1, 2), Goal("loss", 0.5)),
        (timedelta(minutes=2), Goal("duration", 120)),
        (MOMENT, Goal("until", MOMENT.timestamp())),
        (is_done, Goal("callable")),
    ],
)
def test_a_goal_is_read_by_its_type(given: object, goal: Goal) -> None:
    assert parse_goal(given) == goal


@pytest.mark.parametrize(
    "given", [True, False, "10", [1], 0, -1, 0.0, -0.1, float("nan"), timedelta(0)]
)
def test_a_wrong_goal_is_refused(given: object) -> None:
    with pytest.raises(InputError, match="goal="):
        parse_goal(given)


def test_a_goal_becomes_a_function_of_the_learner() -> None:
    learner = SimpleNamespace(npoints=10, loss=lambda: 0.5)

    def test_of(goal: Goal, worked: float = 0.0, now: float = 0.0) -> bool:
        test: Callable[[object], bool] | None = predicate(
            goal, is_done, lambda: worked, lambda: now
        )
        assert test is not None
        found = test(learner)
        assert type(found) is bool
        return found

    assert test_of(Goal("npoints", 10))
    assert not test_of(Goal("npoints", 11))
    assert test_of(Goal("loss", 0.5))
    assert not test_of(Goal("loss", 0.4))
    assert test_of(Goal("duration", 60), worked=60)
    assert not test_of(Goal("duration", 60), worked=59, now=9e9)  # fault 5
    assert test_of(Goal("until", 50), now=50)
    assert not test_of(Goal("until", 50), now=49)
    assert test_of(Goal("callable"))
    assert predicate(Goal("exhausted"), None, lambda: 0.0, lambda: 0.0) is None


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("200", "for 200 points write goal=200"),
        (" 0.01 ", "for a loss of 0.01 write goal=0.01"),
        ("1e-3", "for a loss of 1e-3 write goal=1e-3"),
    ],
)
def test_a_number_in_a_text_gets_a_hint(given: str, hint: str) -> None:
    with pytest.raises(InputError, match=f"is of type str: {hint}. Give"):
        parse_goal(given)


@pytest.mark.parametrize("given", ["0", "0.0", "soon", ""])
def test_other_texts_get_no_such_hint(given: str) -> None:
    with pytest.raises(InputError, match=r"is of type str. Give"):
        parse_goal(given)
