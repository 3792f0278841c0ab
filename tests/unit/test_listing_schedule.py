"""When the queue is listed."""

from __future__ import annotations

from adaptive_scheduler.core.jobs.listing_schedule import LONGEST_PAUSE, SPACING, ListingSchedule


def listed(at: float = 0.0) -> ListingSchedule:
    schedule = ListingSchedule(interval=30.0)
    schedule.on_sent(at)
    schedule.on_listed()
    return schedule


def due(schedule: ListingSchedule, wanted: bool = False, leaving: bool = False) -> float:
    """The second at which the queue is listed next, if it was listed at 0."""
    return next(t / 2 for t in range(200) if schedule.is_due(t / 2, wanted, leaving))


def test_the_first_listing_is_due_at_once() -> None:
    assert ListingSchedule(30.0).is_due(0.0, wanted=False, leaving=False)


def test_the_queue_is_listed_at_each_interval_and_soon_after_events() -> None:
    assert due(listed()) == 30.0
    assert due(listed(), wanted=True) == SPACING
    assert due(listed(), leaving=True) == SPACING


def test_only_one_listing_is_under_way() -> None:
    schedule = listed()
    schedule.on_sent(50.0)
    assert not schedule.is_due(1e6, wanted=True, leaving=True)


def test_after_failures_the_queue_is_listed_less_and_less_often_whatever_happens() -> None:
    schedule = listed()
    pauses = []
    for _ in range(9):
        reason, seconds = schedule.on_failed("server down", 0.0)
        pauses.append(seconds)
        assert schedule.next_due(0.0, wanted=True, leaving=True) >= seconds
    assert reason == "server down (again in 60 s)"
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, LONGEST_PAUSE, LONGEST_PAUSE]
    schedule.reset()
    assert due(schedule, wanted=True) == SPACING


def test_a_good_listing_ends_the_pauses() -> None:
    schedule = listed()
    schedule.on_failed("server down", 0.0)
    schedule.on_sent(10.0)
    schedule.on_listed()
    assert schedule.on_failed("server down", 20.0)[1] == SPACING / 2
