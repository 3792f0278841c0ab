"""How many points go into a message, and how many are in flight: few enough to choose well."""

from __future__ import annotations

from concurrent.futures import Executor, Future

import pytest

from adaptive_scheduler.evaluation.messages import AT_A_TIME, PointTask, WorkerSetup
from adaptive_scheduler.evaluation.pool_evaluator import (
    AHEAD,
    LATE_SHARE,
    MAX_BATCH,
    MAX_LATE_BATCH,
    PoolEvaluator,
)
from adaptive_scheduler.executors import worker

WORKERS = 3


class Slowly(Executor):
    """Evaluates nothing; each point took `seconds`, when `work` is called."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.sizes = []
        self._waiting = []

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        future.set_running_or_notify_cancel()
        self._waiting.append((future, args[2]))
        self.sizes.append(len(args[2]))
        return future

    def work(self):
        waiting, self._waiting = self._waiting, []
        for future, arguments in waiting:
            records = [(worker.VALUE, x, self.seconds) for x in arguments]
            future.set_result((worker.DONE, records))


def drive(seconds, n):
    """Message sizes and (points back, points in flight) of a learner that looks at values."""
    pool = Slowly(seconds)
    evaluations = PoolEvaluator(pool, WORKERS, lambda: None, WorkerSetup())
    back, seen = 0, []
    while back < n:
        evaluations.submit([PointTask(x, abs, x) for x in range(evaluations.room())])
        seen.append((back, evaluations.n_in_flight))
        pool.work()
        while results := evaluations.returned():  # no more at a time than are soon taken
            assert len(results) < AT_A_TIME + MAX_LATE_BATCH
            assert all(result.value == result.task.x for result in results)
            back += len(results)
    assert evaluations.n_in_flight == 0
    return pool.sizes, seen


def test_messages_of_a_fast_function_grow_with_the_number_of_known_points():
    sizes, seen = drive(1e-6, 20_000)
    few = WORKERS * AHEAD * MAX_BATCH
    assert all(flying <= max(few, LATE_SHARE * back) for back, flying in seen)
    assert max(sizes[: 1_000 // MAX_BATCH]) <= MAX_BATCH
    assert max(sizes) == MAX_LATE_BATCH


@pytest.mark.parametrize(("seconds", "most"), [(1e-3, 2), (3e-3, 1), (1.0, 1)])
def test_a_slow_function_never_waits_for_a_message_to_fill(seconds, most):
    sizes, seen = drive(seconds, 5_000)
    assert max(sizes) <= most
    ahead = AHEAD if seconds < 0.02 else 1
    assert all(flying <= WORKERS * ahead * most for _, flying in seen)


def test_points_that_are_not_waited_for_do_not_come_back():
    pool = Slowly(1e-3)
    evaluations = PoolEvaluator(pool, WORKERS, lambda: None, WorkerSetup())
    evaluations.submit([PointTask(x, abs, x) for x in range(WORKERS)])
    assert len(evaluations.in_flight()) == WORKERS
    evaluations.forget()
    assert len(evaluations.abandoned()) == WORKERS  # a worker still evaluates each
    assert (evaluations.in_flight(), evaluations.n_in_flight) == ([], 0)
    pool.work()
    assert evaluations.returned() == []
    assert evaluations.abandoned() == []


def test_a_message_that_has_come_back_is_not_late_though_nobody_has_taken_it():
    """The loop may be busy with the learner for longer than a point may take."""
    pool = Slowly(1.0)
    evaluations = PoolEvaluator(pool, 2, lambda: None, WorkerSetup(), is_timed=True)
    for x in (1, 2):
        evaluations.submit([PointTask(x, abs, x)])
        for message in evaluations._messages.values():
            message.with_program = False  # its setup is over
    assert evaluations.take_overdue(3600.0) == []  # they are seen to run
    (future, arguments), *_ = pool._waiting
    future.set_result((worker.DONE, [(worker.VALUE, x, 1.0) for x in arguments]))
    assert evaluations.take_overdue(-3600.0) == [[2]]
    assert [result.value for result in evaluations.returned()] == [1]
