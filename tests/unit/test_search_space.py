"""The space of a search, near copies in it, and the numbers of points."""

from __future__ import annotations

import itertools
from random import Random
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adaptive_scheduler import Choices, Range
from adaptive_scheduler.core.searches.nearby import NEAR, Nearby
from adaptive_scheduler.core.searches.space import Space, parse_space
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.optimizers.numbers import Numbers

DROP = {"drop": (0, 0.9), "batch_size": [16, 32, 64, 128, 256, 512]}


def test_a_tuple_is_a_range_and_a_list_a_choice():
    space = parse_space({**DROP, "layers": (1, 8), "rate": (1e-5, 0.1, "log")})
    assert space.axes == (
        Range(0, 0.9), Choices((16, 32, 64, 128, 256, 512)), Range(1, 8), Range(1e-5, 0.1, log=True),
    )  # fmt: skip
    assert [getattr(axis, "is_whole", None) for axis in space.axes] == [False, None, True, False]


def test_a_file_of_yaml_says_range_by_its_name():
    space = parse_space(
        {"a": {"range": [0, 1]}, "b": {"range": ["1e-5", 1], "log": True}, "c": {"choice": [1]}}
    )
    assert space.axes == (Range(0, 1), Range(1e-5, 1, log=True), Choices((1,)))


def test_dimensions_of_scikit_optimize_are_taken_as_they_are():
    from skopt import Space as Theirs
    from skopt.space import Categorical, Integer, Real

    dimensions = [
        Real(0, 0.9, name="drop"), Integer(1, 8, name="n"), Categorical(["a", "b"], name="kind"),
        Real(1e-5, 0.1, prior="log-uniform", name="rate"),
    ]  # fmt: skip
    expected = Space(
        {"drop": Range(0, 0.9), "n": Range(1, 8), "kind": Choices(("a", "b")),
         "rate": Range(1e-5, 0.1, log=True)}
    )  # fmt: skip
    assert parse_space(dimensions) == parse_space(Theirs(dimensions)) == expected
    assert parse_space(SimpleNamespace(space=Theirs(dimensions))) == expected


@pytest.mark.parametrize(
    ("given_space", "words"),
    [
        ({}, "no parameters"),
        ({"x": (1, 1)}, "x: .*low end must be below"),
        ({"x": (2, 1)}, "low end must be below"),
        ({"x": (0, 1, "log")}, "above 0"),
        ({"x": (0, 1, 2)}, "no range"),
        ({"x": (0, float("inf"))}, "finite"),
        ({"x": ("a", "b")}, "must be numbers"),
        ({"x": []}, "no values"),
        ({"x": [1], "y": ["a"]}, "only one point"),
        ({"x": [1, 2, 1]}, "1 twice"),
        ({"x": [[1], [2]]}, "cannot be chosen"),
        ({"x": 3}, "neither a range"),
        ({"x": {"rang": [0, 1]}}, "range: \\[low, high\\]"),
        ({"_x": (0, 1)}, "no name of a parameter"),
        ({"x y": (0, 1)}, "no name of a parameter"),
        ([(0, 1)], "by its name"),
        (3, "by its name"),
    ],
)  # fmt: skip
def test_a_space_that_is_none_is_refused_by_name(given_space, words):
    with pytest.raises(InputError, match=words):
        parse_space(given_space)


AXES = st.one_of(
    st.tuples(st.integers(-50, 50), st.integers(1, 100)).map(lambda p: Range(p[0], p[0] + p[1])),
    st.tuples(st.floats(-5, 5), st.floats(0.1, 10)).map(lambda p: Range(p[0], p[0] + p[1] + 0.1)),
    st.tuples(st.floats(1e-6, 1), st.floats(1.5, 1e6)).map(lambda p: Range(p[0], p[0] * p[1], log=True)),
    st.lists(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3)),
        min_size=2, max_size=6, unique_by=lambda one: (type(one), one),
    ).map(lambda values: Choices(tuple(values))),
)  # fmt: skip
SPACES = st.lists(AXES, min_size=1, max_size=4).map(
    lambda axes: Space({f"p{n}": axis for n, axis in enumerate(axes)})
)


@settings(max_examples=40)
@given(SPACES, st.integers(0, 10**6))
def test_what_is_drawn_lies_in_the_space_as_plain_values(space, seed):
    drawn = space.draw(Random(seed))
    assert space.native(drawn) == space.native(space.named(drawn)) == drawn
    assert [type(one) for one in space.native(drawn)] == [type(one) for one in drawn]
    for axis, value in zip(space.axes, drawn, strict=True):
        if isinstance(axis, Range):
            assert type(value) is (int if axis.is_whole else float)
            assert -1e-9 <= axis.unit(value) <= 1 + 1e-9


@settings(max_examples=40)
@given(SPACES, st.integers(0, 10**6))
def test_near_copies_are_found_as_by_looking_at_all(space, seed):
    random, nearby, points = Random(seed), Nearby(space), []
    for _ in range(40):
        if points and random.random() < 0.3:
            gone = points.pop(random.randrange(len(points)))
            nearby.discard(gone)
        else:
            points.append(space.draw(random))
            nearby.add(points[-1])
    assert sorted(map(repr, nearby.points())) == sorted(map(repr, points))
    for one in [space.draw(random) for _ in range(20)] + points:
        assert nearby.has_near(one) == any(is_near(space, one, other) for other in points)


def is_near(space, one, other):
    for axis, a, b in zip(space.axes, one, other, strict=True):
        if isinstance(axis, Range):
            if abs(axis.unit(a) - axis.unit(b)) > NEAR + 1e-9:
                return False
        elif a != b or type(a) is not type(b):
            return False
    return True


def test_a_point_of_another_space_is_refused():
    space = parse_space(DROP)
    for values in [(1.0, 16), (0.5, 17), (0.5,), {"drop": 0.5}, ("a", 16), (True, 16)]:
        with pytest.raises(InputError):
            space.native(values)


def test_values_of_numpy_become_pythons_own():
    import numpy as np

    drop, size = parse_space(DROP).native([np.float64(0.5), np.int64(32)])
    assert (type(drop), type(size)) == (float, int)


def test_first_points_keep_their_numbers_and_gaps_are_filled_first():
    numbers = Numbers([("a",), ("b",), ("c",)])
    assert list(numbers.points()) == [(0, ("a",)), (1, ("b",)), (2, ("c",))]
    numbers.take(1, ("b",))
    numbers.take(5, ("f",))
    assert list(itertools.islice(numbers.free(), 5)) == [0, 2, 3, 4, 6]
    numbers.chosen += [("x",), ("y",), ("z",)]
    assert list(numbers.points()) == [
        (0, ("a",)), (2, ("c",)), (3, ("x",)), (4, ("y",)), (6, ("z",)),
    ]  # fmt: skip
    numbers.take(3, ("y",))  # an older choice was issued meanwhile
    assert list(numbers.points())[2:] == [(4, ("x",)), (6, ("z",))]
    numbers.give_back(5, ("f",))
    assert (5, ("f",)) in list(numbers.points())
