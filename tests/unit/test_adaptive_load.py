"""Loading a learner in less time gives what adaptive's own load gives, to the last bit."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise

import adaptive
import numpy as np
import pytest
from adaptive.learner.learner1D import (
    Learner1D,
    curvature_loss_function,
    default_loss,
    resolution_loss_function,
    uniform_loss,
    uses_nth_neighbors,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from adaptive_scheduler.io.learner_data import adaptive_load
from tests.effort import times
from tests.quick import usually


@uses_nth_neighbors(2)
def wide_loss(xs, ys):
    """Of five intervals; where there are fewer, None stands for a point."""
    known = [(x, np.sum(y)) for x, y in zip(xs, ys, strict=True) if x is not None]
    return sum(abs(b[1] - a[1]) + b[0] - a[0] for a, b in pairwise(known))


LOSSES = [
    default_loss,
    uniform_loss,
    curvature_loss_function(),
    resolution_loss_function(min_length=0.01, max_length=0.5),
    wide_loss,
]


def scalar(x):
    return float(np.sin(40 * x) / (abs(x) + 0.01))


def vector(x):
    return np.array([x, scalar(x), -3.0])


#: Within the bounds, on them, and outside: all that a file may hold.
points = st.one_of(
    st.floats(-1, 1), st.sampled_from([-1.0, 1.0, 0.0]), st.integers(-1, 1), st.floats(-3, 3)
)


@st.composite
def cases(draw):
    """A learner as it may be found, and data to load into it."""
    function = draw(st.sampled_from([scalar, vector]))
    learner = Learner1D(function, (-1, 1), draw(st.sampled_from(LOSSES)))
    for x in draw(st.lists(st.floats(-1, 1), max_size=4)):
        learner.tell(x, function(x))
    for _ in range(draw(st.integers(0, 2))):
        learner.ask(draw(st.integers(1, 5)))
    data = {x: function(x) for x in draw(st.lists(points, max_size=60, unique=True))}
    return learner, data


def exact(rows):
    """Floats to the last bit; an integer or None counts as its float, and -0.0 as 0.0.

    They are one key: a point asked for at 0.0 may be told at -0.0, and either name stays.
    """
    return repr((np.array([*rows], dtype=float) + 0.0).tolist())


def state(learner):
    """All that a Learner1D knows."""
    return {
        "data": repr(list(learner.data.items())),
        "pending": learner.pending_points,
        "losses": exact((*key, loss) for key, loss in learner.losses.items()),
        "combined": exact((*key, loss) for key, loss in learner.losses_combined.items()),
        "neighbors": exact((x, *beside) for x, beside in learner.neighbors.items()),
        "neighbors_combined": exact((x, *y) for x, y in learner.neighbors_combined.items()),
        "scale": repr((learner._bbox, learner._scale, learner._oldscale)),
        "loss": float(learner.loss()),
    }


def next_points(learner, n):
    """What it asks for while it is told the values."""
    asked = []
    for _ in range(n // 5):
        xs, _ = learner.ask(5)
        asked += xs
        for x in xs:
            learner.tell(x, learner.function(x))
    return asked


def assert_alike(ours, theirs, n=50):
    assert state(ours) == state(theirs)
    assert next_points(ours, n) == next_points(theirs, n)
    assert state(ours) == state(theirs)


@pytest.mark.slow
@settings(max_examples=times(usually(150, quick=50), 3000))
@given(cases())
def test_a_line_is_loaded_as_adaptive_loads_it(case):
    learner, data = case
    theirs = deepcopy_of(learner)
    adaptive_load.load(learner, data)
    theirs._set_data(data)
    theirs.remove_unfinished()
    assert_alike(learner, theirs)


def deepcopy_of(learner):
    """Its pickle would be another learner: it sorts what it is told anew."""
    other = learner.new()
    other.__dict__.update(
        {name: deepcopy(value) for name, value in learner.__dict__.items() if name != "function"}
    )
    other.function = learner.function
    return other


@pytest.mark.slow
@settings(max_examples=times(usually(150, quick=50), 3000))
@given(cases(), st.integers(0, 20), st.integers(0, 20))
def test_a_line_is_tidied_as_adaptive_tidies_it(case, asked, told):
    learner, data = case
    for x, y in data.items():
        learner.tell(x, y)
    for x in learner.ask(asked)[0][:told]:
        learner.tell(x, learner.function(x))
    learner.ask(asked)
    theirs = deepcopy_of(learner)
    adaptive_load.tidy(learner)
    theirs.remove_unfinished()
    assert_alike(learner, theirs)


def test_a_line_that_asked_for_zero_may_be_told_minus_zero():
    learner = Learner1D(scalar, (-1, 1))
    assert 0.0 in learner.ask(5)[0]
    for x in (-1.0, 1.0, -0.0, 0.5):
        learner.tell(x, scalar(x))
    learner.ask(3)
    theirs = deepcopy_of(learner)
    adaptive_load.tidy(learner)
    theirs.remove_unfinished()
    assert_alike(learner, theirs)


@pytest.mark.parametrize("function", [scalar, vector])
def test_many_points_of_learners_in_learners(function):
    rng = np.random.default_rng(1)
    data = {x: function(x) for x in rng.uniform(-1, 1, 500).tolist()}

    def make():
        lines = [Learner1D(function, (-1, 1)) for _ in range(2)]
        return adaptive.DataSaver(adaptive.BalancingLearner(lines), lambda y: y)

    ours, theirs = make(), make()
    for learner, load in ((ours, adaptive_load.load), (theirs, type(theirs)._set_data)):
        load(learner, ([data, dict(list(data.items())[:100])], {"extra": 1}))
    theirs.remove_unfinished()
    assert ours.extra_data == theirs.extra_data == {"extra": 1}
    for one, other in zip(ours.learner.learners, theirs.learner.learners, strict=True):
        assert_alike(one, other)


def test_a_class_with_its_own_methods_is_loaded_by_them():
    class Own(Learner1D):
        def tell_many(self, xs, ys, *, force=False):
            self.seen = len(xs)
            super().tell_many(xs, ys, force=force)

    learner = Own(scalar, (-1, 1))
    adaptive_load.load(learner, {x / 10: scalar(x / 10) for x in range(10)})
    assert learner.seen == 10
    average = adaptive.AverageLearner1D(lambda sx: sx[1], (0, 1))
    adaptive_load.load(average, {0.5: {0: 1.0, 1: 2.0}})
    assert average.npoints == 1


def test_each_interval_is_computed_and_looked_for_once():
    """Adaptive's own load looks through all of them for each."""
    calls = []

    def loss(xs, ys):
        calls.append(xs)
        return default_loss(xs, ys)

    for n in (1_000, 2_000):
        calls.clear()
        learner = Learner1D(scalar, (-1, 1), loss)
        adaptive_load.load(learner, {x: scalar(x) for x in np.linspace(-1, 1, n).tolist()})
        assert len(calls) == n - 1


def test_what_was_in_flight_as_a_learner_nd_was_saved_can_be_asked_for_again():
    """Its file had an empty queue: a learner that was killed then failed at each try (CI, LearnerND)."""
    learner = adaptive.LearnerND(sum, [(-1, 1), (-1, 1)])
    for point in learner.ask(4)[0]:
        learner.tell(point, sum(point))
    learner.ask(2)
    learner._simplex_queue.clear()  # as the file of the killed one had it
    again = adaptive.LearnerND(sum, [(-1, 1), (-1, 1)])
    adaptive_load.load(again, learner._get_data())
    assert len(again._simplex_queue) == len(again.tri.simplices)
    assert len(set(again.ask(6)[0])) == 6
