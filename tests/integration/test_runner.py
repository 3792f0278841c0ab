"""The runner on real worker processes: stops, errors, deadlines, kills, MPI."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler.core.goals import NPoints
from adaptive_scheduler.errors import UserCodeError
from adaptive_scheduler.evaluation.learners.run import LearnerRun, LearnerWork, run_learner
from adaptive_scheduler.evaluation.learners.store import LearnerStore
from adaptive_scheduler.executors.process_pools import ProcessPool
from adaptive_scheduler.io.learner_data.point_journal import PointJournal, read_journals
from adaptive_scheduler.schedulers.base import default_mpiexec
from tests.integration.ledger import Ledger

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pool():
    executor = ProcessPool()
    pool = executor.open(2)
    yield pool
    executor.close(pool, 10)


def slow(seconds):
    def function(x):
        time.sleep(seconds)
        return x

    return function


def fails_at(x):
    if x == 7:
        raise ValueError("seven is out")
    time.sleep(0.01)
    return x


def sequence(function, n=60):
    return adaptive.SequenceLearner(function, range(n))


def test_fault_02_27_an_error_of_the_function_is_told_with_its_traceback_and_the_rest_is_kept(
    pool, tmp_path
):
    ledger = Ledger(tmp_path / "ledger", fails_at)
    learner = sequence(ledger)
    outcome = run_learner(LearnerWork(learner, str(tmp_path / "d.pickle"), None, pool, 2))
    assert outcome.reason == "error"
    assert isinstance(outcome.error, UserCodeError)
    assert "ValueError at x=7: seven is out" in str(outcome.error)
    assert "fails_at" in outcome.error.traceback_text
    assert isinstance(outcome.error.__cause__, ValueError)
    assert outcome.saved
    assert len(ledger.lines()) == learner.npoints >= 7
    again = sequence(ledger)
    LearnerStore(again, str(tmp_path / "d.pickle")).load()
    assert again.data == learner.data


def test_points_that_fail_can_be_left_out(pool, tmp_path):
    learner = sequence(fails_at)
    kwargs = {"retries": 2, "raise_if_retries_exceeded": False}
    work = LearnerWork(learner, str(tmp_path / "d.pickle"), None, pool, 2, runner_kwargs=kwargs)
    run = LearnerRun(work)
    outcome = run.run()
    assert (outcome.reason, outcome.is_exhausted, outcome.failed_points) == ("goal", True, 1)
    assert learner.npoints == 59
    (task,) = run.runner.tracebacks
    assert task[0] == (7, 7)
    assert "seven is out" in task[1]


def test_fault_06_points_in_flight_when_the_goal_is_met_are_kept(pool, tmp_path):
    def last_at_1(x):
        while x == 1 and len(ledger.lines()) < 5:  # so it is in flight when there are 5
            time.sleep(0.02)
        time.sleep(0.05)
        return x

    ledger = Ledger(tmp_path / "ledger", None)
    ledger.function = last_at_1
    learner = adaptive.Learner1D(ledger, (-1, 1))
    run_learner(LearnerWork(learner, str(tmp_path / "d.pickle"), counts(5), pool, 2))
    assert len(ledger.lines()) == learner.npoints == 6


def counts(n):
    """A goal of so many points, of which nobody can tell that it is one."""
    return lambda learner: sum(1 for _ in learner.data) >= n


def square(x):
    return x * x


async def squared(x):
    await asyncio.sleep(0)
    return x * x


@pytest.mark.usefixtures("nobody_is_late")
@pytest.mark.parametrize("function", [square, squared], ids=["sync", "async"])
@pytest.mark.parametrize("n", [1, 20, 1003])
def test_a_goal_that_is_a_number_of_points_is_met_exactly(function, n, pool, tmp_path):
    for turn, goal in enumerate((NPoints(n), lambda learner: len(learner.data) >= n)):
        learners = [adaptive.Learner1D(function, (-1, 1)), sequence(function, 5000)]
        for place, learner in enumerate(learners):
            fname = str(tmp_path / f"{turn}{place}.pickle")
            outcome = run_learner(LearnerWork(learner, fname, goal, pool, 2))
            assert (outcome.reason, outcome.npoints) == ("goal", n)
        again = LearnerWork(
            learners[1], fname, NPoints(n + 5), pool, 2
        )  # some are known, 5 are not
        assert run_learner(again).npoints == n + 5


def third_is_slow(x):
    time.sleep(100 if x == 2 else 0.01)
    return x


def test_a_point_that_takes_far_longer_does_not_hold_up_a_goal_of_points(tmp_path):
    executor = ProcessPool()
    pool = executor.open(2)  # its own: a worker sleeps when this is over
    work = LearnerWork(
        sequence(third_is_slow), str(tmp_path / "d.pickle"), NPoints(20), pool, 2,
        runner_kwargs={"grace": 0.0},
    )  # fmt: skip
    begin = time.monotonic()
    outcome = run_learner(work)
    assert (outcome.reason, outcome.npoints) == ("goal", 20)
    assert time.monotonic() - begin < 60
    assert 2 not in work.learner.data
    executor.close(pool, 0)


@pytest.mark.usefixtures("nobody_is_late")
def test_points_that_fail_are_tried_again_or_replaced_until_the_goal_is_met(pool, tmp_path):
    kwargs = {"retries": 1, "raise_if_retries_exceeded": False}
    work = LearnerWork(
        sequence(fails_at), str(tmp_path / "d.pickle"), NPoints(20), pool, 2, runner_kwargs=kwargs
    )
    outcome = run_learner(work)
    assert (outcome.reason, outcome.npoints, outcome.failed_points) == ("goal", 20, 1)


@pytest.mark.parametrize("kind", ["line", "sequence"])
def test_an_unpredictable_goal_is_overshot_by_a_quarter_at_most(kind, pool, tmp_path):
    for n in (20, 1000):
        learner = adaptive.Learner1D(square, (-1, 1)) if kind == "line" else sequence(square, 5000)
        outcome = run_learner(
            LearnerWork(learner, str(tmp_path / f"{n}.pickle"), counts(n), pool, 2)
        )
        assert n <= outcome.npoints <= n + n // 4 + 2


def test_no_point_starts_that_cannot_end_before_the_deadline(pool, tmp_path):
    # the first two have 2.9 s more than they need; the next ones would end 0.1 s after the deadline
    ledger = Ledger(tmp_path / "ledger", slow(3.0))
    deadline = time.monotonic() + 5.9
    work = LearnerWork(
        sequence(ledger), str(tmp_path / "d.pickle"), None, pool, 2, deadline=deadline
    )
    outcome = run_learner(work)
    assert outcome.reason == "deadline"
    assert time.monotonic() < deadline + 10
    assert len(ledger.lines()) == outcome.npoints == 2
    assert outcome.saved


def late_ones_are_slow(x):
    time.sleep(100 if x >= 10 else 0.01)
    return x


def test_points_that_do_not_return_leave_time_for_the_last_save(tmp_path):
    executor = ProcessPool()
    pool = executor.open(2)  # its own: its workers sleep when this is over
    fname = str(tmp_path / "d.pickle")

    def stop(report):
        if report["npoints"] == 10 and not run.stops.asked:
            run.stop("signal", 4.0)  # a save that has once taken longer is left out

    work = LearnerWork(
        sequence(late_ones_are_slow), fname, None, pool, 2,
        save_interval=0.05, on_progress=stop, progress_interval=0.05,
    )  # fmt: skip
    run = LearnerRun(work)
    outcome = run.run()
    executor.close(pool, 0)
    assert (outcome.reason, outcome.npoints, outcome.saved) == ("signal", 10, True)
    assert list(read_journals(fname)) == []


def test_a_stop_from_another_thread_waits_no_longer_than_its_patience(tmp_path):
    executor = ProcessPool()
    pool = executor.open(2)  # its own: its workers sleep when this is over
    run = LearnerRun(LearnerWork(sequence(slow(100)), str(tmp_path / "d.pickle"), None, pool, 2))
    threading.Timer(0.3, run.stop, ("signal", 0.2)).start()
    begin = time.monotonic()
    outcome = run.run()
    assert time.monotonic() - begin < 60
    executor.close(pool, 0)
    assert outcome.reason == "signal"


def test_a_lost_lease_leaves_the_file_alone_and_the_points_in_the_journal(pool, tmp_path):
    fname = str(tmp_path / "d.pickle")
    ledger = Ledger(tmp_path / "ledger", slow(0.01))

    def stop(report):
        if report["npoints"] > 0 and not run.stops.asked:
            run.stop("lost", 30.0)

    work = LearnerWork(
        sequence(ledger, 1000), fname, None, pool, 2, token=5, lease_ok=lambda: False,
        on_progress=stop, progress_interval=0.05,
    )  # fmt: skip
    run = LearnerRun(work)
    outcome = run.run()
    assert (outcome.reason, outcome.saved) == ("lost", False)
    assert not Path(fname).exists()
    (journal,) = read_journals(fname)
    assert len(journal.points) == len(ledger.lines()) == outcome.npoints > 0


def test_many_functions_of_one_balancing_learner(pool, tmp_path):
    def times(factor):
        return lambda x: factor * x

    children = [adaptive.SequenceLearner(times(k), range(5)) for k in range(20)]
    learner = adaptive.BalancingLearner(children)
    fnames = [str(tmp_path / f"{k}.pickle") for k in range(20)]
    assert run_learner(LearnerWork(learner, fnames, None, pool, 2)).reason == "goal"
    for k, child in enumerate(children):
        assert child.result() == [k * x for x in range(5)]


def test_an_async_function_runs_on_the_loop(pool, tmp_path):
    async def function(x):
        await asyncio.sleep(0.01)
        return (x, os.getpid())

    learner = sequence(function, 20)
    outcome = run_learner(LearnerWork(learner, str(tmp_path / "d.pickle"), None, pool, 10))
    assert outcome.reason == "goal"
    assert {pid for _, pid in learner.data.values()} == {os.getpid()}


def test_a_failing_initializer_and_a_value_that_cannot_be_pickled_are_reported(pool, tmp_path):
    def broken():
        raise RuntimeError("no licence")

    work = LearnerWork(
        sequence(slow(0)), str(tmp_path / "a.pickle"), None, pool, 2, initializers=(broken,)
    )
    assert "no licence" in str(run_learner(work).error)
    learner = sequence(lambda x: threading.Lock())
    outcome = run_learner(LearnerWork(learner, str(tmp_path / "b.pickle"), None, pool, 2))
    assert "cannot be pickled" in str(outcome.error)


def test_a_value_that_the_learner_refuses_is_the_functions_error(pool, tmp_path):
    learner = adaptive.Learner1D(lambda x: None, (-1, 1))
    outcome = run_learner(LearnerWork(learner, str(tmp_path / "a.pickle"), None, pool, 2))
    assert outcome.reason == "error"
    assert "Y-value may not be None" in str(outcome.error)


def test_a_worker_that_dies_breaks_the_pool_and_nothing_else(tmp_path):
    def dies(x):
        if x == 30:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.03)
        return x

    executor = ProcessPool()
    pool = executor.open(2)
    fname = str(tmp_path / "d.pickle")
    outcome = run_learner(LearnerWork(sequence(dies), fname, None, pool, 2))
    executor.close(pool, 1)
    assert (outcome.reason, outcome.is_pool_broken, outcome.saved) == ("error", True, True)
    assert outcome.npoints >= 28


def test_progress_is_reported(pool, tmp_path):
    seen = []
    run_learner(LearnerWork(
        sequence(slow(0.01)), str(tmp_path / "d.pickle"), None, pool, 2,
        on_progress=seen.append, progress_interval=0.05,
    ))  # fmt: skip
    assert seen
    assert {"npoints", "loss", "points_per_second", "overhead", "elapsed"} <= set(seen[0])
    assert seen[-1]["p95"] >= 0.01


CLIENT = """
import sys, time
sys.path.insert(0, sys.argv[3])
import adaptive
from adaptive_scheduler.evaluation.learners.run import LearnerRun, LearnerWork, run_learner
from adaptive_scheduler.executors.registry import launcher_for
from tests.integration.ledger import Ledger

def function(x):
    time.sleep(0.01)
    return (lambda y: y + 1)(x)

if __name__ == "__main__":
    folder, kind, _, cores, n = sys.argv[1:]
    executor = launcher_for(kind)
    pool = executor.open(int(cores))
    learner = adaptive.SequenceLearner(Ledger(folder + "/ledger", function), range(int(n)))
    work = LearnerWork(learner, folder + "/d.pickle", None, pool, executor.workers(int(cores)),
                token=1, points_interval=0.1)
    outcome = run_learner(work)
    print(outcome.reason, outcome.npoints, flush=True)
    executor.close(pool, 5)
"""


def start_client(tmp_path, kind, cores, n):
    script = tmp_path / "client.py"
    script.write_text(CLIENT)
    target = [str(script), str(tmp_path), kind, str(ROOT), str(cores), str(n)]
    from adaptive_scheduler.executors.registry import launcher_for

    launcher = [*default_mpiexec(sys.executable), "-n", str(cores)]
    argv = launcher_for(kind).command(launcher, sys.executable, target)
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def wait_for(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def kill_client(process, kind):
    """Kill rank 0 (a child of mpiexec and its proxy) or the client itself."""
    import psutil

    family = psutil.Process(process.pid).children(recursive=True)
    victims = (
        [p for p in family if "client.py" in " ".join(p.cmdline())] if kind == "mpi4py" else []
    )
    os.kill(victims[0].pid if victims else process.pid, signal.SIGKILL)
    process.wait(60)
    _, alive = psutil.wait_procs(family, timeout=60)
    return alive


@pytest.mark.parametrize("kind", ["process-pool", pytest.param("mpi4py", marks=pytest.mark.mpi)])
def test_kill_9_loses_only_points_in_flight_or_younger_than_the_interval(kind, tmp_path):
    cores = 3 if kind == "mpi4py" else 2
    ledger = Ledger(tmp_path / "ledger", None)
    process = start_client(tmp_path, kind, cores, 5000)
    wait_for(lambda: len(ledger.lines()) > 150)
    assert kill_client(process, kind) == []
    learner = adaptive.SequenceLearner(ledger, range(5000))
    report = LearnerStore(learner, str(tmp_path / "d.pickle"), token=2).load()
    lost = len(ledger.lines()) - learner.npoints
    assert report.n_merged == learner.npoints > 80
    # 2 workers x 0.2 s / 0.01 s, and what was in flight
    assert lost <= 60


@pytest.mark.parametrize("kind", ["process-pool", pytest.param("mpi4py", marks=pytest.mark.mpi)])
def test_functions_of_main_run_to_the_end(kind, tmp_path):
    process = start_client(tmp_path, kind, 3 if kind == "mpi4py" else 2, 40)
    out, _ = process.communicate(timeout=100)
    assert out.split() == ["goal", "40"]
    assert process.returncode == 0
    assert len(Ledger(tmp_path / "ledger", None).lines()) == 40


@pytest.mark.mpi
def test_an_mpi_world_of_the_wrong_size_is_an_error_that_names_both_sizes(tmp_path):
    script = tmp_path / "open.py"
    script.write_text(
        "from adaptive_scheduler.executors.registry import launcher_for\n"
        "if __name__ == '__main__':\n    launcher_for('mpi4py').open(4)\n"
    )
    argv = [sys.executable, "-m", "mpi4py.futures", str(script)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=100)
    assert done.returncode != 0
    assert "EnvironmentMismatchError: This job was given 4 MPI ranks" in done.stderr
    assert "so there are 4 clients" in done.stderr


def test_points_of_a_former_owner_survive_the_deletion_of_its_journal(tmp_path):
    fname = str(tmp_path / "d.pickle")
    zombie = PointJournal(fname, token=1)
    zombie.add(0, 10)
    zombie.flush()
    learner = sequence(slow(0), 10)
    data = LearnerStore(learner, fname, token=2)
    data.load()
    zombie.add(1, 11)  # after it was read
    zombie.flush()
    data.save()
    assert data.delete_former_journals()
    (own,) = read_journals(fname)
    assert own.points == [(1, 11)]
    zombie.add(2, 12)  # after it was deleted
    zombie.flush()
    third = sequence(slow(0), 10)
    data.save()
    LearnerStore(third, fname, token=3).load()
    assert dict(third.data) == {0: 10, 1: 11, 2: 12}
