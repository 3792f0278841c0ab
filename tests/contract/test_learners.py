"""Every kind of learner: reaches its goal, keeps every evaluation, comes back from disk."""

from __future__ import annotations

import time
from functools import partial

import pytest

from adaptive_scheduler.client.scripts.match import copy_learner
from adaptive_scheduler.evaluation.learners.run import LearnerRun, LearnerWork, run_learner
from adaptive_scheduler.evaluation.learners.store import LearnerStore
from adaptive_scheduler.executors.process_pools import ProcessPool
from adaptive_scheduler.io.learner_data import adaptive_private
from adaptive_scheduler.io.learner_data.point_journal import PointJournal, read_journals
from tests.contract.learner_kinds import count, fname_of, kinds
from tests.integration.ledger import Ledger

KINDS = list(kinds())


@pytest.fixture(scope="module")
def pool():
    executor = ProcessPool()
    pool = executor.open(2)
    yield pool
    executor.close(pool, 10)


def ledgers(tmp_path):
    made = []

    def wrap(function):
        made.append(Ledger(tmp_path / f"ledger-{len(made)}", function))
        return made[-1]

    return wrap, lambda: [line for ledger in made for line in ledger.lines()]


def held(learner):
    return dict(adaptive_private.points_of(learner, learner._get_data()))


@pytest.mark.usefixtures("nobody_is_late")
@pytest.mark.parametrize("name", KINDS)
def test_goal_is_reached_and_every_evaluation_is_kept_once(name, pool, tmp_path):
    wrap, lines = ledgers(tmp_path)
    make, goal = kinds(wrap)[name]
    learner = make()
    fname = fname_of(name, tmp_path / "made" / "folder")
    outcome = run_learner(LearnerWork(learner, fname, goal, pool, 2))
    assert (outcome.reason, outcome.error, outcome.saved) == ("goal", None, True)
    assert goal is None or goal(learner)
    if isinstance(goal, partial):  # a number of points
        asked, each = goal.args[0], adaptive_private.counts_each(learner)
        assert asked <= learner.npoints <= asked + (0 if each else 2)
    assert len(lines()) == count(learner) == outcome.new_points
    again = make()
    report = LearnerStore(again, fname).load()
    assert report.kept_aside == report.notes == []
    assert held(again) == held(learner)
    first = fname if isinstance(fname, str) else fname[0]
    assert list(read_journals(first)) == []


@pytest.mark.parametrize("name", KINDS)
def test_a_loaded_learner_that_met_its_goal_evaluates_nothing(name, pool, tmp_path):
    wrap, lines = ledgers(tmp_path)
    make, goal = kinds(wrap)[name]
    fname = fname_of(name, tmp_path)
    first = make()
    run_learner(LearnerWork(first, fname, goal, pool, 2, token=1))
    before = len(lines())
    is_met = goal is None or goal(first)
    # of an IntegratorLearner one in twenty is done, and not any more with what was in flight then
    assert is_met or name == "IntegratorLearner"
    outcome = run_learner(LearnerWork(make(), fname, goal, pool, 2, token=2))
    assert outcome.reason == "goal"
    assert outcome.new_points == len(lines()) - before
    assert (outcome.new_points == 0) == is_met


@pytest.mark.parametrize("name", KINDS)
def test_points_that_only_the_journal_has_are_not_evaluated_again(name, pool, tmp_path):
    """As after kill -9: no data file, only the journal of a former owner."""
    wrap, lines = ledgers(tmp_path)
    make, goal = kinds(wrap)[name]
    fname = fname_of(name, tmp_path)
    first = fname if isinstance(fname, str) else fname[0]
    done = make()
    run_learner(LearnerWork(done, fname_of(name, tmp_path / "other"), goal, pool, 2))
    journal = PointJournal(first, token=3)
    n = 0
    for x, y in adaptive_private.points_of(done, done._get_data()):
        journal.add(adaptive_private.compact(done, x), y)
        n += 1
    journal.close()
    before = len(lines())
    assert n == before
    learner = make()
    outcome = run_learner(LearnerWork(learner, fname, goal, pool, 2, token=4))
    assert (outcome.reason, outcome.error) == ("goal", None)
    assert outcome.new_points == len(lines()) - before
    repeated = set(lines()[:before]) & set(lines()[before:])
    assert not repeated
    if name != "IntegratorLearner":  # it is done before it asked for all that the journal has
        assert list(read_journals(first)) == []


@pytest.mark.parametrize("name", KINDS)
def test_a_stopped_learner_keeps_returned_points_and_the_next_owner_continues(name, pool, tmp_path):
    wrap, lines = ledgers(tmp_path)
    make, goal = kinds(lambda f: wrap(lambda x: (time.sleep(0.002), f(x))[1]))[name]
    fname = fname_of(name, tmp_path)
    work = LearnerWork(
        make(), fname, goal, pool, 2, token=1,
        on_progress=lambda _: run.stop("signal", 60.0), progress_interval=0.03,
    )  # fmt: skip
    run = LearnerRun(work)
    outcome = run.run()
    assert outcome.reason in ("signal", "goal")
    assert len(lines()) == outcome.new_points == count(work.learner)
    learner = make()
    outcome = run_learner(LearnerWork(learner, fname, goal, pool, 2, token=2))
    assert outcome.reason == "goal"
    assert len(lines()) == count(learner)


@pytest.mark.parametrize("name", KINDS)
def test_a_copy_runs_and_leaves_the_original_as_it_is(name, pool, tmp_path):
    make, goal = kinds()[name]
    original = make()
    copied = copy_learner(original)
    assert type(copied) is type(original)
    outcome = run_learner(LearnerWork(copied, fname_of(name, tmp_path), goal, pool, 2))
    assert (outcome.reason, outcome.error) == ("goal", None)
    assert (count(copied) > 0, count(original)) == (True, 0)
