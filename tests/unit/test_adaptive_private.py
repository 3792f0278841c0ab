"""Each private part of adaptive that is used, by name: fails first when adaptive changes."""

from __future__ import annotations

import gzip
import importlib.metadata
import inspect
from functools import partial

import adaptive
import cloudpickle
import pytest
from adaptive.learner import balancing_learner, sequence_learner
from adaptive.learner.base_learner import BaseLearner

from adaptive_scheduler.io.learner_data import adaptive_private
from tests.contract.learner_kinds import kinds

KINDS = kinds()


def simple(learner, n):
    """Ask and tell n points, each in turn."""
    for _ in range(n):
        for x in adaptive_private.ask(learner, 1):
            function, argument = adaptive_private.target(learner.function, x)
            learner.tell(x, function(argument))
    learner.remove_unfinished()
    return learner


@pytest.fixture(params=list(KINDS))
def made(request):
    make, _ = KINDS[request.param]
    learner = make()
    adaptive_private.prepare(learner)
    return make, simple(learner, 25)


def test_the_version_is_the_pinned_one():
    assert importlib.metadata.version("adaptive").startswith("1.5.")


def test_the_private_names_exist():
    assert inspect.signature(sequence_learner._IgnoreFirstArgument).parameters.keys() == {
        "function"
    }
    assert list(inspect.signature(balancing_learner.dispatch).parameters) == [
        "child_functions",
        "arg",
    ]
    average = adaptive.AverageLearner1D(abs, (0, 1))
    for name in ("_data_samples", "_ask_for_more_samples", "_ask_for_new_point"):
        assert hasattr(average, name)
    assert hasattr(adaptive.SequenceLearner(abs, [1]), "_to_do_indices")
    integrator = adaptive.IntegratorLearner(abs, (0, 1), 0.1)
    assert integrator._stack
    assert integrator.x_mapping
    for name in ("_get_data", "_set_data", "save", "load"):
        assert hasattr(BaseLearner, name)


def test_target_is_the_users_function():
    learner = adaptive.BalancingLearner(
        [adaptive.DataSaver(adaptive.SequenceLearner(f, ["a", "b"]), id) for f in (len, str)]
    )
    assert adaptive_private.target(learner.function, (1, (0, "a"))) == (str, "a")
    assert adaptive_private.target(learner.function, (0, (1, "b"))) == (len, "b")
    plain = partial(int, base=2)
    assert adaptive_private.target(plain, "1") == (plain, "1")


def test_every_told_point_is_known_and_in_the_data(made):
    _, learner = made
    pairs = list(adaptive_private.points_of(learner, learner._get_data()))
    assert pairs
    for x, _ in pairs:
        assert adaptive_private.is_known(learner, x)
        assert adaptive_private.expand(learner, adaptive_private.compact(learner, x)) == x


def test_what_we_write_is_what_adaptive_writes(made, tmp_path):
    make, learner = made
    if isinstance(learner, adaptive.BalancingLearner):
        learner = learner.learners[0]
        make = learner.new
    learner.save(str(tmp_path / "theirs"))
    blob = adaptive_private.dump_data(learner)
    (tmp_path / "ours").write_bytes(adaptive_private.compress(blob))
    theirs = cloudpickle.loads(gzip.decompress((tmp_path / "theirs").read_bytes()))
    assert type(theirs) is type(adaptive_private.read_data((tmp_path / "ours").read_bytes()))
    one, other = make(), make()
    one.load(str(tmp_path / "ours"))
    adaptive_private.set_data(other, adaptive_private.read_data((tmp_path / "theirs").read_bytes()))
    assert dict(adaptive_private.points_of(one, one._get_data())) == dict(
        adaptive_private.points_of(other, other._get_data())
    )
    assert adaptive_private.npoints(one) == adaptive_private.npoints(learner)


def test_a_loaded_learner_nd_keeps_the_function_of_today():
    old = simple(adaptive.LearnerND(lambda xy: xy[0], [(0, 1), (0, 1)]), 10)
    new = adaptive.LearnerND(sum, [(0, 1), (0, 1)])
    adaptive_private.set_data(
        new, adaptive_private.read_data(adaptive_private.compress(adaptive_private.dump_data(old)))
    )
    assert new.function is sum
    assert new.npoints == 10
    assert new.pending_points == set()


def test_an_average_learner_1d_asks_for_no_seed_twice_also_after_a_restart():
    learner = adaptive.AverageLearner1D(lambda sx: sx[0] % 3 + sx[1], (0, 1), min_samples=20)
    adaptive_private.prepare(learner)
    asked = [x for _ in range(10) for x in adaptive_private.ask(learner, 4)]
    assert len(set(asked)) == 40
    for seed, x in asked[::2]:  # the others are lost
        learner.tell((seed, x), learner.function((seed, x)))
    again = learner.new()
    adaptive_private.set_data(
        again,
        adaptive_private.read_data(adaptive_private.compress(adaptive_private.dump_data(learner))),
    )
    adaptive_private.prepare(again)
    for _ in range(40):
        (x,) = adaptive_private.ask(again, 1)
        assert not adaptive_private.is_known(again, x)
        again.tell(x, again.function(x))
    assert cloudpickle.loads(cloudpickle.dumps(again)).npoints == again.npoints


@pytest.mark.parametrize("strategy", ["loss_improvements", "loss", "npoints", "cycle"])
def test_a_balancing_learner_of_sequences_asks_for_each_point_once(strategy):
    children = [adaptive.SequenceLearner(abs, range(n)) for n in (1, 9, 4)]
    learner = adaptive.BalancingLearner(children, strategy=strategy)
    points = [x for _ in range(4) for x in adaptive_private.ask(learner, 4)]
    assert len(points) == len(set(points)) == 14
    assert adaptive_private.ask(learner, 3) == []
    for x in points:
        learner.tell(x, 0)
    assert all(child.done() for child in children)


def test_an_integrator_takes_loaded_points_and_asks_only_for_others():
    learner = adaptive.IntegratorLearner(abs, (-1, 1), 1e-3)
    first = list(learner._stack)
    adaptive_private.tell_loaded(learner, first[3], 1.0)
    assert adaptive_private.is_known(learner, first[3])
    assert first[3] not in adaptive_private.ask(learner, len(first) - 1)
    assert not adaptive_private.can_tell(learner, 0.123)


def test_learners_whose_choice_does_not_depend_on_values():
    sequence = adaptive.SequenceLearner(abs, range(3))
    assert adaptive_private.is_blind(adaptive.DataSaver(sequence, abs))
    assert adaptive_private.is_blind(adaptive.BalancingLearner([sequence]))
    assert not adaptive_private.is_blind(adaptive.Learner1D(abs, (0, 1)))


def test_files_of_a_balancing_learner():
    children = [adaptive.SequenceLearner(abs, range(3)) for _ in range(2)]
    learner = adaptive.BalancingLearner(children)
    assert adaptive_private.files_of(learner, ["a", "b"]) == [
        (children[0], "a"),
        (children[1], "b"),
    ]
    with pytest.raises(ValueError, match="3 fnames for a BalancingLearner of 2"):
        adaptive_private.files_of(learner, ["a", "b", "c"])
