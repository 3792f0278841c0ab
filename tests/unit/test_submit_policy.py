"""How refused submits, and jobs that make no progress, change what is submitted next."""

from __future__ import annotations

from adaptive_scheduler.core.jobs.backoff import Backoff
from adaptive_scheduler.core.jobs.batch_jobs import Refusal
from adaptive_scheduler.core.jobs.commands import Hold, NotSubmitted
from adaptive_scheduler.core.jobs.submit_policy import (
    FIRST_WAIT,
    LONGEST_WAIT,
    MAX_BARREN_GROUPS,
    LogEntry,
    SubmitPolicy,
)


def policy(under_way: int = 1, max_array: int = 1000) -> SubmitPolicy:
    made = SubmitPolicy(max_array)
    made.on_sent(under_way, barren="", now=0.0)
    return made


def refuse(made: SubmitPolicy, refusal: Refusal, n: int = 1, now: float = 0.0) -> object:
    return made.on_refused(NotSubmitted(refusal, "no"), n, now)


def event(outcome: object) -> str:
    assert isinstance(outcome, LogEntry), outcome
    return outcome.event


# ------------------------------------------------------------------------------ groups


def test_nothing_is_submitted_while_a_group_is_under_way() -> None:
    made = policy(under_way=2)
    assert made.blocked(0.0) == "a submit is under way"
    made.on_accepted(barren="")
    assert made.blocked(0.0)
    made.on_accepted(barren="")
    assert made.blocked(0.0) == ""


def test_jobs_of_one_name_are_submitted_together_up_to_the_size_of_an_array() -> None:
    made = SubmitPolicy(4)
    assert made.split(["a"] * 10) == [("a", 4), ("a", 4), ("a", 2)]
    assert made.split(["a", "b"]) == [("a", 1), ("b", 1)]
    assert made.split([]) == []


def test_a_group_of_refusals_is_one_wait() -> None:
    made = policy(under_way=3)
    assert event(refuse(made, Refusal.BUSY)) == "submit_postponed"
    assert refuse(made, Refusal.BUSY) is None
    assert refuse(made, Refusal.BUSY, now=FIRST_WAIT + 1) is None, "its wait is over already"
    assert made.backoff.reason.endswith("(again in 5 s)")
    made.on_sent(1, barren="", now=10.0)
    refuse(made, Refusal.BUSY, now=10.0)
    assert made.backoff.reason.endswith("(again in 10 s)")


def test_an_accepted_submit_of_a_refused_group_does_not_end_the_wait() -> None:
    made = policy(under_way=2)
    refuse(made, Refusal.BUSY)
    made.on_accepted(barren="")
    assert made.blocked(1.0)
    made.on_sent(1, barren="", now=10.0)
    made.on_accepted(barren="")
    assert made.backoff.reason == ""


def test_a_submit_without_an_answer_is_waited_for_as_a_busy_server() -> None:
    made = policy()
    assert event(made.on_unanswered("no answer in 60 s", 0.0)) == "submit_postponed"
    assert "a submit did not answer: no answer in 60 s" in made.blocked(1.0)


# ------------------------------------------------------------------------------ limits


def test_at_a_limit_fewer_jobs_are_asked_for_and_then_more_again() -> None:
    made = policy()
    assert event(refuse(made, Refusal.LIMIT, n=100)) == "fewer_jobs_at_once"
    assert made.most(100) == 25
    assert not made.blocked(0.0), "fewer are tried at once"
    for expected in (50, 100, 200, 400, 800):
        made.on_sent(1, barren="", now=1.0)
        made.on_accepted(barren="")
        assert made.most(10_000) == expected
    made.on_sent(1, barren="", now=1.0)
    made.on_accepted(barren="")
    assert made.most(10_000) == 10_000, "no limit is felt any more"


def test_a_single_job_at_the_limit_waits_until_a_job_ends() -> None:
    made = policy()
    assert event(refuse(made, Refusal.LIMIT)) == "submit_postponed"
    assert made.blocked(1.0)
    made.on_job_ended()
    assert made.blocked(1.0) == ""
    assert made.most(9) == 1
    made.on_job_ended()
    assert made.most(9) == 2, "each job that ends makes room for one"


def test_the_end_of_a_job_does_not_end_the_wait_for_a_server() -> None:
    """Not even if the refusal before was a limit."""
    made = policy()
    refuse(made, Refusal.LIMIT)
    made.on_sent(1, barren="", now=100.0)
    refuse(made, Refusal.BUSY, now=100.0)
    made.on_job_ended()
    assert made.blocked(101.0)


def test_an_array_that_is_too_long_is_made_shorter() -> None:
    made = policy()
    assert event(refuse(made, Refusal.TOO_LONG, n=40)) == "smaller_arrays"
    assert made.split(["a"] * 12) == [("a", 10), ("a", 2)]
    assert not made.blocked(0.0)


def test_what_is_impossible_is_held() -> None:
    hold = Hold("the batch system refuses these jobs: no")
    assert refuse(policy(), Refusal.IMPOSSIBLE, n=40) == hold
    assert refuse(policy(), Refusal.TOO_LONG, n=1) == hold, "one job is no array"


# -------------------------------------------------------------------- jobs without progress


def test_each_group_of_jobs_without_progress_is_one_wait_and_the_last_a_hold() -> None:
    made, now = policy(), 0.0
    made.on_accepted(barren="")
    waits = []
    for _ in range(MAX_BARREN_GROUPS):
        assert event(made.on_barren("they die", now)) == "submit_postponed"
        assert made.on_barren("they die", now) is None, "once for all deaths of a group"
        waits.append(made.backoff.left(now))
        now += waits[-1]
        made.on_sent(1, barren="they die", now=now)
        made.on_accepted(barren="they die")
    assert waits == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]
    assert made.on_barren("they die", now) == Hold("they die; 8 pauses have not helped")


def test_progress_forgets_the_groups_before_it() -> None:
    made = policy()
    made.on_accepted(barren="")
    for now in range(MAX_BARREN_GROUPS):
        made.on_sent(1, barren="they die", now=float(now))
        made.on_accepted(barren="they die")
    made.on_sent(1, barren="", now=100.0)
    assert event(made.on_barren("they die", 100.0)) == "submit_postponed"


def test_a_reset_forgets_every_refusal() -> None:
    made = policy(under_way=4)
    refuse(made, Refusal.LIMIT, n=8)
    refuse(made, Refusal.TOO_LONG, n=8)
    refuse(made, Refusal.BUSY)
    made.reset()
    assert made.blocked(0.0) == "a submit is under way"
    made.on_accepted(barren="")
    assert made.blocked(0.0) == ""
    assert made.most(100) == 100
    assert made.split(["a"] * 100) == [("a", 100)]


# ----------------------------------------------------------------------------- backoff


def test_a_wait_doubles_up_to_the_longest() -> None:
    backoff = Backoff(FIRST_WAIT, LONGEST_WAIT)
    waits = [backoff.wait("busy", 0.0) for _ in range(9)]
    assert waits[:3] == [FIRST_WAIT, 2 * FIRST_WAIT, 4 * FIRST_WAIT]
    assert waits[-1] == LONGEST_WAIT
    assert backoff.reason_at(LONGEST_WAIT - 1) == "busy (again in 300 s)"
    assert backoff.reason_at(LONGEST_WAIT + 1) == ""
    assert backoff.has_ended(LONGEST_WAIT - 1, LONGEST_WAIT)
    assert not backoff.has_ended(LONGEST_WAIT, LONGEST_WAIT + 1)
    backoff.clear()
    assert backoff.wait("busy", 0.0) == FIRST_WAIT
