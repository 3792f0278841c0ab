"""How an error names its point."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from adaptive_scheduler.evaluation.messages import PointTask, named, point_error, shortened
from adaptive_scheduler.executors.worker import describe


def f(x, *more, **others):
    pass


class Broken:
    def __repr__(self):
        raise ValueError


@pytest.mark.parametrize(
    ("function", "x", "name"),
    [
        (f, 0.3333, "x=0.3333"),
        (partial(f, offset=0.2), 0.3333, "x=0.3333 (offset=0.2)"),
        (partial(partial(f, 7, a="b"), offset=0.2), (0.1, -2), "x=(0.1, -2) (7, a='b', offset=0.2)"),
        (partial(f, offset=np.float64(0.2)), np.float64(1), "x=1.0 (offset=0.2)"),
        (partial(f, table=np.zeros((300, 4))), 1, "x=1 (table=<ndarray of shape (300, 4)>)"),
        (f, np.array([1.0, 2.0]), "x=array([1., 2.])"),
        (f, {"offset": 0.1}, "x={'offset': 0.1}"),
    ],
)  # fmt: skip
def test_a_point_is_named_by_its_arguments(function, x, name):
    assert named(PointTask(x, function, x)) == name


@pytest.mark.parametrize(
    "value", ["a" * 10**6, b"a" * 10**6, list(range(10**5)), 10**4000, Broken(), {1: "b" * 10**5},
              {i: i for i in range(1000)}, [[[[list(range(100))] * 10] * 10]], "a\nb"],
)  # fmt: skip
def test_large_and_odd_arguments_are_shortened_to_one_line(value):
    assert len(shortened(value)) < 120
    assert "\n" not in shortened(value)


def test_the_error_names_the_point_in_its_text_and_below_its_traceback():
    try:
        raise ValueError("matrix is singular")
    except ValueError as error:
        told = point_error(PointTask(0.25, partial(f, offset=0.2), 0.25), describe(error))
    assert str(told) == (
        "your function raised ValueError at x=0.25 (offset=0.2): matrix is singular"
    )
    assert told.traceback_text.endswith("matrix is singular\nat x=0.25 (offset=0.2)\n")
    assert isinstance(told.__cause__, ValueError)
