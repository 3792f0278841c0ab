"""Ends of a run at which the user's own classes raise: the learner fails, the client goes on."""

from __future__ import annotations

import os
import pickle
import time
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler.core.config import JobLimits
from adaptive_scheduler.core.rows.row import Phase
from adaptive_scheduler.errors import EnvironmentMismatchError, UserCodeError
from adaptive_scheduler.evaluation.learners.run import LearnerWork, run_learner
from adaptive_scheduler.executors.process_pools import ProcessPool
from adaptive_scheduler.io.learner_data import adaptive_private
from adaptive_scheduler.io.learner_data.point_journal import PointJournal, read_journals
from tests.integration.client_runs import ClientRun, finish


@pytest.fixture(scope="module")
def pool():
    executor = ProcessPool()
    pool = executor.open(2)
    yield pool
    executor.close(pool, 10)


class Homesick:
    """A value that can be pickled only in the process that made it."""

    def __init__(self):
        self.home = os.getpid()

    def __reduce__(self):
        if os.getpid() != self.home:
            raise RuntimeError("too far from home")
        return _homesick, (self.home,)


def _homesick(home):
    value = Homesick()
    value.home = home
    return value


def homesick(x):
    return Homesick()


def square(x):
    return x * x


def test_values_that_cannot_be_written_are_an_error_of_the_learner(pool, tmp_path: Path) -> None:
    learner = adaptive.SequenceLearner(homesick, range(8))
    outcome = run_learner(LearnerWork(learner, str(tmp_path / "d"), None, pool, 2))
    assert (outcome.reason, outcome.saved) == ("error", False)
    assert isinstance(outcome.error, UserCodeError)
    assert "too far from home" in str(outcome.error)
    assert outcome.npoints > 0


def test_a_foreign_save_that_cannot_be_read_here_is_an_error_of_the_learner(
    pool, tmp_path: Path
) -> None:
    fname = tmp_path / "d"

    def save_elsewhere(progress):
        blob = b"cno_such_module\nvalue\n."  # a pickle of a name in a module that is not here
        fname.write_bytes(adaptive_private.compress(blob))

    work = LearnerWork(
        adaptive.SequenceLearner(slow, range(40)), str(fname), None, pool, 2, token=1,
        on_progress=save_elsewhere, progress_interval=0.1,
    )  # fmt: skip
    outcome = run_learner(work)
    assert (outcome.reason, outcome.saved) == ("error", False)
    assert isinstance(outcome.error, EnvironmentMismatchError)
    (journal,) = read_journals(str(fname))
    assert len(journal.points) == outcome.npoints == 40


def slow(x):
    time.sleep(0.02)
    return x


class Shy(adaptive.SequenceLearner):
    """A learner that does not tell how many points it has when it has them all."""

    @property
    def npoints(self):
        if len(self.data) == 8:
            raise RuntimeError("not telling")
        return len(self.data)


def test_a_learner_that_cannot_count_is_saved(pool, tmp_path: Path) -> None:
    outcome = run_learner(LearnerWork(Shy(square, range(8)), str(tmp_path / "d"), _never, pool, 2))
    assert outcome.reason == "error"
    assert "not telling" in str(outcome.error)
    assert outcome.saved
    saved = adaptive.SequenceLearner(square, range(8))
    saved.load(str(tmp_path / "d"))
    assert len(saved.data) == 8


def _never(learner):
    return False


class Mute(adaptive.SequenceLearner):
    """A learner that never tells how many points it has."""

    @property
    def npoints(self):
        raise RuntimeError("not a word")


def test_a_learner_that_cannot_be_loaded_is_the_users_error(pool, tmp_path: Path) -> None:
    work = LearnerWork(Mute(square, range(8)), str(tmp_path / "d"), None, pool, 2)
    with pytest.raises(UserCodeError, match=r"learner, when it was loaded.*not a word"):
        run_learner(work)


def test_a_runner_that_cannot_be_made_is_the_users_error(pool, tmp_path: Path) -> None:
    learner = adaptive.SequenceLearner(square, range(8))
    work = LearnerWork(learner, str(tmp_path / "d"), None, pool, 2, runner_kwargs={"retires": 3})
    with pytest.raises(UserCodeError, match=r"learner, when it was started.*retires"):
        run_learner(work)


def test_a_client_reports_such_an_end_and_runs_the_next_learner(tmp_path: Path) -> None:
    run = ClientRun(tmp_path, None, limits=JobLimits(max_fails=0))
    functions = [homesick, square]
    run.fill(
        [adaptive.SequenceLearner(function, range(8)) for function in functions],
        [str(tmp_path / f"data/{function.__name__}") for function in functions],
    )
    with run.manage() as engine:
        code, output = finish(run.client("1_1"))
        bad, good = engine.state.items.rows
    assert code == 0, output
    assert good.phase is Phase.DONE
    assert (bad.phase, bad.crashes) == (Phase.FAILED, 0)
    assert "too far from home" in bad.reason
    assert "in __reduce__" in bad.traceback


def test_points_of_a_memo_do_not_count_as_new(pool, tmp_path: Path) -> None:
    done = adaptive.IntegratorLearner(square, (-1, 1), tol=1e-4)
    run_learner(LearnerWork(done, str(tmp_path / "other"), _is_done, pool, 2))
    journal = PointJournal(str(tmp_path / "d"), token=1)
    for x, y in done.data.items():
        journal.add(x, y)
    journal.close()
    again = adaptive.IntegratorLearner(square, (-1, 1), tol=1e-4)
    outcome = run_learner(LearnerWork(again, str(tmp_path / "d"), _is_done, pool, 2, token=2))
    assert 0 < outcome.npoints <= done.npoints
    assert outcome.new_points == 0


def _is_done(learner):
    return learner.done()


def test_the_pickles_of_these_tests_raise_what_they_should() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        pickle.loads(b"cno_such_module\nvalue\n.")
