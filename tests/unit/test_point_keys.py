"""Keys of points: read again by another driver, and different for all that is different."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.runs.runner.point_keys import LONGEST, PointKeys

NUMBERS = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
POINTS = st.recursive(NUMBERS | st.text(max_size=9), lambda x: st.lists(x, max_size=3).map(tuple))


def function(x: Any) -> Any:
    return x


@given(POINTS)
def test_another_driver_reads_the_point(x: Any) -> None:
    keys = PointKeys("mine")
    stem = keys.stem(function, x)
    found = PointKeys("mine").read(keys.key(stem))
    assert found == (stem, x)
    assert repr(found) == repr((stem, x))  # an int is one again, and a float
    assert PointKeys("other").read(keys.key(stem)) is None


def test_a_key_says_what_it_is_of() -> None:
    keys = PointKeys("ring")
    assert keys.key(keys.stem(partial(function, b=3), (0.5, 1))) == "ring:function:[0.5,1]#0"
    assert keys.stem(function, np.float64(0.1)) == keys.stem(function, 0.1)
    assert keys.stem(function, (np.int64(3), 0.1)) == keys.stem(function, (3, 0.1))
    assert keys.stem(function, 0.1) != keys.stem(len, 0.1)


def test_a_try_in_vain_makes_another_key() -> None:
    keys = PointKeys("ring")
    stem = keys.stem(function, 1)
    keys.note_in_vain(keys.key(stem))
    keys.note_in_vain(f"{stem}#0")  # heard of again
    assert keys.key(stem) == f"{stem}#1"
    assert keys.key(keys.stem(function, 2)).endswith("#0")


@pytest.mark.parametrize(
    "x", [object(), [1, 2], float("nan"), np.array([1, 2]), "x" * LONGEST, {1}, b"ab"]
)
def test_what_cannot_be_read_again_has_no_key(x: Any) -> None:
    keys = PointKeys("ring")
    assert keys.key(keys.stem(function, x)) == ""


@pytest.mark.parametrize("key", ["", "ring", "ring:f:1", "ring:f:#0", "ring:f:[#0", "ring:f:1#x"])
def test_keys_of_others_are_left_alone(key: str) -> None:
    assert PointKeys("ring").read(key) is None
