"""Each optimiser as a learner of adaptive: its points, its values, its data on disk."""

from __future__ import annotations

import asyncio
import itertools
import random
import warnings
from functools import partial
from operator import itemgetter

import adaptive
import cloudpickle
import pytest

from adaptive_scheduler import Command, OptimizerLearner, Range
from adaptive_scheduler.core.searches.nearby import Nearby
from adaptive_scheduler.errors import InputError, UserCodeError
from adaptive_scheduler.io.learner_data import adaptive_private
from tests.effort import FULL, times
from tests.quick import usually

SPACE = {"drop": (0, 0.9), "batch_size": [16, 32, 64, 128, 256, 512]}
MIXED = {
    "a": (-1.0, 1.0),
    "n": (1, 9),
    "rate": Range(1e-5, 0.1, log=True),
    "kind": ["x", None, True, 1],
}
GOLDEN = {"method": "skopt:RF", "acq_func": "LCB", "seed": 42, "initial": 4}
#: Forests take seconds; `make quick` has those of the tests that are about them.
FOREST = pytest.param("skopt:RF", marks=pytest.mark.slow)
METHODS = ["random", FOREST, "optuna:tpe", "optuna:random"]


#: A model that looks at few points, and early.
QUICK = {"n_initial_points": 4, "acq_optimizer_kwargs": {"n_points": 200}}


def made(function, space, method, **settings):
    """A learner whose model costs little."""
    return OptimizerLearner(
        function, space, method, **settings, **(QUICK if "skopt" in method else {})
    )


def bowl(drop, batch_size):
    return (drop - 0.3) ** 2 + batch_size / 512


def mixed(a, n, rate, kind):
    return a * a + n + rate + (kind == "x")


def theirs(n, tell=True):
    """The first points that scikit-optimize itself asks for."""
    from skopt import Optimizer

    optimizer = Optimizer(
        list(map_space(SPACE)), base_estimator="RF", acq_func="LCB", random_state=42
    )
    points = []
    for _ in range(n):
        points.append(tuple(optimizer.ask()))
        if tell:
            optimizer.tell(list(points[-1]), bowl(*points[-1]))
    return points


def map_space(space):
    yield from space.values()


def search(learner, n, in_flight, seed=0):
    """Ask and tell, `in_flight` at a time, answers in a random order; returns the points by number."""
    order, out = random.Random(seed), []
    while learner.npoints < n:
        missing = min(in_flight, n - learner.npoints) - len(out)
        out += learner.ask(missing)[0] if missing > 0 else []
        x = out.pop(order.randrange(len(out)))
        learner.tell(x, learner.function(x))
    return dict(sorted(learner.data))


# ------------------------------------------------------------------- the golden points


@pytest.mark.parametrize("tell", [True, False])
def test_the_first_ten_points_are_those_of_scikit_optimize_in_any_order_of_values(tell):
    expected = theirs(10, tell)
    for seed, in_flight in enumerate((1, 3, 4, 8, 10)):
        points = search(OptimizerLearner(bowl, SPACE, **GOLDEN), 10, in_flight, seed)
        assert [points[number] for number in range(10)] == expected


def test_one_at_a_time_all_points_are_those_of_scikit_optimize():
    points = search(OptimizerLearner(bowl, SPACE, **GOLDEN), 13, 1)
    assert [points[number] for number in range(13)] == theirs(13)


@pytest.mark.parametrize("known", [[], [0], [0, 1, 2], [1, 4, 5], range(4)])
def test_the_first_ten_points_are_the_same_after_a_restart(known, tmp_path):
    expected = theirs(10)
    learner = OptimizerLearner(bowl, SPACE, **GOLDEN)
    asked, _ = learner.ask(6)
    for number in known:
        learner.tell(asked[number], learner.function(asked[number]))
    learner.save(tmp_path / "data.pickle")
    again = OptimizerLearner(bowl, SPACE, **GOLDEN)
    again.load(tmp_path / "data.pickle")
    points = search(again, 10, 4)
    assert [points[number] for number in range(10)] == expected


@pytest.mark.parametrize("generator", ["lhs", "sobol", "halton"])
def test_initial_samples_of_a_generator_are_asked_for_once_each(generator):
    from skopt import Optimizer

    options = {"initial_point_generator": generator, "n_initial_points": 8}
    their = Optimizer(list(map_space(SPACE)), base_estimator="RF", random_state=42, **options)
    expected = []
    for _ in range(8):
        expected.append(tuple(their.ask()))
        their.tell(list(expected[-1]), bowl(*expected[-1]), fit=False)
    learner = OptimizerLearner(bowl, SPACE, "skopt:RF", seed=42, **options)
    assert [values for _, values in learner.ask(8)[0]] == expected


# ------------------------------------------------------------------- near copies


def branin(x, y):
    from math import cos, pi

    x, y = 15 * x - 5, 15 * y
    return (
        (y - 5.1 / (4 * pi**2) * x**2 + 5 / pi * x - 6) ** 2 + 10 * (1 - 1 / (8 * pi)) * cos(x) + 10
    )


def sphere(x, y):
    return (x - 0.3) ** 2 + (y - 0.7) ** 2


def edge(x, y):
    return x + 0.1 * y


def near_copies(function, seed, n):
    """How many of n points were near copies of one in flight, eight being so."""
    learner = OptimizerLearner(
        function, {"x": (0.0, 1.0), "y": (0.0, 1.0)}, "skopt:RF", acq_func="LCB", seed=seed
    )
    nearby, order, out, copies = Nearby(learner.space), random.Random(seed), [], 0
    for _ in range(n):
        if len(out) == 8:
            x = out.pop(order.randrange(8))
            nearby.discard(x[1])
            learner.tell(x, learner.function(x))
        (x,), _ = learner.ask(1)
        copies += nearby.has_near(x[1])
        nearby.add(x[1])
        out.append(x)
    return copies, learner


def test_fault_46_eight_at_a_time_are_eight_different_points():
    functions = [branin, sphere, edge] if FULL else [sphere]
    cases = list(itertools.product(functions, range(times(1, 5))))
    n = times(usually(28, quick=20), 100)
    found = [near_copies(function, seed, n) for function, seed in cases]
    copies = sum(count for count, _ in found)
    print(f"{copies} near copies among {n * len(cases)} points")
    assert copies <= 0.01 * n * len(cases)
    assert all(learner.best[1] < 3 for _, learner in found)


@pytest.mark.parametrize("method", METHODS)
def test_points_in_flight_are_different_for_each_optimiser(method):
    learner = made(sphere, {"x": (0.0, 1.0), "y": (0.0, 1.0)}, method)
    search(learner, 6, 4)
    nearby = Nearby(learner.space)
    for _, values in learner.ask(4)[0]:
        assert not nearby.has_near(values)
        nearby.add(values)


@pytest.mark.parametrize("method", METHODS)
def test_a_space_of_few_points_is_gone_through_and_then_repeated(method):
    learner = made(lambda a, b: a + b, {"a": [1, 2], "b": [1, 2]}, method)
    points = learner.ask(6)[0]
    assert [number for number, _ in points] == list(range(6))
    for x in points:
        learner.tell(x, learner.function(x))
    assert learner.npoints == 6
    search(learner, 10, 3)
    assert learner.best == ({"a": 1, "b": 1}, 2)


# ------------------------------------------------------------------- what adaptive asks of a learner


@pytest.mark.parametrize("method", METHODS)
def test_any_values_are_asked_for_and_told(method):
    learner = made(mixed, MIXED, method)
    points = search(learner, 9, 3)
    assert sorted(points) == list(range(9))
    for values in points.values():
        assert learner.space.native(values) == values
        assert [type(one) for one in values[:3]] == [float, int, float]


def test_a_model_of_scikit_optimize_that_is_no_forest():
    learner = made(mixed, MIXED, "skopt:GP")
    assert sorted(search(learner, 6, 2)) == list(range(6))


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_asks_for_the_same_points(method):
    one, other, another = (
        search(made(mixed, MIXED, method, seed=seed), 8, 3) for seed in (1, 1, 2)
    )
    assert one == other != another


@pytest.mark.parametrize("method", ["random", FOREST, "optuna:tpe"])
def test_to_ask_without_telling_pending_changes_nothing(method):
    learner, other = (made(mixed, MIXED, method) for _ in range(2))
    search(learner, 6, 1), search(other, 6, 1)
    first = learner.ask(2, tell_pending=False)
    assert learner.ask(2, tell_pending=False) == first
    assert learner.pending_points == set()
    assert learner.ask(3)[0][:2] == first[0]
    assert other.ask(3)[0] == sorted(learner.pending_points)


@pytest.mark.parametrize("method", ["random", FOREST, "optuna:tpe"])
def test_points_in_flight_are_asked_for_again_with_their_numbers(method):
    learner = made(mixed, MIXED, method)
    asked = learner.ask(5)[0]
    learner.tell(asked[2], 1.0)
    learner.remove_unfinished()
    assert learner.ask(4)[0] == [x for n, x in enumerate(asked) if n != 2]
    assert learner.ask(1)[0][0][0] == 5


@pytest.mark.parametrize("method", ["random", FOREST, "optuna:tpe"])
def test_a_pickled_learner_goes_on_as_the_first(method):
    learner = made(mixed, MIXED, method)
    search(learner, 6, 2)
    again = cloudpickle.loads(cloudpickle.dumps(learner))
    assert again.data == learner.data
    assert again.ask(2)[0] == learner.ask(2)[0]
    assert again.new().data == {}
    assert again.new().ask(3)[0] == learner.new().ask(3)[0]


def test_the_best_point_and_the_loss():
    learner = OptimizerLearner(bowl, SPACE)
    assert (learner.best, learner.loss()) == (None, float("inf"))
    learner.tell((0, (0.5, 16)), 2.0)
    learner.tell((1, (0.1, 32)), 1.0)
    learner.tell((2, (0.2, 32)), float("nan"))
    assert learner.best == ({"drop": 0.1, "batch_size": 32}, 1.0)
    assert (learner.loss(), learner.loss(real=False), learner.npoints) == (1.0, 1.0, 3)
    large = OptimizerLearner(bowl, SPACE, maximize=True)
    large.copy_from(learner)
    assert large.best == ({"drop": 0.5, "batch_size": 16}, 2.0)
    assert large.loss() == -2.0


@pytest.mark.parametrize("method", METHODS)
def test_values_that_are_no_numbers_do_not_reach_the_optimiser(method):
    learner = made(mixed, MIXED, method)
    for n, x in enumerate(learner.ask(8)[0]):
        learner.tell(x, float("nan") if n % 2 else 1.0 * n)
    search(learner, 11, 2)
    with pytest.raises(InputError, match="needs a number"):
        learner.tell(learner.ask(1)[0][0], {"loss": 1.0})


@pytest.mark.parametrize("method", ["random", FOREST, "optuna:tpe"])
def test_a_point_that_is_given_up_is_not_asked_for_again(method):
    learner = made(mixed, MIXED, method)
    first, second = learner.ask(2)[0]
    learner.give_up(first)
    learner.give_up(second, penalty=100.0)
    assert learner.data == {}
    assert learner.pending_points == set()
    learner.remove_unfinished()
    assert learner.ask(1)[0][0][0] == 2


@pytest.mark.parametrize("method", ["random", FOREST, "optuna:tpe"])
def test_adaptives_own_runner_runs_it(method):
    learner = made(bowl, SPACE, method)
    adaptive.runner.simple(learner, npoints_goal=7)
    assert learner.npoints == 7


async def late_bowl(drop, batch_size):
    return bowl(drop, batch_size)


def test_an_async_function_is_known_as_one():
    """It was called, and its coroutine taken for the value."""
    learner = cloudpickle.loads(cloudpickle.dumps(made(late_bowl, SPACE, "random")))
    assert adaptive_private.is_async(learner)

    async def run():
        await adaptive.AsyncRunner(learner, npoints_goal=3).task

    asyncio.run(run())
    assert all(isinstance(value, float) for value in learner.data.values())


def test_a_balancing_learner_divides_its_points_among_searches():
    learners = [OptimizerLearner(bowl, SPACE, seed=seed) for seed in range(3)]
    balancing = adaptive.BalancingLearner(learners)
    adaptive.runner.simple(balancing, npoints_goal=4)
    assert [learner.npoints for learner in learners] == [4, 4, 4]


def test_a_data_saver_keeps_what_else_the_function_returns():
    def function(drop, batch_size):
        return {"loss": bowl(drop, batch_size), "seconds": 3}

    learner = adaptive.DataSaver(OptimizerLearner(function, SPACE), itemgetter("loss"))
    adaptive.runner.simple(learner, npoints_goal=5)
    assert len(learner.extra_data) == learner.learner.npoints == 5


def test_a_table_has_a_column_for_each_parameter():
    learner = OptimizerLearner(bowl, SPACE)
    search(learner, 5, 2)
    frame = learner.to_dataframe()
    assert list(frame.columns) == ["number", "drop", "batch_size", "y"]
    again = OptimizerLearner(bowl, SPACE)
    again.load_dataframe(frame)
    assert again.data == learner.data
    with pytest.raises(InputError, match="y_name"):
        learner.to_dataframe(y_name="drop")


# ------------------------------------------------------------------- objects of the user's


class Sequence:
    """Asks for a sequence of its own, and checks what it is told."""

    def __init__(self):
        self.n, self.told = 0, []

    def ask(self):
        self.n += 1
        return [self.n / 1000, 16]

    def tell(self, point, value):
        self.told.append((point[0], value))


class Gest:
    """The gest-api: dicts, with an id of its own."""

    def __init__(self):
        self.n, self.told = 0, []

    def suggest(self, num_points):
        self.n += num_points
        return [{"drop": self.n / 1000, "batch_size": 16, "_id": self.n} for _ in range(num_points)]

    def ingest(self, results):
        self.told += results


class Counted(Sequence):
    """As libEnsemble's: how many must be said, dicts come back."""

    def ask(self, num_points):
        return [
            {"drop": one[0], "batch_size": one[1]}
            for one in (Sequence.ask(self) for _ in range(num_points))
        ]

    def tell(self, results):
        self.told += results


def test_an_object_that_asks_and_tells():
    own = Sequence()
    learner = OptimizerLearner(bowl, SPACE, own)
    points = learner.ask(3)[0]
    learner.tell(points[1], 5.0)
    assert [values for _, values in points] == [(0.001 * n, 16) for n in (1, 2, 3)]
    assert own.told == [(0.002, 5.0)]


@pytest.mark.parametrize("kind", [Gest, Counted])
def test_an_object_of_the_gest_api_is_told_what_it_had_asked_for(kind):
    own = kind()
    learner = OptimizerLearner(bowl, SPACE, own)
    points = learner.ask(3)[0]
    learner.tell(points[2], 5.0)
    (told,) = own.told
    assert (told["drop"], told["batch_size"], told["f"]) == (0.003, 16, 5.0)
    assert told.get("_id") == (3 if kind is Gest else None)


def test_scikit_optimizes_own_object_is_asked_as_it_is():
    from skopt import Optimizer

    own = Optimizer(list(map_space(SPACE)), base_estimator="RF", acq_func="LCB", random_state=42)
    learner = OptimizerLearner(bowl, SPACE, own)
    points = search(learner, 12, 1)
    assert [points[number] for number in range(12)] == theirs(12)
    assert len(own.Xi) == 12


@pytest.mark.parametrize("kind", [Sequence, Gest, Counted])
def test_the_sequence_of_an_object_does_not_begin_anew_after_a_restart(kind):
    first = OptimizerLearner(bowl, SPACE, kind())
    search(first, 4, 2)
    own = kind()
    again = OptimizerLearner(bowl, SPACE, own)
    again.copy_from(first)
    assert len(own.told) == 4
    assert again.ask(1)[0] == [(4, (0.005, 16))]


def test_an_object_that_asks_for_a_point_of_another_space_is_an_error():
    class Wrong(Sequence):
        def ask(self):
            return [7.0, 16]

    with pytest.raises(InputError, match="no point of this space"):
        OptimizerLearner(bowl, SPACE, Wrong()).ask(1)


def test_an_object_that_gives_too_few_points_is_an_error():
    class Empty(Gest):
        def suggest(self, num_points):
            return []

    with pytest.raises(UserCodeError, match="one point was asked for, 0 came"):
        OptimizerLearner(bowl, SPACE, Empty()).ask(1)


# ------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": "skop:RF"}, "skopt:RF"),
        ({"method": "skopt:XX"}, "GP, RF, ET"),
        ({"method": "optuna:xx"}, "tpe, random"),
        ({"method": object()}, "ask and tell"),
        ({"method": dict}, "is a class: give an object of it"),
        ({"method": "skopt:RF", "acq_fun": "LCB"}, "acq_fun='LCB' is no option"),
        ({"method": "skopt:RF", "acq_func": "XX"}, "acq_func"),
        ({"method": "skopt:RF", "acq_func": "EIps"}, "time that each point took"),
        ({"method": "optuna:tpe", "startup": 3}, "startup"),
        ({"acq_func": "LCB"}, "acq_func='LCB' is no option of method='random'"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": "x"}, "seed='x'"),
        ({"initial": 0}, "initial=0"),
        ({"maximize": 3}, "maximize=3"),
        ({"function": 3}, "callable"),
    ],
)
def test_what_makes_no_learner_is_refused_with_a_remedy(change, words):
    with pytest.raises(InputError, match=words):
        OptimizerLearner(**{"function": bowl, "space": SPACE, **change})


def test_a_package_that_is_not_installed_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"scikit-optimize.*\[skopt\]"):
        OptimizerLearner(bowl, SPACE, "skopt:RF")


def test_no_point_is_refused_by_what_is_wrong():
    learner = OptimizerLearner(bowl, SPACE)
    for x in [3, (0, (0.1,)), (-1, (0.1, 16)), (0, (2.0, 16)), "ab"]:
        with pytest.raises(InputError):
            learner.tell(x, 1.0)


def test_a_command_is_kept_as_it_is():
    command = Command("./task.sh {_json}")
    learner = OptimizerLearner(command, SPACE)
    assert learner.task is command
    with pytest.raises(InputError, match="run by an Executor"):
        learner.function(learner.ask(1)[0][0])


def test_it_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search(made(partial(bowl), SPACE, "skopt:RF"), 6, 3)
