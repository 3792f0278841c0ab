from __future__ import annotations

import math

import pytest

from adaptive_scheduler.client.session import LAST_PAUSE, Sending, Session
from adaptive_scheduler.core.config import Timing
from adaptive_scheduler.core.wire.messages import (
    Assigned,
    Beat,
    Claim,
    Finish,
    Goodbye,
    Hello,
    Ok,
    Refused,
    Release,
    Report,
    Welcome,
)

TIMING = Timing(beat=5.0, lease=30.0)
HELLO = Hello("host", 1, 1)
WELCOME = Welcome("run", beat=5.0, lease=30.0, idle=10.0)


@pytest.fixture
def session() -> Session:
    return Session(TIMING, 0.0, lambda: 1.0)


def exchange(session: Session, now: float, reply: object) -> Sending:
    sending = session.next(now)
    assert sending is not None
    session.answered(sending, reply, now)
    return sending


def holding(session: Session, token: int = 7) -> None:
    session.request(HELLO, 0.0)
    exchange(session, 0.0, WELCOME)
    session.request(Claim(), 0.0)
    exchange(session, 0.0, Assigned(0, token, "a"))


def test_nothing_is_sent_before_the_first_request(session: Session) -> None:
    assert session.next(100.0) is None
    assert session.due() == math.inf


def test_a_request_is_sent_again_with_its_number_at_growing_intervals(session: Session) -> None:
    session.request(HELLO, 0.0)
    times, numbers, now = [], set(), 0.0
    for _ in range(8):
        sending = session.next(now)
        assert sending is not None
        numbers.add(sending.number)
        times.append(sending.timeout)
        session.unanswered(sending)
        assert session.next(now + 0.5 * sending.timeout) is None
        now = session.due()
    assert numbers == {1}
    assert times == [1, 2, 4, 8, 16, 30, 30, 30]
    assert now == sum(times)


def test_an_answer_is_given_once_and_resets_the_pause(session: Session) -> None:
    ticket = session.request(HELLO, 0.0)
    sending = session.next(0.0)
    session.unanswered(sending)
    assert session.reply(ticket) is None
    assert exchange(session, 1.0, WELCOME).number == sending.number
    assert session.reply(ticket) == WELCOME
    assert session.reply(ticket) is None
    session.request(Claim(), 1.0)
    assert session.next(1.0).timeout == 1.0


def test_requests_keep_their_order(session: Session) -> None:
    session.request(HELLO, 0.0)
    session.request(Claim(), 0.0)
    assert exchange(session, 0.0, WELCOME).body == HELLO
    assert exchange(session, 0.0, Ok()).body == Claim()


def test_a_late_duplicate_answer_changes_nothing(session: Session) -> None:
    session.request(HELLO, 0.0)
    first = exchange(session, 0.0, WELCOME)
    claim = session.request(Claim(), 0.0)
    session.answered(first, WELCOME, 0.1)
    assert session.reply(claim) is None
    assert exchange(session, 0.1, Assigned(0, 7, "a")).body == Claim()


def test_heartbeats_carry_token_and_report(session: Session) -> None:
    holding(session)
    assert session.next(0.9) is None
    session.set_report(Report(npoints=3), 1.0)
    assert exchange(session, 1.0, Ok()).body == Beat(7, Report(npoints=3)), "first news at once"
    session.set_report(Report(npoints=5), 2.0)
    assert session.next(5.9) is None
    assert exchange(session, 6.0, Ok()).body == Beat(7, Report(npoints=5))
    assert session.due() == 11.0


def test_a_lost_heartbeat_is_replaced_by_a_new_one(session: Session) -> None:
    holding(session)
    lost = session.next(5.0)
    session.unanswered(lost)
    session.set_report(Report(npoints=9), 5.5)
    sending = session.next(session.due())
    assert sending.number > lost.number
    assert sending.body.report.npoints == 9


def test_the_lease_counts_from_the_sending_of_the_last_answered_heartbeat(
    session: Session,
) -> None:
    assert not session.is_lease_good(0.0)
    holding(session)
    assert session.is_lease_good(29.9)
    assert not session.is_lease_good(30.0)
    sending = session.next(5.0)
    session.answered(sending, Ok(), 9.0)
    assert session.is_lease_good(34.9)
    assert not session.is_lease_good(35.0)


def test_the_lease_of_a_claim_counts_from_its_first_try(session: Session) -> None:
    session.request(HELLO, 0.0)
    exchange(session, 0.0, WELCOME)
    session.request(Claim(), 0.0)
    session.unanswered(session.next(0.0))
    exchange(session, 40.0, Assigned(0, 7, "a"))
    assert not session.is_lease_good(40.0)
    assert isinstance(exchange(session, 40.0, Ok()).body, Beat)
    assert session.is_lease_good(40.0)


def test_a_refused_heartbeat_means_that_the_item_was_taken_back(session: Session) -> None:
    holding(session)
    exchange(session, 5.0, Refused("stale_token", "another has it"))
    assert session.refusal.code == "stale_token"
    assert not session.is_lease_good(5.0)
    assert exchange(session, 10.0, Ok()).body == Beat(0)
    assert not session.is_lease_good(10.0), "a beat without an item renews nothing"


def test_a_cancelled_item_may_still_be_saved(session: Session) -> None:
    holding(session)
    exchange(session, 5.0, Refused("cancelled", "by a person"))
    assert session.refusal.code == "cancelled"
    assert session.is_lease_good(6.0)
    for now in range(10, 60, 5):
        exchange(session, float(now), Ok())
    assert session.is_lease_good(56.0), "while a long save goes on"


def test_a_new_claim_forgets_the_refusal(session: Session) -> None:
    holding(session)
    exchange(session, 5.0, Refused("stale_token", "another has it"))
    session.request(Claim(), 6.0)
    exchange(session, 6.0, Assigned(1, 8, "b"))
    assert session.refusal is None
    assert session.is_lease_good(6.0)


@pytest.mark.parametrize("word", [Finish(7), Release(7, "deadline")])
def test_a_finish_ends_the_lease_and_no_heartbeat_overtakes_it(session: Session, word) -> None:
    holding(session)
    session.request(word, 5.0)
    assert session.next(5.0).body == word
    exchange(session, 50.0, Ok())
    assert not session.is_lease_good(5.0)
    assert exchange(session, 60.0, Ok()).body == Beat(0)


def test_a_finish_that_is_answered_with_the_next_item_begins_its_lease(session: Session) -> None:
    holding(session)
    session.set_report(Report(npoints=5), 4.0)
    ticket = session.request(Finish(7, claims=True), 5.0)
    exchange(session, 6.0, Assigned(1, 8, "b"))
    assert session.reply(ticket) == Assigned(1, 8, "b")
    assert session.is_lease_good(35.9)
    assert not session.is_lease_good(36.0)
    assert exchange(session, 11.0, Ok()).body == Beat(8), "of the next item nothing is known yet"


def test_hours_without_a_manager_lose_no_request(session: Session) -> None:
    holding(session)
    ticket = session.request(Finish(7, Report(npoints=5)), 10.0)
    now, tries = 10.0, 0
    while now < 4 * 3600:
        sending = session.next(now)
        session.unanswered(sending)
        now, tries = session.due(), tries + 1
    assert tries < 4 * 3600 / LAST_PAUSE + 10
    assert session.silence(now) == now
    assert exchange(session, now, Ok()).body == Finish(7, Report(npoints=5))
    assert session.reply(ticket) == Ok()


def test_a_manager_that_has_moved_is_asked_soon(session: Session) -> None:
    holding(session)
    session.request(Finish(7), 10.0)
    for _ in range(8):
        session.unanswered(session.next(session.due()))
    now = session.due() - 20
    session.manager_moved(now)
    assert session.due() <= now + 0.5
    assert session.next(session.due()).timeout == 1.0


def test_a_new_manager_soon_gets_a_heartbeat_from_a_client_that_noticed_nothing(
    session: Session,
) -> None:
    session.manager_moved(0.0)
    assert session.next(1.0) is None  # nobody beats before it was welcomed
    holding(session)
    exchange(session, session.due(), Ok())
    now = session.due() - 4.0
    session.manager_moved(now)
    sending = session.next(now + 0.5)
    assert sending is not None
    assert isinstance(sending.body, Beat)
    assert sending.body.token == 7


def test_a_manager_is_away_since_the_first_request_without_an_answer(session: Session) -> None:
    holding(session)
    assert session.away(4.9) == 0.0, "it is not asked all the time"
    for _ in range(3):
        session.unanswered(session.next(session.due()))
    assert session.away(20.0) == 15.0
    exchange(session, session.due(), Ok())
    assert session.away(100.0) == 0.0


def test_a_withdrawn_request_is_not_sent_again(session: Session) -> None:
    holding(session)
    ticket = session.request(Claim(), 6.0)
    sending = session.next(6.0)
    session.withdraw(ticket)
    session.request(Goodbye("signal"), 6.0)
    session.answered(sending, Assigned(2, 9, "c"), 6.1)
    assert session.reply(ticket) is None
    after = session.next(6.1)
    assert after.body == Goodbye("signal")
    assert after.number > sending.number
