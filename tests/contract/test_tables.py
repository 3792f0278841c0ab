"""Every kind of learner, of point and of value has a table, and none takes away the others'."""

from __future__ import annotations

import warnings
from functools import partial

import adaptive
import numpy as np
import pytest

from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.learner_data import adaptive_private
from adaptive_scheduler.runs import load_data
from adaptive_scheduler.runs.run_manager import RunManager
from adaptive_scheduler.schedulers.local import LocalScheduler
from tests.contract.learner_kinds import kinds

KINDS = list(kinds())

#: The columns of each kind, besides `learner` and `fname`: adaptive's own names.
COLUMNS = {
    "Learner1D": ["x", "y"],
    "Learner2D": ["x", "y", "z"],
    "LearnerND": ["x", "y", "value"],
    "AverageLearner": ["seed", "y"],
    "AverageLearner1D": ["seed", "x", "y"],
    "SequenceLearner": ["i", "x", "y"],
    "IntegratorLearner": ["x", "y"],
    "BalancingLearner": ["learner_index", "x", "y"],
    "BalancingSequences": ["learner_index", "i", "x", "y"],
    "DataSaver": ["x", "y", "extra_data"],
    "OptimizerLearner": ["number", "x", "y"],
    "RankingLearner": ["number", "x", "y"],
    "RankingVectors": ["number", "x0", "x1", "y"],
    "BalancingOptimizers": ["learner_index", "number", "x", "y"],
}


def told(learner, n=12):
    """A learner with some points."""
    while n > 0 and (points := adaptive_private.ask(learner, 1)):
        for x in points:
            learner.tell(x, learner.function(x))
            n -= 1
    return learner


def table(*learners, **names):
    """Their table, made without a warning."""
    fnames = [f"data/{place}" for place in range(len(learners))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load_data.to_dataframe(learners, fnames, *([names] if names else []))


def rows(frame, *columns):
    return [tuple(row) for row in frame[list(columns)].itertuples(index=False)]


def known(learner):
    return dict(adaptive_private.points_of(learner, learner._get_data()))


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_has_the_columns_of_adaptive(name):
    learner = told(kinds()[name][0](), 40)
    frame = table(learner)
    assert list(frame.columns) == [*COLUMNS[name], "learner", "fname"]
    assert len(frame) == len(known(learner))


@pytest.mark.parametrize("name", [name for name in KINDS if name != "LearnerND"])
def test_a_table_equals_that_of_adaptive_if_there_is_one(name):
    import pandas as pd

    learner = told(kinds()[name][0](), 40)
    pd.testing.assert_frame_equal(
        table(learner).drop(columns=["learner", "fname"]), learner.to_dataframe(), check_dtype=True
    )


@pytest.mark.parametrize("name", KINDS)
def test_a_learner_without_points_has_no_rows(name):
    line = told(kinds()["Learner1D"][0]())
    frame = table(kinds()[name][0](), line)
    assert list(frame["learner"].unique()) == [1]
    assert len(table(kinds()[name][0]())) == 0


@pytest.mark.parametrize(
    ("ndim", "columns"),
    [(1, ["x"]), (2, ["x", "y"]), (3, ["x", "y", "z"]), (4, ["x0", "x1", "x2", "x3"])],
)
@pytest.mark.parametrize("wrap", [None, "DataSaver", "BalancingLearner"])
def test_a_learner_of_any_dimension_has_a_table(ndim, columns, wrap):
    def f(x):
        return {"value": sum(x)} if wrap == "DataSaver" else sum(x)

    learner = adaptive.LearnerND(f, [(-1, 1)] * ndim)
    if wrap == "DataSaver":
        learner = adaptive.DataSaver(learner, lambda result: result["value"])
    elif wrap == "BalancingLearner":
        learner = adaptive.BalancingLearner([learner])
    told(learner, 2**ndim + 4)
    frame = table(learner)
    assert [c for c in frame.columns if c in columns] == columns
    assert len(frame) == len(known(learner)) > 2
    np.testing.assert_allclose(frame[columns].sum(axis=1), frame["value"])
    if wrap == "DataSaver":
        assert [extra["value"] for extra in frame["extra_data"]] == list(frame["value"])
    named = table(learner, point_names=list("abcd"[:ndim]), value_name="v")
    assert rows(named, *"abcd"[:ndim], "v") == rows(frame, *columns, "value")


VALUES = {
    "complex": lambda x: complex(x, 1),
    "numpy complex": lambda x: np.complex128(complex(x, 2)),
    "vector": lambda x: np.array([x, 2 * x, 3]),
    "array without dimensions": lambda x: np.array(x),
}


@pytest.mark.parametrize("value", VALUES)
def test_values_of_any_kind_are_in_the_table(value):
    g = VALUES[value]
    learners = {
        "y": adaptive.Learner1D(g, (-1, 1)),
        "z": adaptive.Learner2D(lambda xy: g(xy[0]), [(-1, 1)] * 2),
        "value": adaptive.LearnerND(lambda xy: g(xy[0]), [(-1, 1)] * 2),
    }
    sequence = adaptive.SequenceLearner(g, [0.5, 0.25, 0.125])
    for column, learner in [*learners.items(), ("y", sequence)]:
        for x in [-1.0, -0.5, 0.5, 1.0]:
            if learner is sequence:
                told(sequence, 3)
            else:
                learner.data[x if column == "y" else (x, 0.25)] = g(x)
        frame = table(learner)
        for x, y in rows(frame, "x", column):
            np.testing.assert_array_equal(y, g(x))
    both = table(*learners.values(), sequence)
    assert set(both["learner"]) == {0, 1, 2, 3}


ENTRIES = {
    "numbers": [1.0, 2.0, 3.5],
    "texts": ["a", "bb", "ccc"],
    "tuples": [(1, "a"), (2, "b"), (3, "c")],
    "tuples of other lengths": [(1,), (1, 2), ()],
    "frozen sets": [frozenset({1}), frozenset({2})],
}


@pytest.mark.parametrize("entries", ENTRIES)
def test_a_datasaver_of_a_sequence_has_a_table(entries):
    def f(entry):
        return {"y": 1.5, "entry": entry}

    sequence = ENTRIES[entries]
    learner = adaptive.DataSaver(
        adaptive.SequenceLearner(f, sequence), arg_picker=lambda result: result["y"]
    )
    frame = table(told(learner))
    assert list(frame.columns) == ["i", "x", "y", "extra_data", "learner", "fname"]
    assert list(frame["x"]) == sequence
    assert [extra["entry"] for extra in frame["extra_data"]] == sequence


@pytest.mark.parametrize("entries", [[[1, 2], [3]], [{"a": 1}], [np.zeros(2), np.ones(2)]])
def test_unhashable_entries_of_a_sequence_have_a_table(entries):
    frame = table(told(adaptive.SequenceLearner(lambda entry: len(entry), entries)))
    for found, given in zip(frame["x"], entries, strict=True):
        np.testing.assert_array_equal(found, given)


@pytest.mark.parametrize("name", KINDS)
def test_a_datasaver_of_each_kind_has_its_results_beside_the_points(name):
    if name == "DataSaver":
        inner = kinds()[name][0]().learner
    else:
        inner = kinds(lambda function: lambda x: {"y": function(x)})[name][0]()
    learner = told(adaptive.DataSaver(inner, arg_picker=lambda result: result["y"]), 30)
    frame = table(learner)
    output = {"Learner2D": "z", "LearnerND": "value"}.get(name, "y")
    assert len(frame) == len(known(learner)) > 0
    assert list(frame[output]) == [extra["y"] for extra in frame["extra_data"]]


def test_default_arguments_of_the_function_are_columns():
    def f(x, a=1, b=None):
        return x

    both = adaptive.BalancingLearner(
        [
            adaptive.Learner1D(partial(f, **more), (-1, 1))
            for more in ({"b": np.arange(3)}, {"a": 2})
        ]
    )
    frame = table(told(both))
    assert set(frame[frame["learner_index"] == 1]["function.a"]) == {2}
    assert frame[frame["learner_index"] == 0]["function.b"].iloc[0].tolist() == [0, 1, 2]
    assert "p_a" in table(both, function_prefix="p_").columns


def test_a_function_without_a_signature_has_a_table():
    frame = table(told(adaptive.Learner1D(np.float64, (-1, 1))))
    assert list(frame["x"]) == list(frame["y"])


class Own(adaptive.Learner1D):
    """A class of a user's, with a table of its own."""

    def to_dataframe(self, *args, **kwargs):
        raise RuntimeError("not today")


def test_a_learner_without_a_table_is_named_and_the_others_are_kept():
    def g(x):
        return x

    learners = [told(adaptive.Learner1D(g, (-1, 1))), told(Own(g, (-1, 1)))]
    learners += [adaptive.BalancingLearner([learners[1]]), learners[0]]
    with pytest.warns(UserWarning, match="left out") as caught:
        frame = load_data.to_dataframe(learners, ["a", "b", ["c"], "d"])
    assert set(frame["learner"]) == {0, 3}
    texts = [str(warning.message) for warning in caught]
    assert len(texts) == 2
    assert "learners[1], a Own (b)" in texts[0]
    assert "not today" in texts[0]
    assert "learners[2], a BalancingLearner (c)" in texts[1]


def test_data_that_cannot_be_loaded_leave_the_rows_of_other_learners(tmp_path):
    learners = [told(kinds()["Learner1D"][0]()) for _ in range(3)]
    fnames = [tmp_path / name for name in "abc"]
    for learner, fname in zip(learners, fnames, strict=True):
        learner.save(str(fname))
    fnames[1].write_bytes(b"no gzip")
    fresh = [kinds()["Learner1D"][0]() for _ in learners]
    run = RunManager(LocalScheduler(cores=1), fresh, fnames, goal=20, folder=tmp_path / "run")
    with pytest.warns(UserWarning, match=f"{fnames[1]}: cannot be read"):
        frame = run.to_dataframe()
    assert set(frame["learner"]) == {0, 2}


def test_a_name_that_no_learner_has_is_refused():
    with pytest.raises(InputError, match=r"'xname' is not the name of a column\. Known are x_name"):
        load_data.to_dataframe([], [], {"xname": "a"})


def test_given_column_names_are_used():
    learner = told(kinds()["DataSaver"][0]())
    frame = table(learner, x_name="energy", y_name="gap", extra_data_name="all")
    assert list(frame.columns) == ["energy", "gap", "all", "learner", "fname"]


@pytest.mark.parametrize(
    "names", [{"x_name": 3}, {"x_name": None}, {"point_names": 5}, {"point_names": [1, 2]},
              {"function_prefix": None}]
)  # fmt: skip
def test_an_invalid_column_name_is_refused(names):
    with pytest.raises(InputError, match=rf"{next(iter(names))}=.* must be a"):
        load_data.to_dataframe([], [], names)


def _with_default(x, y=1):
    return x + y


@pytest.mark.parametrize(
    ("learner", "names", "twice"),
    [
        (adaptive.Learner1D(_with_default, (0, 1)), {"function_prefix": ""}, "y"),
        (adaptive.Learner1D(_with_default, (0, 1)), {"y_name": "x"}, "x"),
        (adaptive.Learner1D(_with_default, (0, 1)), {"x_name": "learner"}, "learner"),
        (adaptive.LearnerND(sum, [(0, 1)] * 2), {"point_names": ["a", "a"]}, "a"),
        (adaptive.LearnerND(sum, [(0, 1)] * 2), {"value_name": "x"}, "x"),
        (adaptive.DataSaver(adaptive.Learner1D(_with_default, (0, 1)), float),
         {"extra_data_name": "y"}, "y"),
    ],
)  # fmt: skip
def test_two_columns_of_one_name_are_refused(learner, names, twice):
    (x,), _ = learner.ask(1)
    learner.tell(x, 0.5)
    with pytest.warns(UserWarning, match=rf"learners\[0\].*two columns would be called '{twice}'"):
        assert load_data.to_dataframe([learner], ["f"], names).empty
