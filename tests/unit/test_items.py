"""One row: every transition of the table, and no other."""

from __future__ import annotations

import itertools
import math

import msgspec
import pytest

from adaptive_scheduler.core.rows.events import (
    Blocked,
    Cancelled,
    Claimed,
    Event,
    Finished,
    Lost,
    Postponed,
    Raised,
    Released,
    Retried,
    Unblocked,
)
from adaptive_scheduler.core.rows.items import (
    TRANSITIONS,
    effect_on_dependant,
    end_of_waiting,
    step,
)
from adaptive_scheduler.core.rows.retry_decision import (
    Budget,
    RetryDecision,
    decide_after_failure,
    retry_delay,
)
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.core.wire.ends import How, JobEnd, how_of_dead_job
from adaptive_scheduler.core.wire.messages import Owner, Refused, Report

BUDGET = Budget(max_fails=2, max_crashes=2)
ANNA = Owner("1", 0, 0, "anna")
EVENTS: list[Event] = [
    Claimed(Owner("2", 0, 0, "other"), 8), Finished(7), Raised(7, "no"), Released(7, "deadline"),
    Lost("gone"), Unblocked(), Blocked("x"), Postponed(), Cancelled(), Retried(), Retried(waiting=True),
]  # fmt: skip


def item(phase: Phase, **changes: object) -> Item:
    held = {"job": "1", "owner": ANNA} if phase is Phase.RUNNING else {}
    return msgspec.structs.replace(Item(0, "f", phase, token=7, **held), **changes)


def after(before: Item, event: Event, now: float = 5.0) -> Item:
    found = step(before, event, now, BUDGET)
    assert isinstance(found, Item), found
    return found


@pytest.mark.parametrize(("phase", "event"), [*itertools.product(Phase, EVENTS)])
def test_every_pair_of_phase_and_event_does_what_the_table_says(phase: Phase, event: Event) -> None:
    before = item(phase)
    found = step(before, event, 5.0, BUDGET)
    entry = TRANSITIONS.get((phase, type(event)))
    if entry is None:
        assert isinstance(found, Refused)
    elif isinstance(found, Item):
        assert found.phase in entry[1]
        assert (found.job is None) == (found.owner is None) == (found.phase is not Phase.RUNNING)
        assert found is before or found.changed == 5.0
    else:
        assert (phase, type(event)) == (Phase.RUNNING, Claimed), "only to another job"


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("kind", [Finished, lambda t: Released(t, "x"), lambda t: Raised(t, "x")])
@pytest.mark.parametrize("token", [0, 6, 8])
def test_a_stale_token_is_refused_in_every_phase(phase: Phase, kind: object, token: int) -> None:
    found = step(item(phase), kind(token), 5.0, BUDGET)  # type: ignore[operator]
    assert isinstance(found, Refused)
    assert found.code == ("cancelled" if phase is Phase.CANCELLED else "stale_token")


def test_a_claim_gives_a_token_which_the_same_client_keeps() -> None:
    taken = after(item(Phase.QUEUED, token=0, reason="deadline"), Claimed(ANNA, 3))
    assert (taken.phase, taken.job, taken.owner, taken.token) == (Phase.RUNNING, "1", ANNA, 3)
    assert (taken.attempts, taken.reason) == (1, "")
    assert after(taken, Claimed(ANNA, 4)) is taken


def test_a_jobs_next_client_takes_over_with_a_new_token() -> None:
    again = Owner("1", 0, 1, "anna-2")
    taken = after(item(Phase.RUNNING), Claimed(again, 9, Report(npoints=12, seconds=3.0)))
    assert (taken.owner, taken.token, taken.crashes) == (again, 9, 1)
    assert (taken.npoints, taken.worked) == (12, 3.0)
    requeued = after(item(Phase.RUNNING), Claimed(Owner("1", 1, 0, "x"), 9))
    assert requeued.crashes == 0, "a requeue is not the learner's fault"


@pytest.mark.parametrize("owner", [Owner("1", 0, 0, "twin"), Owner("2", 5, 5, "other")])
def test_no_other_client_takes_over(owner: Owner) -> None:
    found = step(item(Phase.RUNNING), Claimed(owner, 9), 5.0, BUDGET)
    assert isinstance(found, Refused)
    assert found.code == "not_free"


def test_a_jobs_earlier_client_does_not_take_over() -> None:
    before = item(Phase.RUNNING, owner=Owner("1", 1, 0, "now"))
    assert isinstance(step(before, Claimed(Owner("1", 0, 3, "old"), 9), 5.0, BUDGET), Refused)


def test_fault_14_fails_are_counted_apart_from_crashes() -> None:
    row = item(Phase.RUNNING)
    for n in (1, 2):
        row = after(row, Raised(row.token, "ValueError: x", "Traceback", Report(seconds=1.0)))
        assert (row.phase, row.fails, row.crashes) == (Phase.QUEUED, n, n - 1)
        row = after(after(row, Claimed(ANNA, row.token + 1)), Lost("killed", crash=True))
        assert (row.phase, row.fails, row.crashes) == (Phase.QUEUED, n, n)
        row = after(row, Claimed(ANNA, row.token + 1))
    row = after(row, Raised(row.token, "ValueError: y", "Traceback y"))
    assert (row.phase, row.fails, row.reason) == (Phase.FAILED, 3, "ValueError: y")
    assert row.traceback == "Traceback y"


def test_only_crashes_use_up_the_budget_of_crashes() -> None:
    row = item(Phase.RUNNING)
    for n in range(20):
        row = after(after(row, Lost("timeout")), Claimed(ANNA, 10 + n))
    assert row.crashes == 0
    for n in (1, 2):
        row = after(row, Lost("killed", crash=True))
        assert (row.phase, row.crashes) == (Phase.QUEUED, n)
        row = after(row, Claimed(ANNA, 50 + n))
    row = after(row, Lost("killed", crash=True))
    assert (row.phase, row.reason) == (Phase.FAILED, "killed (3 times)")


def test_a_second_finish_is_accepted() -> None:
    done = after(item(Phase.RUNNING), Finished(7, Report(npoints=5, loss=0.1, seconds=2.0)))
    assert (done.phase, done.npoints, done.loss, done.worked) == (Phase.DONE, 5, 0.1, 2.0)
    assert after(done, Finished(7, Report(seconds=2.0))) is done


def test_a_second_release_is_refused() -> None:
    free = after(item(Phase.RUNNING), Released(7, "deadline"))
    assert isinstance(step(free, Released(7, "deadline"), 5.0, BUDGET), Refused)


def test_a_finish_of_a_cancelled_item_is_refused_with_that_reason() -> None:
    found = step(after(item(Phase.RUNNING), Cancelled()), Finished(7), 5.0, BUDGET)
    assert isinstance(found, Refused)
    assert found.code == "cancelled"


@pytest.mark.parametrize(
    ("event", "how"),
    [
        (Finished(7), -1),  # its phase says so
        (Raised(7, "no"), How.FAILED),
        (Raised(7, "a worker died", crash=True), How.CRASHED),
        (Released(7, "signal", how=How.GIVEN_BACK), How.GIVEN_BACK),
        (Released(7, "signal", how=How.WALLTIME), How.WALLTIME),
        (Released(7, "of an older client"), -1),
        (Lost("timeout", how=How.WALLTIME), How.WALLTIME),
        (Claimed(Owner("1", 0, 1, "a process died"), 9), How.CRASHED),
        (Claimed(Owner("1", 1, 0, "a requeue"), 9), How.LOST),
        (Cancelled(), How.CANCELLED),
    ],
)
def test_how_a_try_ended_is_recorded_where_it_is_known(event: Event, how: int) -> None:
    assert after(item(Phase.RUNNING, how=How.GIVEN_BACK), event).how == how


@pytest.mark.parametrize(
    ("cause", "crash", "how"),
    [
        (JobEnd.TIMEOUT, False, How.WALLTIME), (JobEnd.NODE_FAIL, False, How.LOST),
        (JobEnd.PREEMPTED, False, How.LOST), (JobEnd.OUT_OF_MEMORY, True, How.CRASHED),
        ("a word of another scheduler", True, How.CRASHED),
    ],
)  # fmt: skip
def test_how_a_try_ends_whose_job_is_dead(cause: str, crash: bool, how: How) -> None:
    assert how_of_dead_job(cause, crash=crash) is how


def test_the_time_that_data_took_is_added_up() -> None:
    first = after(item(Phase.RUNNING), Released(7, "x", Report(seconds=9.0, data_seconds=2.0)))
    assert (first.worked, first.data_seconds) == (9.0, 2.0)
    again = after(first, Claimed(ANNA, 8))
    bad = Report(seconds=5.0, data_seconds=math.nan)
    assert after(again, Released(8, "x", bad)).data_seconds == 2.0


def test_a_retry_resets_the_budgets() -> None:
    failed = item(Phase.FAILED, fails=3, crashes=2, traceback="T")
    again = after(failed, Retried())
    assert (again.phase, again.fails, again.crashes, again.traceback) == (Phase.QUEUED, 0, 0, "")
    assert after(failed, Retried(waiting=True)).phase is Phase.WAITING


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf, -5.0])
def test_no_report_makes_a_row_that_cannot_be_read_again(seconds: float) -> None:
    row = after(item(Phase.RUNNING), Released(7, "x", Report(seconds=seconds, loss=math.nan)))
    assert row.worked == 0.0
    msgspec.json.decode(msgspec.json.encode(row), type=Item)


def failing_again(before: Item, report: Report, workers: int, budget: Budget = BUDGET) -> Item:
    """One more failure of an item, under a new right."""
    running = msgspec.structs.replace(before, phase=Phase.RUNNING, job="1", owner=ANNA, token=7)
    found = step(running, Raised(7, "no", report=report, workers=workers), 5.0, budget)
    assert isinstance(found, Item)
    return found


@pytest.mark.parametrize(
    ("new_points", "npoints", "workers", "fails"),
    [(4, 104, 4, 1), (0, 104, 4, 1), (3, 103, 4, 3), (0, 0, 4, 3), (50, 150, 0, 3), (50, 0, 4, 1)],
    ids=["each worker brought one", "in several jobs", "one too few", "nothing", "a client of 0.2.0",
         "a learner that does not count"],
)  # fmt: skip
def test_the_count_of_failures_starts_again_after_as_many_new_points_as_workers(
    new_points: int, npoints: int, workers: int, fails: int
) -> None:
    before = item(Phase.RUNNING, fails=2, fails_in_all=2, failed_at=100, npoints=100)
    report = Report(npoints=npoints, new_points=new_points)
    found = failing_again(before, report, workers)
    assert (found.fails, found.fails_in_all) == (fails, 3)
    assert found.phase is (Phase.FAILED if fails > BUDGET.max_fails else Phase.QUEUED)
    assert found.failed_at == max(100, npoints)


def test_an_item_with_new_points_between_its_failures_is_given_up_in_the_end() -> None:
    found, n = item(Phase.RUNNING), 0
    while found.phase is not Phase.FAILED:
        n += 1
        assert n < 1000
        found = failing_again(found, Report(npoints=10 * n, new_points=10), 4)
    assert (found.fails, found.fails_in_all) == (1, 20 * BUDGET.max_fails + 1)
    assert found.reason == "no (41 times in all)"
    retried = after(found, Retried())
    assert (retried.fails, retried.fails_in_all) == (0, 0)


@pytest.mark.parametrize("max_fails", [0, 1])
def test_an_item_without_new_points_is_given_up_at_its_budget(max_fails: int) -> None:
    found = item(Phase.RUNNING)
    for n in range(max_fails + 1):
        assert n == 0 or found.phase is Phase.QUEUED
        found = failing_again(found, Report(), 4, Budget(max_fails, 2))
    assert (found.phase, found.fails, found.reason) == (Phase.FAILED, max_fails + 1, "no")


def test_an_item_given_back_too_often_without_a_point_is_given_up() -> None:
    """As by a function that sends its client a SIGTERM; one new point, and it is counted anew."""
    found, n = item(Phase.RUNNING), 0
    while found.phase is not Phase.FAILED:
        running = msgspec.structs.replace(found, phase=Phase.RUNNING, job="1", owner=ANNA)
        got_on, was_begun = n == 30, n != 31
        report = Report(new_points=int(got_on), seconds=5.0 * was_begun)
        found = after(running, Released(7, "signal", report))
        n += 1
        if n < 21 or 31 < n < 51:
            assert found.phase is Phase.QUEUED
        if n == 21:
            assert found.phase is Phase.FAILED
            assert found.reason == "signal (21 times in a row without a point)"
            found = after(found, Retried())
            assert found.vain == 0
            n = 30
    assert n == 53


def test_a_retry_decision_has_phase_reason_and_counts() -> None:
    event = Raised(7, "ValueError: x")
    first = decide_after_failure(item(Phase.RUNNING), event, BUDGET)
    assert first == RetryDecision(Phase.QUEUED, "ValueError: x", 1, 1, 0, 0)
    last = decide_after_failure(item(Phase.RUNNING, fails=2, crashes=1), event, BUDGET)
    assert last == RetryDecision(Phase.FAILED, "ValueError: x", 3, 3, 1, 0)


def test_only_an_item_that_raised_and_is_queued_again_is_delayed() -> None:
    raised = Raised(7, "no")
    assert [retry_delay(item(Phase.QUEUED, fails=n), raised) for n in (1, 2, 3)] == [1.0, 2.0, 4.0]
    assert retry_delay(item(Phase.QUEUED, fails=5000), raised) == 300.0
    assert retry_delay(item(Phase.FAILED, fails=1), raised) == 0.0
    assert retry_delay(item(Phase.QUEUED, crashes=1), Lost("killed", crash=True)) == 0.0


@pytest.mark.parametrize(
    ("before", "after", "undone", "effect"),
    [
        (Phase.RUNNING, Phase.DONE, 0, Unblocked()),
        (Phase.RUNNING, Phase.DONE, 1, None),
        (Phase.DONE, Phase.QUEUED, 1, Postponed()),
        (Phase.RUNNING, Phase.FAILED, 1, Blocked("depends on item 0, which failed")),
        (Phase.QUEUED, Phase.CANCELLED, 1, Blocked("depends on item 0, which was cancelled")),
        (Phase.QUEUED, Phase.RUNNING, 1, None),
    ],
)
def test_what_a_change_means_for_an_item_that_depends_on_it(
    before: Phase, after: Phase, undone: int, effect: Event | None
) -> None:
    assert effect_on_dependant(item(before), item(after), undone) == effect


def test_waiting_ends_when_all_are_done_or_one_never_will_be() -> None:
    assert end_of_waiting([item(Phase.DONE), item(Phase.DONE)]) == Unblocked()
    assert end_of_waiting([item(Phase.DONE), item(Phase.QUEUED)]) is None
    assert isinstance(end_of_waiting([item(Phase.QUEUED), item(Phase.FAILED)]), Blocked)
