"""Initializers are checked, and assigned to learners."""

from __future__ import annotations

from functools import partial

import pytest

from adaptive_scheduler.core.initializers import check, in_order, of_learner
from adaptive_scheduler.errors import InputError


def a():
    pass


def b():
    pass


def test_a_list_of_functions_runs_for_every_learner():
    """Also where there are as many functions as learners."""
    for place in (0, 1):
        assert of_learner([a, b], place) == (a, b)
        assert of_learner(None, place) == of_learner([], place) == ()


def test_a_list_with_a_list_or_none_in_it_has_one_entry_for_each_learner():
    given = [[a], None, (a, b), b, []]
    check(given, 5)
    assert [of_learner(given, place) for place in range(5)] == [(a,), (), (a, b), (b,), ()]
    assert in_order(given, [3, 0, 1, 2, 4]) == [b, [a], None, (a, b), []]
    assert in_order([a, b], [1, 0]) == [a, b]
    assert in_order([], [0]) is None


@pytest.mark.parametrize("given", [[1], a, [[1]], [a, "b"], {"a": a}, [None, [[a]]]])
def test_a_wrong_initializer_is_refused(given):
    with pytest.raises(InputError, match="initializers="):
        check(given, 2)


def test_one_entry_too_few_is_refused_with_both_numbers():
    with pytest.raises(InputError, match="initializers has 2 entries for 3 learners"):
        check([[a], None], 3)


async def later():
    pass


def bit_by_bit():
    yield


class Later:
    async def __call__(self):
        pass


@pytest.mark.parametrize("late", [later, bit_by_bit, Later(), Later().__call__, partial(later)])
def test_an_async_or_generator_initializer_is_refused(late):
    for given in ([a, late], [[a], [late]]):
        with pytest.raises(InputError, match=r"initializers: .*plain function"):
            check(given, 2)
