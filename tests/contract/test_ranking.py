"""`RankingLearner`, its models, and the same by hand."""

from __future__ import annotations

import pickle
import sys
import threading
import time
from itertools import islice

import adaptive
import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from adaptive_scheduler import Command, RankingLearner, RankingModel, expected_improvement
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.optimizers.ranking import acquisitions
from adaptive_scheduler.optimizers.ranking.order import RankedOrder
from tests.contract.learner_kinds import Nearest

SQUARE = np.array([[a / 10, b / 10] for a in range(10) for b in range(10)])


def bowl(x):
    return float((x[0] - 0.7) ** 2 + (x[1] - 0.2) ** 2)


def ackley(x):
    x = np.asarray(x)
    waves = np.exp(np.cos(2 * np.pi * x).mean())
    return float(20 + np.e - 20 * np.exp(-0.2 * np.sqrt((x**2).mean())) - waves)


def run(learner, until, in_flight=1):
    """Ask and tell until a condition holds; return how many were told."""
    flying = []
    while not until(learner):
        flying += learner.ask(in_flight - len(flying))[0]
        if not flying:
            break
        point = flying.pop(0)
        learner.tell(point, learner.function(point))
    return learner.npoints


def has(numbers):
    return lambda learner: numbers <= {number for number, _ in learner.data}


# ------------------------------------------------------------------- what it finds


@pytest.mark.parametrize("surrogate", ["gpr", "random-forest", Nearest, Nearest()])
@pytest.mark.parametrize("acquisition", ["ei", "pi", "lcb"])
def test_the_best_candidates_come_early(surrogate, acquisition):
    values = [bowl(x) for x in SQUARE]
    best = set(np.argsort(values)[:2].tolist())
    learner = RankingLearner(bowl, SQUARE, surrogate, acquisition, refit_every=10)
    assert run(learner, has(best), in_flight=4) <= max(best) * 0.7
    assert learner.refits >= 1
    assert learner.best == ({"x0": 0.7, "x1": 0.2}, 0.0)


@pytest.mark.parametrize("acquisition", ["ei", "pi", "ucb"])
def test_the_largest_is_looked_for_as_the_smallest_of_its_negative(acquisition):
    one = RankingLearner(bowl, SQUARE, "gpr", acquisition, refit_every=20)
    other = RankingLearner(
        lambda x: -bowl(x), SQUARE, "gpr", acquisition, refit_every=20, maximize=True
    )
    for learner in (one, other):
        run(learner, lambda learner: learner.npoints == 40)
    assert list(one.data) == list(other.data)
    assert one.loss() == other.loss()


def test_of_ackley_s_candidates_the_best_are_evaluated_in_half_of_the_time():
    candidates = np.random.default_rng(3).uniform(-32.768, 32.768, (300, 4))
    best = set(np.argsort([ackley(x) for x in candidates])[:3].tolist())
    learner = RankingLearner(ackley, candidates, refit_every=50)
    assert run(learner, has(best), in_flight=30) <= max(best) / 2


@pytest.mark.parametrize("best", [-1.0, 0.3, 2.0])
def test_acquisitions_are_those_of_the_textbook(best):
    mean, std = np.array([0.0, 1.0, -0.5]), np.array([0.1, 1.0, 2.0])
    draws = norm.rvs(mean, std, (200_000, 3), random_state=0)
    gained = np.maximum(best - draws, 0)
    error = 5 * gained.std(axis=0) / np.sqrt(len(draws)) + 1e-9
    assert np.all(np.abs(acquisitions.expected(mean, std, best) - gained.mean(axis=0)) <= error)
    assert acquisitions.probable(mean, std, best) == pytest.approx(norm.cdf((best - mean) / std))
    assert acquisitions.confidence_bound(mean, std, best) == pytest.approx(1.96 * std - mean)


def test_what_is_certain_promises_what_it_is_better_by():
    zero = np.zeros(2)
    assert acquisitions.expected(np.array([1.0, 3.0]), zero, 2.0) == pytest.approx([1.0, 0.0])


def test_an_acquisition_of_the_users():
    learner = RankingLearner(bowl, SQUARE, Nearest(), lambda mean, std, best: -mean, refit_every=10)
    run(learner, lambda learner: learner.npoints == 11)
    assert list(learner.data)[10] == (12, (0.1, 0.2))  # beside the best of the first row


# ------------------------------------------------------------------- its order


def test_at_first_it_is_the_given_order_or_a_shuffled_one():
    assert [n for n, _ in RankingLearner(bowl, SQUARE).ask(5)[0]] == [0, 1, 2, 3, 4]
    shuffled = [RankingLearner(bowl, SQUARE, seed=7, shuffle=True).ask(100)[0] for _ in range(2)]
    assert shuffled[0] == shuffled[1]
    numbers = [number for number, _ in shuffled[0]]
    assert sorted(numbers) == list(range(100)) != numbers


def test_a_point_is_asked_for_once_also_after_a_refit():
    learner = RankingLearner(bowl, SQUARE, Nearest(), refit_every=9)
    run(learner, lambda learner: learner.done(), in_flight=7)
    assert learner.npoints == 100
    assert learner.ask(3) == ([], [])
    assert learner.refits == 11


def test_points_in_flight_are_asked_for_again_in_their_order():
    learner = RankingLearner(bowl, SQUARE)
    first = learner.ask(6)[0]
    learner.tell(first[2], 1.0)
    learner.remove_unfinished()
    assert learner.ask(6)[0] == [first[n] for n in (0, 1, 3, 4, 5)] + [(6, (0.0, 0.6))]


def test_to_ask_without_telling_pending_changes_nothing():
    learner = RankingLearner(bowl, SQUARE)
    assert learner.ask(3, tell_pending=False) == learner.ask(3)


def test_gains_fall_from_one_and_are_those_of_the_order():
    _, gains = RankingLearner(bowl, SQUARE).ask(100)
    assert gains[0] == 1
    assert gains == sorted(gains, reverse=True)
    assert len(set(gains)) == 100


def test_of_many_candidates_the_next_ones_are_found_at_once():
    many = RankedOrder(10**6)
    begin = time.process_time()
    for number in range(1000):
        assert next(many.left()) == number
        many.take(number)
    assert time.process_time() - begin < 1  # it was 30 s
    many.give_back([3, 700_000])
    assert list(islice(many.left(), 3)) == [3, 1000, 1001]


def test_equal_candidates_are_two():
    learner = RankingLearner(bowl, [[1.0, 2.0], [1.0, 2.0]])
    assert run(learner, lambda learner: learner.done()) == 2


def test_values_that_are_not_finite_do_not_reach_the_model():
    learner = RankingLearner(bowl, SQUARE, refit_every=5)
    for n, y in enumerate([float("nan"), float("inf"), 1.0, 2.0, 3.0]):
        learner.tell((n, learner.candidates.rows[n]), y)
    assert learner.refit_with() == ([2, 3, 4], [1.0, 2.0, 3.0])
    assert (learner.npoints, learner.loss()) == (5, 1.0)


def test_no_finite_value_at_all_leaves_the_order():
    learner = RankingLearner(bowl, SQUARE, refit_every=2)
    for n in range(2):
        learner.tell((n, learner.candidates.rows[n]), float("nan"))
    assert [n for n, _ in learner.ask(3)[0]] == [2, 3, 4]


@pytest.mark.parametrize("surrogate", ["gpr", "random-forest"])
@pytest.mark.parametrize("ys", [[1.0], [2.0, 2.0, 2.0], [1.0, 1e300, 0.0]])
def test_few_or_equal_values_are_enough_for_a_model(surrogate, ys):
    promise = expected_improvement(SQUARE[: len(ys)], ys, SQUARE, surrogate)
    assert promise.shape == (100,)
    assert np.isfinite(promise).all()


def test_a_dimension_that_never_changes_is_no_fault():
    candidates = [[x / 50, 3.0] for x in range(50)]
    learner = RankingLearner(lambda x: (x[0] - 0.5) ** 2, candidates, refit_every=10)
    assert run(learner, has({25})) < 25


# ------------------------------------------------------------------- how the function is called


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        (np.array([[1, 2], [3, 4]]), np.ndarray),
        ([np.array([1.0, 2.0]), np.array([3.0, 4.0])], np.ndarray),
        ([[1, 2], [3, 4]], list),
        ([(1, 2), (3, 4)], list),
        (np.array([1.0, 2.0]), float),
        ([1, 2], int),
        (range(2), int),
        ([np.float32(1), np.int64(3)], float),
        (pd.Series([1.0, 2.0], index=[7, 8]), float),
        ([np.array(1.0), np.array(2.0)], float),
    ],
)
def test_a_function_gets_a_candidate_as_it_was_given(candidates, expected):
    learner = RankingLearner(type, candidates)
    points, _ = learner.ask(1)
    assert learner.function(points[0]) is expected
    assert all(type(part) in (int, float) for part in points[0][1])


def test_dicts_are_given_by_name():
    rows = [{"a": 1, "b": 0.5}, {"b": 0.25, "a": 2}]
    for candidates in (rows, pd.DataFrame(rows)):
        learner = RankingLearner(lambda a, b: a + b, candidates)
        points, _ = learner.ask(2)
        assert [learner.function(point) for point in points] == [1.5, 2.25]
    table = learner.to_dataframe()
    assert list(table.columns) == ["number", "a", "b", "y"]


def test_a_command_is_run_by_an_executor_only():
    learner = RankingLearner(Command("echo {a}"), [{"a": 1}, {"a": 2}])
    with pytest.raises(InputError, match="run by an Executor"):
        learner.function(learner.ask(1)[0][0])


# ------------------------------------------------------------------- kept and restored


def test_a_pickled_learner_goes_on_as_the_first():
    learner = RankingLearner(bowl, SQUARE, refit_every=10)
    run(learner, lambda learner: learner.npoints == 25)
    other = pickle.loads(pickle.dumps(learner))
    assert other.data == learner.data
    assert other.ask(20) == learner.ask(20)


def test_a_loaded_learner_has_the_refit_made_that_was_due(tmp_path):
    learner = RankingLearner(bowl, SQUARE, refit_every=10)
    run(learner, lambda learner: learner.npoints == 40)
    learner.save(tmp_path / "data.pickle")
    other = learner.new()
    other.load(tmp_path / "data.pickle")
    assert other.data == learner.data
    (first,), _ = other.ask(1)
    assert other.refits == 1
    promise = learner.model(*learner.refit_with())
    left = set(range(100)) - {number for number, _ in learner.data}
    assert promise[first[0]] == max(promise[n] for n in left)


def test_a_table_has_its_points_and_gives_them_back():
    learner = RankingLearner(bowl, SQUARE)
    run(learner, lambda learner: learner.npoints == 5)
    table = learner.to_dataframe()
    assert list(table.columns) == ["number", "x0", "x1", "y"]
    other = learner.new()
    other.load_dataframe(table)
    assert other.data == learner.data


def test_adaptives_own_runner_runs_it():
    learner = RankingLearner(bowl, SQUARE, refit_every=20)
    adaptive.runner.simple(learner, goal=lambda learner: learner.npoints >= 50)
    assert learner.refits == 2


def test_a_data_saver_keeps_what_else_the_function_returns():
    learner = adaptive.DataSaver(
        RankingLearner(lambda x: {"loss": bowl(x), "x": x}, SQUARE), lambda result: result["loss"]
    )
    adaptive.runner.simple(learner, goal=lambda learner: learner.npoints >= 5)
    assert len(learner.extra_data) == 5


# ------------------------------------------------------------------- by hand


def test_expected_improvement_by_hand_is_that_of_the_learner():
    ys = [bowl(x) for x in SQUARE[:30]]
    by_hand = expected_improvement(SQUARE[:30], ys, SQUARE[30:])
    model = RankingModel(SQUARE)
    assert model(range(30), ys)[30:] == pytest.approx(by_hand)


def test_by_hand_any_form_of_candidates_and_none_left():
    xs = [{"a": 0.0}, {"a": 1.0}, {"a": 2.0}]
    assert expected_improvement(xs, [3, 1, 2], [{"a": 1.5}, {"a": 9.0}]).shape == (2,)
    assert expected_improvement([0.0, 1.0], [1.0, 2.0], []).shape == (0,)
    assert expected_improvement(np.arange(9.0), np.arange(9.0), np.array([2.5])).shape == (1,)


def test_it_warns_of_nothing_and_other_threads_keep_their_warnings(recwarn):
    expected_improvement(SQUARE[:12], [1.0] * 12, SQUARE)
    assert not recwarn.list


def test_many_candidates_are_predicted_in_parts():
    candidates = np.random.default_rng(0).uniform(size=(5_001, 2))
    promise = RankingModel(candidates)(range(20), [bowl(x) for x in candidates[:20]])
    assert promise.shape == (5_001,)


def test_a_model_lets_other_threads_go_on():
    """A thread of a driver that collects results must not wait for a fit."""
    late = []

    def look():
        before = time.monotonic()
        while not is_over.wait(0.002):
            late.append(time.monotonic() - before)
            before = time.monotonic()

    candidates = np.random.default_rng(0).uniform(-32, 32, (400, 4))
    values = [ackley(x) for x in candidates[:350]]
    model, is_over = RankingModel(candidates), threading.Event()
    thread = threading.Thread(target=look)
    thread.start()
    model(range(350), values)
    is_over.set()
    thread.join()
    assert np.median(late) < 0.1


# ------------------------------------------------------------------- bad input


class Broken:
    """A model that gives nonsense."""

    def __init__(self, mean):
        self._mean = mean

    def fit(self, x, y):
        pass

    def predict(self, x, return_std):
        return self._mean, np.ones(len(x))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"candidates": []}, "candidates is empty"),
        ({"candidates": np.zeros((0, 4))}, "candidates is empty"),
        ({"candidates": np.zeros((3, 0))}, "no parts"),
        ({"candidates": np.zeros((3, 1, 2))}, r"shape \(3, 1, 2\)"),
        ({"candidates": np.array(["a"])}, "array of shape"),
        ({"candidates": [[1, 2], [3]]}, r"candidates\[1\] has 1 parts, but the first one 2"),
        ({"candidates": [np.zeros(2), np.zeros(3)]}, r"candidates\[1\] has 3 parts"),
        ({"candidates": [np.zeros(2), np.array(3.0)]}, r"candidates\[1\] has 1 parts"),
        ({"candidates": pd.Series([], dtype=float)}, "candidates is empty"),
        ({"candidates": pd.DataFrame({"a": [1, None]})}, "a=nan is no finite number"),
        ({"candidates": [10**400]}, "no finite number"),
        ({"candidates": [[1, 2], 3]}, r"candidates\[1\] has 1 parts"),
        ({"candidates": [1, [2]]}, r"candidates\[1\]: x=\[2\] is no finite number"),
        ({"candidates": [[1, float("nan")]]}, "x1=nan is no finite number"),
        ({"candidates": np.array([[1.0, np.inf]])}, "x1=inf"),
        ({"candidates": [[True, 1]]}, "x0=True"),
        ({"candidates": [{"a": 1}, {"b": 1}]}, r"candidates\[1\]=.* must be a dict with a"),
        ({"candidates": [{"a": "adam"}]}, "a='adam' is no finite number.*Encode"),
        ({"candidates": "abc"}, "give an array"),
        ({"candidates": {"a": [1]}}, "give an array"),
        ({"candidates": ["abc"]}, "no vector"),
        ({"candidates": 3}, "give an array"),
        ({"refit_every": 0}, "refit_every=0"),
        ({"surrogate": "grp"}, "Did you mean gpr"),
        ({"surrogate": "forest"}, "random-forest"),
        ({"surrogate": object()}, "fit"),
        ({"acquisition": "eii"}, "Did you mean ei"),
        ({"acquisition": 3}, "acquisition=3"),
        ({"seed": -1}, "seed=-1"),
        ({"maximize": 3}, "maximize=3"),
        ({"shuffle": 3}, "shuffle=3"),
        ({"function": 3}, "callable"),
    ],
)
def test_what_makes_no_learner_is_refused_with_a_remedy(change, words):
    with pytest.raises(InputError, match=words):
        RankingLearner(**{"function": bowl, "candidates": SQUARE, **change})


def test_a_package_that_is_not_installed_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"scikit-learn.*\[rank\]"):
        RankingLearner(bowl, SQUARE)
    RankingLearner(bowl, SQUARE, Nearest())  # which needs none


@pytest.mark.parametrize("mean", [np.ones(3), np.full(100, np.nan)])
def test_a_model_that_gives_nonsense_is_an_error(mean):
    with pytest.raises(ValueError, match=r"a number for each candidate|broadcast"):
        RankingModel(SQUARE, Broken(mean))([0, 1], [1.0, 2.0])


def test_no_candidate_is_refused_by_what_is_wrong():
    learner = RankingLearner(bowl, SQUARE)
    for x in [3, (0, (0.1,)), (-1, (0.0, 0.0)), (100, (0.0, 0.0)), (1, (0.0, 0.0)), "ab", None]:
        with pytest.raises(InputError, match="no candidate"):
            learner.tell(x, 1.0)
    with pytest.raises(InputError, match="needs a number"):
        learner.tell((0, (0.0, 0.0)), "much")


def test_by_hand_what_is_wrong_is_named():
    with pytest.raises(InputError, match="3 xs, but 2 ys"):
        expected_improvement([1, 2, 3], [1, 2], [4])
    with pytest.raises(InputError, match="2 numbers, but 1 values"):
        RankingModel(SQUARE)([0, 1], [1.0])
    for numbers in ([-1], [len(SQUARE)]):
        with pytest.raises(InputError, match="those of the candidates from 0 to 99"):
            RankingModel(SQUARE)(numbers, [1.0])
    with pytest.raises(InputError, match="must be alike"):
        expected_improvement([[1, 2]], [1], [4])
    with pytest.raises(InputError, match="xs is empty"):
        expected_improvement([], [], [4])
