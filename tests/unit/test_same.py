"""Edited functions are noticed; functions that were only unpickled, or loaded data, are not."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import cloudpickle
import numpy as np
import pytest

from adaptive_scheduler.core.same import Comparison
from adaptive_scheduler.utils import LRUCachedCallable, WrappedFunction


def defined(source: str, name: str = "f", **names: Any) -> Any:
    """What a cell defines."""
    cell = {"__name__": "__main__", "math": math, "partial": partial, "np": np, **names}
    exec(source, cell)
    return cell[name]


def same(old: Any, new: Any) -> bool | None:
    """As at a start: the old one comes back from its pickle."""
    return Comparison().same(cloudpickle.loads(cloudpickle.dumps(old)), new)


CELL = """
WIDTH = 0.05
TABLE = None
def g(x):
    return x + WIDTH
def f(x, offset=0):
    "Compute."
    part = lambda y: y**2
    return g(x) + part(math.sin(x)) + 1.5
"""


@pytest.mark.parametrize(
    ("a", "b"),
    [("+ 1.5", "+ 2.5"), ("0.05", "0.1"), ("return x + WIDTH", "return x - WIDTH"),
     ("offset=0", "offset=1"), ("y**2", "y**3"), ("math.sin", "math.cos"), ("g(x) +", "x +")],
)  # fmt: skip
def test_an_edited_function_is_not_the_same(a: str, b: str) -> None:
    assert a in CELL
    assert same(defined(CELL), defined(CELL.replace(a, b))) is False
    assert (
        same(partial(defined(CELL), offset=2), partial(defined(CELL.replace(a, b)), offset=2))
        is False
    )


@pytest.mark.parametrize(
    ("a", "b"), [("Compute.", "Computes more."), ("\nWIDTH", "\n\n# a word\nWIDTH")]
)
def test_a_cell_that_is_run_again_defines_the_same_function(a: str, b: str) -> None:
    assert same(defined(CELL), defined(CELL.replace(a, b))) is True
    assert same(partial(defined(CELL), offset=2), partial(defined(CELL), offset=2)) is True
    assert same(partial(defined(CELL), offset=2), partial(defined(CELL), offset=3)) is False


def test_data_loaded_into_globals_are_not_compared() -> None:
    cell = "TABLE = None\ndef f(x):\n    return TABLE[x]"
    assert same(defined(cell), defined(cell + "\nTABLE = {1: 2}")) is True


def test_recursive_functions_and_closures_are_compared() -> None:
    again = "def f(n):\n    return 1 if n < 2 else n * f(n - 1)"
    assert same(defined(again), defined(again)) is True
    assert same(defined(again), defined(again.replace("n * f", "n + f"))) is False
    made = "def make(k):\n    def g(x):\n        return x + k\n    return g\nf = make({})"
    assert same(defined(made.format(1)), defined(made.format(1))) is True
    assert same(defined(made.format(1)), defined(made.format(2))) is False


def test_callable_objects_and_methods_are_compared() -> None:
    cell = "class F:\n    def __init__(self, a):\n        self.a = a\n    def __call__(self, x):\n        return x * self.a\nf = F({})"
    assert same(defined(cell.format(1)), defined(cell.format(1))) is True
    assert same(defined(cell.format(1)), defined(cell.format(2))) is False
    assert same(defined(cell.format(1)), defined(cell.format(1).replace("x *", "x +"))) is False
    method = cell.format(1) + ".__call__"
    assert same(defined(method), defined(method)) is True


def test_values_are_compared_by_type_and_content() -> None:
    table = np.linspace(0, 1, 1000)
    assert same(partial(math.pow, table), partial(math.pow, table.copy())) is True
    assert same(partial(math.pow, table), partial(math.pow, table + 1)) is False
    assert same([(-1, 1), (0.0, math.nan)], [(-1, 1), (0.0, math.nan)]) is True
    assert same([1, 2, 3], [1, 2, 3, 4]) is False
    assert same({"a": 1}, {"a": 1, "b": 2}) is False
    assert same({"a": {1, 2}}, {"a": {2, 1}}) is True
    assert same(iter([1]), iter([1])) is None


@pytest.mark.parametrize("kind", [LRUCachedCallable, WrappedFunction])
def test_a_function_in_a_wrapper_counts_alone(kind: Any) -> None:
    """The values of a cache are elsewhere at each start, and each wrapper has a pickle of its own."""
    first, again = kind(defined(CELL)), kind(defined("# a word\n" + CELL))
    assert same(first, again) is True
    assert same(first, kind(defined(CELL.replace("+ 1.5", "+ 2.5")))) is False
