"""Learners within learners: each combination runs in a job, or is refused at the start."""

from __future__ import annotations

from functools import partial

import pytest
from adaptive import (
    AverageLearner,
    AverageLearner1D,
    BalancingLearner,
    DataSaver,
    IntegratorLearner,
    Learner1D,
    Learner2D,
    LearnerND,
    SequenceLearner,
)

from adaptive_scheduler.core.options.run_options import RunOptions
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.evaluation.learners.run import LearnerWork, run_learner
from adaptive_scheduler.evaluation.learners.store import LearnerStore
from adaptive_scheduler.executors.process_pools import ProcessPool
from adaptive_scheduler.io.learner_data import adaptive_private
from adaptive_scheduler.io.learner_data.point_journal import PointJournal
from adaptive_scheduler.runs import load_data
from adaptive_scheduler.runs.start.plan import make_plan
from adaptive_scheduler.schedulers.local import LocalScheduler


def value(x):
    return sum(x) if isinstance(x, tuple) else float(x)


def result(x):
    return {"y": value(x)}


def picked(found):
    return found["y"]


def same(found):
    return found


async def awaited(x):
    return x


PLAIN = {
    "Learner1D": lambda f: Learner1D(f, (-1, 1)),
    "Learner2D": lambda f: Learner2D(f, [(-1, 1), (-2, 1)]),
    "LearnerND": lambda f: LearnerND(f, [(-1, 1), (-2, 1)]),
    "AverageLearner": lambda f: AverageLearner(f, atol=0.01),
    "AverageLearner1D": lambda f: AverageLearner1D(f, (-1, 1), min_samples=3, max_samples=6),
    "SequenceLearner": lambda f: SequenceLearner(f, range(20)),
    "IntegratorLearner": lambda f: IntegratorLearner(f, (0, 1), tol=1e-3),
}
STRATEGIES = ["loss_improvements", "loss", "npoints", "cycle"]


def balancing(make, f, strategy="loss_improvements"):
    return BalancingLearner([make(f), make(f)], strategy=strategy)


def saver(make, f=result):
    return DataSaver(make(f), picked)


WRAPPED = {
    "DataSaver": saver,
    "DataSaver of DataSaver": lambda make: DataSaver(saver(make), same),
    **{
        f"BalancingLearner, {strategy}": partial(balancing, f=value, strategy=strategy)
        for strategy in STRATEGIES
    },
    "BalancingLearner of DataSavers": lambda make: BalancingLearner([saver(make), saver(make)]),
    "DataSaver of BalancingLearner": lambda make: DataSaver(balancing(make, result), picked),
    "BalancingLearner of BalancingLearners": lambda make: BalancingLearner(
        [balancing(make, value), balancing(make, value)]
    ),
}

#: What adaptive cannot run, and a word of the remedy.
REFUSED = {
    **{
        ("IntegratorLearner", wrapped): "Give each of them in `learners`"
        for wrapped in WRAPPED
        if "Balancing" in wrapped and wrapped != "BalancingLearner of BalancingLearners"
    },
    **{
        (kind, "BalancingLearner of BalancingLearners"): "Make one BalancingLearner of all"
        for kind in PLAIN
    },
    **{
        ("LearnerND", f"BalancingLearner, {strategy}"): "Use strategy='loss_improvements'"
        for strategy in STRATEGIES[1:]
    },
}
COMBINATIONS = [(kind, wrapped) for kind in PLAIN for wrapped in WRAPPED]


def plan(learner, fname="data/0"):
    return make_plan(LocalScheduler(cores=1), [learner], [fname], RunOptions(goal=10))


@pytest.fixture(scope="module")
def pool():
    executor = ProcessPool()
    pool = executor.open(2)
    yield pool
    executor.close(pool, 10)


@pytest.mark.parametrize(("kind", "wrapped"), sorted(REFUSED))
def test_a_combination_that_would_fail_in_the_job_is_refused_with_a_remedy(kind, wrapped):
    learner = WRAPPED[wrapped](PLAIN[kind])
    with pytest.raises(InputError, match=rf"^learners\[0\] .*{REFUSED[kind, wrapped]}"):
        plan(learner)


@pytest.mark.parametrize(("kind", "wrapped"), [one for one in COMBINATIONS if one not in REFUSED])
def test_a_combination_that_is_not_refused_runs_and_its_data_load(kind, wrapped, pool, tmp_path):
    learner = WRAPPED[wrapped](PLAIN[kind])
    plan(learner)
    goal = None if kind == "SequenceLearner" else lambda learner: learner.npoints >= 30
    if kind == "AverageLearner1D":
        goal = lambda learner: learner.nsamples >= 30  # noqa: E731
    fname = str(tmp_path / "data")
    outcome = run_learner(LearnerWork(learner, fname, goal, pool, 2))
    assert (outcome.reason, outcome.error, outcome.saved) == ("goal", None, True)
    again = WRAPPED[wrapped](PLAIN[kind])
    assert load_data.load_learners([again], [fname], progress=False) == 1
    assert held(again) == held(learner)
    LearnerStore(WRAPPED[wrapped](PLAIN[kind]), fname).load()
    in_mid_run = WRAPPED[wrapped](PLAIN[kind])
    journal = PointJournal(fname + "-unsaved", 1)
    for x, y in held(learner).items():
        journal.add(adaptive_private.compact(learner, x), y)
    journal.close()
    assert load_data.load_learners([in_mid_run], [fname + "-unsaved"], progress=False) == 1
    assert held(in_mid_run) == held(learner)
    assert len(load_data.to_dataframe([in_mid_run], [fname])) == len(held(learner))


def held(learner):
    return dict(adaptive_private.points_of(learner, learner._get_data()))


@pytest.mark.parametrize("kind", ["IntegratorLearner", "LearnerND"])
def test_adaptive_itself_cannot_run_a_refused_combination(kind):
    """Else it need not be refused any more."""
    learner = balancing(PLAIN[kind], value, "npoints")

    def run():
        for _ in range(60):
            (x,), _ = learner.ask(1)
            learner.tell(x, learner.function(x))

    with pytest.raises((TypeError, ValueError), match=r"tell_pending|already in triangulation"):
        run()


def test_the_place_of_a_refused_learner_is_named():
    learners = [PLAIN["Learner1D"](value), balancing(PLAIN["IntegratorLearner"], value)]
    with pytest.raises(InputError, match=r"^learners\[1\] is a BalancingLearner of Integrator"):
        make_plan(LocalScheduler(cores=1), learners, ["a", "b"], RunOptions(goal=10))


def test_entries_that_cannot_be_keys_are_refused_in_a_datasaver():
    for entries in ([[1], [2]], [{"a": 1}]):
        inside = SequenceLearner(result, entries)
        plan(inside)
        for learner in (
            DataSaver(inside, picked),
            BalancingLearner([DataSaver(inside, picked)]),
            DataSaver(BalancingLearner([inside]), picked),
        ):
            with pytest.raises(InputError, match=r"unhashable type.*Give tuples"):
                plan(learner)
    plan(DataSaver(SequenceLearner(result, [(1,), (2,)]), picked))
    plan(DataSaver(SequenceLearner(result, []), picked))


def test_a_mixture_of_async_and_plain_functions_is_refused():
    with pytest.raises(InputError, match=r"async def.*one or the other"):
        plan(BalancingLearner([PLAIN["Learner1D"](value), PLAIN["Learner1D"](awaited)]))
    plan(BalancingLearner([PLAIN["Learner1D"](awaited), PLAIN["Learner1D"](awaited)]))


@pytest.mark.parametrize("names", [["a", "b"], ("a", "b")])
def test_a_datasaver_has_one_file(names):
    learner = DataSaver(balancing(PLAIN["Learner1D"], result), picked)
    with pytest.raises(InputError, match=r"fnames\[0\] is a list.*Give one name, or a Balancing"):
        plan(learner, names)
    with pytest.raises(InputError, match=r"is a Learner1D.*Give one name\.$"):
        plan(PLAIN["Learner1D"](value), ["a"])


@pytest.mark.parametrize(
    "names", [[["a", "b"], "c"], lambda learner: "a", [1, 2], b"bytes", {"a": "b"}, 3]
)
def test_a_name_in_a_form_that_cannot_be_used_is_refused(names):
    with pytest.raises(InputError, match=r"fnames\[0\].*(Give a str or a path|2 names)"):
        plan(balancing(PLAIN["Learner1D"], value), names)


def test_an_empty_balancing_learner_is_refused():
    for learner in (BalancingLearner([]), DataSaver(BalancingLearner([]), picked)):
        with pytest.raises(InputError, match=r"^learners\[0\].* of no learners: give it some"):
            plan(learner)
