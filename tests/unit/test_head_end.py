"""When a head leaves: what of the walltime is for tasks, for their end, and for the manager."""

from __future__ import annotations

import time

import pytest

from adaptive_scheduler.client.deadline import Deadline
from adaptive_scheduler.client.tasks.head.head import CONFIRM, GRACE, HeadEnd


def end(seconds: float | None) -> HeadEnd:
    return HeadEnd(Deadline(lambda: seconds))


def test_without_a_walltime_there_is_no_end() -> None:
    one = end(None)
    assert one.seconds_left is None
    assert not one.has_come
    assert one.begin("a signal", GRACE) == GRACE


@pytest.mark.parametrize(("walltime", "kept"), [(3600.0, GRACE + CONFIRM), (50.0, 10.0)])
def test_what_is_kept_of_a_walltime_for_the_end(walltime: float, kept: float) -> None:
    assert end(walltime).seconds_left == pytest.approx(walltime - kept, abs=0.5)


def test_nothing_is_left_for_tasks_once_it_leaves() -> None:
    one = end(3600.0)
    one.begin("it has no work", GRACE)
    assert one.seconds_left == 0.0
    assert one.reason == "it has no work"


@pytest.mark.parametrize("left", [0.0, 1.0, 2.0, 3.5])
def test_all_ends_before_the_walltime_does(left: float) -> None:
    """The grace of tasks, and the time for the manager to confirm, fit into what is left."""
    one = end(20.0)  # four seconds of it are kept
    one.deadline = Deadline(lambda: left)
    assert one.has_come
    grace = one.begin("its walltime ends", GRACE)
    assert grace <= max(0.0, left - 4 / 3) + 0.2  # of a machine that stood still meanwhile


def test_it_waits_less_for_a_manager_that_is_away() -> None:
    one = end(None)
    one.begin("a signal", 0.0)
    assert not one.is_over(is_away=True)
    one._ended_at = time.monotonic() - 2
    assert one.is_over(is_away=True)
    assert not one.is_over(is_away=False)
    one._ended_at = time.monotonic() - CONFIRM
    assert one.is_over(is_away=False)
