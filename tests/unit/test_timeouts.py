"""Which messages a pool has begun, and which of them take too long."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.client.reports import StaleReport
from adaptive_scheduler.core.wire.messages import Report
from adaptive_scheduler.errors import PointTimeoutError
from adaptive_scheduler.evaluation import timeouts
from adaptive_scheduler.evaluation.timeouts import StartTimes, TimeoutWatch, _named


def test_messages_behind_the_workers_begin_when_one_comes_back() -> None:
    begun: StartTimes[str] = StartTimes(2)
    for name in "abc":
        begun.note_sent(name, 0.0)
    begun.confirm(lambda _: True, 1.0)
    assert begun.before(5.0) == [("a", 1.0), ("b", 1.0)]
    begun.note_end("a", 3.0)
    begun.confirm(lambda _: True, 3.5)
    assert begun.before(5.0) == [("b", 1.0), ("c", 3.5)]
    assert begun.before(2.0) == [("b", 1.0)]


def test_a_message_that_the_pool_does_not_run_yet_is_not_timed() -> None:
    begun: StartTimes[str] = StartTimes(2)
    begun.note_sent("a", 0.0)
    begun.note_sent("b", 0.0)
    begun.confirm(lambda name: name == "a", 0.0)
    assert begun.before(100.0) == [("a", 0.0)]
    begun.confirm(lambda _: True, 100.0)
    assert begun.before(100.5) == [("a", 0.0), ("b", 100.0)]


@given(st.integers(1, 4), st.lists(st.integers(0, 9), max_size=60))
def test_as_many_messages_are_timed_as_there_are_workers_and_each_one_is(
    workers: int, steps: list[int]
) -> None:
    """Against a plain list: of those not back, the oldest have begun, as many as there are workers."""
    begun: StartTimes[int] = StartTimes(workers)
    out: list[int] = []
    for now, step in enumerate(steps):
        if step < 5 or not out:
            begun.note_sent(now, float(now))
            out.append(now)
        else:
            # only what has begun can come back
            begun.note_end(out.pop(step % min(workers, len(out))), float(now))
        begun.confirm(lambda _: True, float(now))
        assert {message for message, _ in begun.before(1e9)} == set(out[:workers])


def test_a_timeout_names_its_points() -> None:
    error = PointTimeoutError(90.0, _named([0.25]))
    assert str(error) == "a point took longer than point_timeout=90 s: x=0.25"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert _named([1, 2]) == "one of the 2 points x=1, x=2"
    assert _named(list(range(9))).endswith("x=4, …")


def test_a_report_grows_older_when_its_loop_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("adaptive_scheduler.client.reports.time.monotonic", lambda: now[0])
    aging = StaleReport()
    assert aging.aged() is None
    aging.note(Report(npoints=3, seconds=10.0, idle_since=2.0))
    now[0] += 1
    assert aging.aged() is None
    now[0] += 59
    aged = aging.aged()
    assert aged is not None
    assert (aged.npoints, aged.seconds, aged.idle_since) == (3, 70.0, 62.0)
    aging.forget()
    assert aging.aged() is None


class Loop:
    """An event loop's clock and its one timer, which a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, action: Callable[[], None]) -> Loop:
        self._when, self._action = self.now + seconds, action
        return self

    def when(self) -> float:
        return self._when

    def fire(self, late: float = 0.0) -> None:
        self.now = self._when + late
        self._action()


class Overdue:
    """Says that a point is late, until its value has been taken."""

    is_taken = False

    def take_overdue(self, limit: float) -> list[list[int]]:
        return [] if self.is_taken else [[7]]


@pytest.mark.parametrize("is_taken", [True, False])
def test_a_loop_that_stood_still_takes_first_what_has_come_back_meanwhile(
    is_taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, evaluator = Loop(), Overdue()
    monkeypatch.setattr(timeouts.asyncio, "get_running_loop", lambda: loop)
    late: list[str] = []
    watch = TimeoutWatch(evaluator, 10.0, lambda error: late.append(str(error)))
    watch.start()
    loop.fire(late=30.0)
    assert late == []
    evaluator.is_taken = is_taken
    loop.fire(late=30.0)  # it always is, where the learner takes long each time
    assert len(late) == (not is_taken)
