"""What `utils` hashes, names, splits and joins: by content, where adaptive-scheduler 2 goes by looks."""

from __future__ import annotations

import copy
import datetime as dt
import functools
import hashlib
import math
import pickle
from pathlib import Path

import adaptive
import numpy as np
import pytest

from adaptive_scheduler.errors import InputError
from adaptive_scheduler.utils import (
    LRUCachedCallable,
    WrappedFunction,
    add_constant_to_fname,
    combine_sequence_learners,
    combo2fname,
    combo_to_fname,
    copy_from_sequence_learner,
    hash_anything,
    maybe_round,
    round_sigfigs,
    shuffle_list,
    smart_goal,
    split,
    split_in_balancing_learners,
    split_sequence_in_sequence_learners,
    split_sequence_learner,
)


def double(x):
    return 2 * x


class Thing:
    def __init__(self, parts, last):
        self.parts = parts
        self.last = last


def adds(n):
    def function(x):
        return x + n

    return function


# ---------------------------------------------------------------------- hashes

PLAIN = [1, "text", 1.5, None, True, ["a", "b"], {"a": 1, "b": [2.5, ("x", None)]}, (1, ()), 10**30]


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_the_hash_of_plain_values_is_that_of_adaptive_scheduler_2(value):
    assert hash_anything(value) == hashlib.md5(pickle.dumps(value, protocol=4)).hexdigest()


def test_the_hash_of_bytes_is_that_of_adaptive_scheduler_2():
    assert hash_anything(b"abc") == hashlib.md5(b"abc").hexdigest()


class Quantity(np.ndarray):
    """An array with a unit, as packages of units have it."""

    unit = ""

    def __array_finalize__(self, other):
        self.unit = getattr(other, "unit", "")

    def __reduce__(self):
        make, arguments, state = super().__reduce__()
        return make, arguments, (state, self.unit)

    def __setstate__(self, state):
        super().__setstate__(state[0])
        self.unit = state[1]


def quantity(values, unit):
    made = np.asarray(values).view(Quantity)
    made.unit = unit
    return made


EQUAL = {
    "texts that are one object or two": (["ab", "ab"], ["ab", b"ab".decode()]),
    "dicts": ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    "dicts of keys of several kinds": ({"a": 1, 1: 2, None: 3}, {None: 3, 1: 2, "a": 1}),
    "sets": ({*"abcdefgh"}, {*"hgfedcba"}),
    "arrays in either order": (np.eye(3)[:2], np.asfortranarray(np.eye(3)[:2])),
    "views": (np.arange(4), np.arange(8)[::2] // 2),
    "functions": (adds(1), adds(1)),
    "lambdas": (*(lambda x: x + 1 for _ in range(2)),),
    "partials": (functools.partial(double, 1), functools.partial(double, 1)),
    "objects": (*(Thing([1], None) for _ in range(2)),),
    "arrays with a unit": (
        quantity(np.eye(3)[:2], "m"),
        quantity(np.asfortranarray(np.eye(3)[:2]), "m"),
    ),
    "in a tuple": (("ab", np.zeros(3)), (b"ab".decode(), np.zeros(3))),
}


@pytest.mark.parametrize("name", EQUAL)
def test_equal_values_have_equal_hashes(name):
    one, other = EQUAL[name]
    assert hash_anything(one) == hash_anything(other) == hash_anything(copy.deepcopy(one))


long = np.arange(5000)
DIFFERENT = {
    "arrays with a unit": (quantity([1.0], "m"), quantity([1.0], "s")),
    "masked arrays": (np.ma.array([999999], mask=[0]), np.ma.array([999999], mask=[1])),
    "arrays that print alike": (long, np.where(long == 2500, 0, long)),
    "arrays of other shapes": (np.zeros(4), np.zeros((2, 2))),
    "arrays of other types": (np.zeros(2), np.zeros(2, dtype=np.int64)),
    "an array and its bytes": (np.zeros(2), bytes(16)),
    "closures": (adds(1), adds(2)),
    "lambdas in one line": (lambda x: x + 1, lambda x: x - 1),
    "partials": (functools.partial(double, 1), functools.partial(double, 2)),
    "numbers and texts": (1, "1"),
    "ints and floats": (1, 1.0),
    "a list and a tuple": ([1], (1,)),
    "a set and a list": ({1}, [1]),
    "bound methods": ("a".join, "b".join),
    "objects": (Thing([1], None), Thing([2], None)),
    "nested": ({"x": [long]}, {"x": [long + 1]}),
    "types of numbers": (np.float32, np.float64),
    "moments": (dt.datetime(2026, 1, 1), dt.datetime(2026, 1, 2)),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_fault_32_different_values_have_different_hashes(name):
    one, other = DIFFERENT[name]
    assert hash_anything(one) != hash_anything(other)


@pytest.mark.parametrize("kind", [LRUCachedCallable, WrappedFunction])
def test_a_function_in_a_wrapper_has_a_hash_wherever_that_was_made(kind):
    """The address of the cache was part of it, and so of file names: no other session found its data."""
    made = [kind(lambda x: x), kind(lambda x: x), kind(lambda x: x + 1)]
    one, other, another = map(hash_anything, made)
    assert one == other != another


def test_a_value_that_holds_itself_has_a_hash():
    loop = [1]
    loop.append(loop)
    other = [1]
    other.append(other)
    assert hash_anything(loop) == hash_anything(other) != hash_anything([1, [1]])


# ----------------------------------------------------------------------- names


def test_rounding():
    assert round_sigfigs(3.14159265, 3) == 3.14
    assert [round_sigfigs(x, 3) for x in (0, 123456, -0.00012345, math.inf)] == [
        0.0, 123000.0, -0.000123, math.inf,
    ]  # fmt: skip
    assert math.isnan(round_sigfigs(math.nan, 3))
    assert str(round_sigfigs(-0.0, 3)) == "0.0"
    assert maybe_round(1.23456 + 2.34567j, 3) == 1.23 + 2.35j
    assert [maybe_round(x, 2) for x in ("text", 12345, True, None)] == ["text", 12345, True, None]


def test_names_are_those_of_adaptive_scheduler_2():
    combo = {"z": 3, "x": 1 / 3, "y": "text", "w": [1, 2], "v": np.float32(0.1), "u": 1 + 2j}
    assert str(combo2fname(combo)) == (
        "u_(1+2j)__v_0.1__w_[1, 2]__x_0.33333333__y_text__z_3.pickle"
    )
    assert combo2fname({"x": 1}, "folder", ".csv") == Path("folder/x_1.csv")
    assert combo_to_fname({"z": 3, "x": 1 / 3}, Path("f")) == Path(
        "f/z_3__x_0.3333333333333333.pickle"
    )
    combo = {"x": 1, "a": 7}
    names = add_constant_to_fname(combo, {"a": 42})
    assert list(map(str, names)) == ["x_1.pickle", "a_42__x_1.pickle"]
    assert combo == {"x": 1, "a": 42}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.arange(5000), np.where(np.arange(5000) == 2500, 0, np.arange(5000))),
        ("a/b", "a/c"),
        ("q" * 300, "q" * 301),
        ("line\nbreak", "line\n break"),
        (double, adds(1)),
    ],
    ids=["long arrays", "slashes", "long texts", "lines", "functions"],
)
def test_fault_32_other_values_have_other_names_that_a_disk_takes(one, other, tmp_path):
    names = [combo2fname({"k": value, "n": 1}, tmp_path) for value in (one, other)]
    assert names[0] != names[1]
    assert combo2fname({"n": 1, "k": one}, tmp_path) == names[0]
    for name in names:
        assert name.parent == tmp_path
        name.touch()


def test_a_path_in_a_combo_is_no_folder():
    name = combo2fname({"file": Path("/etc/passwd"), "n": 1})
    assert name.parent == Path()


# ------------------------------------------------------------------- splitting


def test_shuffling_keeps_rows_together():
    numbers, letters = shuffle_list([1, 2, 3, 4, 5], [*"abcde"], seed=42)
    assert (numbers, letters) == ((4, 2, 3, 5, 1), (*"dbcea",))
    assert [*shuffle_list([], [])] == [(), ()]


def test_splitting_gives_as_many_parts_as_are_wanted():
    assert list(split(range(10), 3)) == [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9)]
    for n in range(12):
        for n_parts in range(1, 12):
            parts = list(split(range(n), n_parts))
            assert len(parts) == min(n, n_parts)
            assert all(parts)
            assert [x for part in parts for x in part] == list(range(n))
    with pytest.raises(InputError, match="n_parts=0"):
        split([1], 0)


def test_splitting_in_balancing_learners():
    learners = [adaptive.Learner1D(double, (0, n + 1)) for n in range(5)]
    balanced, names = split_in_balancing_learners(learners, [*"abcde"], 2, strategy="cycle")
    assert names == [["a", "b", "c"], ["d", "e"]]
    assert [one.strategy for one in balanced] == ["cycle"] * 2
    assert balanced[1].learners == learners[3:]


def test_fault_32_names_of_parts_depend_on_function_sequence_and_place():
    def names(function, sequence, n=2):
        return split_sequence_in_sequence_learners(function, sequence, n, "folder")[1]

    here = names(double, [1, 2, 3, 4])
    assert here == names(double, np.array([1, 2, 3, 4]).tolist())
    assert [Path(name).parent for name in here] == [Path("folder")] * 2
    others = [
        names(double, [1, 9, 3, 9]),  # same first elements and lengths
        names(adds(1), [1, 2, 3, 4]),
        names(double, [1, 2, 3, 4], 3),
        names(double, [1, 1, 1, 1]),  # the parts are equal
    ]
    together = [*here, *(name for each in others for name in each)]
    assert len(set(together)) == len(together)


def test_splitting_a_learner_keeps_all_values_none_too():
    big = adaptive.SequenceLearner(double, [5, 6, 7, 8, 9])
    for index, value in ((0, None), (2, 14), (4, 18)):
        big.tell((index, big.sequence[index]), value)
    learners, names = split_sequence_learner(big, 2)
    assert names == split_sequence_in_sequence_learners(double, [5, 6, 7, 8, 9], 2)[1]
    assert [dict(one.data) for one in learners] == [{0: None, 2: 14}, {1: 18}]
    again = combine_sequence_learners(learners)
    assert list(again.sequence) == list(big.sequence)
    assert again.data == big.data


def test_values_are_combined_by_their_entries():
    learners = [adaptive.SequenceLearner(double, part) for part in ([1, 2], [3, 1])]
    for number, one in enumerate(learners):
        for index, x in enumerate(one.sequence):
            one.tell((index, x), (number, x))
    turned = adaptive.SequenceLearner(double, [3, 1, 1, 2])
    assert combine_sequence_learners(learners, turned) is turned
    assert dict(turned.data) == {0: (1, 3), 1: (0, 1), 2: (1, 1), 3: (0, 2)}
    with pytest.raises(InputError, match="no place for 2 of the values"):
        combine_sequence_learners(learners, adaptive.SequenceLearner(double, [1, 2]))
    with pytest.raises(InputError, match="learners is empty"):
        combine_sequence_learners([])


def test_fault_32_values_are_copied_to_equal_entries():
    arrays = [long, np.where(long == 2500, 0, long)]
    source = adaptive.SequenceLearner(double, arrays)
    for index, x in enumerate(arrays):
        source.tell((index, x), index)
    target = adaptive.SequenceLearner(double, [arrays[1].copy(), long[:9], arrays[0].copy()])
    copy_from_sequence_learner(source, target)
    assert dict(target.data) == {0: 1, 2: 0}
    twice = adaptive.SequenceLearner(double, [long, long])
    copy_from_sequence_learner(source, twice)
    assert dict(twice.data) == {0: 0, 1: 0}


# ----------------------------------------------------------------------- goals


def test_goals_of_all_kinds():
    line = adaptive.Learner1D(double, (0, 1))
    sequence = adaptive.SequenceLearner(double, range(2))
    both = [line, sequence]
    for index in (0, 1):
        sequence.tell((index, index), 0)
    line.tell_many([0, 0.5, 1], [0, 1, 2])
    assert [smart_goal(goal, both)(line) for goal in (3, 4, 10.0, 1e-9)] == [
        True,
        False,
        True,
        False,
    ]
    assert smart_goal(np.int64(3), both)(line)
    assert smart_goal(line.loss, both) == line.loss
    assert [smart_goal(dt.datetime.now() + dt.timedelta(days=n), both)(line) for n in (-1, 1)] == [
        True, False,
    ]  # fmt: skip
    for wrong in (True, "many", 0, -1):
        with pytest.raises(InputError):
            smart_goal(wrong, both)


def test_no_goal_is_until_each_learner_of_a_mixed_list_has_no_more_points():
    line = adaptive.Learner1D(double, (0, 1))
    sequence = adaptive.SequenceLearner(double, range(2))
    integral = adaptive.IntegratorLearner(lambda x: x, (0, 1), tol=1e-8)
    balanced = adaptive.BalancingLearner([sequence])
    with pytest.warns(UserWarning, match="Learner1D never have all their points"):
        goal = smart_goal(None, [line, sequence, integral, balanced])
    goal = pickle.loads(pickle.dumps(goal))
    assert [goal(one) for one in (line, sequence, integral, balanced)] == [False] * 4
    for index in (0, 1):
        sequence.tell((index, index), 0)
    adaptive.runner.simple(integral, goal=goal)
    assert [goal(one) for one in (line, sequence, integral, balanced)] == [False, True, True, True]


def test_fault_05_a_duration_counts_for_each_learner_from_its_begin():
    first, second = (adaptive.Learner1D(double, (0, 1)) for _ in range(2))
    goal = pickle.loads(pickle.dumps(smart_goal(dt.timedelta(seconds=0.05), [first, second])))
    assert not goal(first)
    while not goal(first):
        pass
    assert not goal(second)
