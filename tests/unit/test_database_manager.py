"""The answers of the database manager to each request of clients."""

from __future__ import annotations

from typing import get_args

import msgspec

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.job_table import JobTable
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.events import Lost
from adaptive_scheduler.core.rows.item_table import ItemTable
from adaptive_scheduler.core.rows.retry_decision import Budget
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.core.rows.run_state import RunState
from adaptive_scheduler.core.wire.messages import (
    Assigned,
    Beat,
    Claim,
    Fail,
    Finish,
    Goodbye,
    Hello,
    Idle,
    Ok,
    Owner,
    Refused,
    Release,
    Reply,
    Report,
    Request,
    Welcome,
)
from adaptive_scheduler.manager.clients import CLIENT_REQUESTS, NO_MORE, DatabaseManager, Moment
from adaptive_scheduler.manager.control import CONTROL_REQUESTS
from adaptive_scheduler.manager.explain import EXPLAIN_REQUESTS
from adaptive_scheduler.manager.tasks.drivers import DRIVER_REQUESTS
from adaptive_scheduler.manager.tasks.heads import HEAD_REQUESTS
from adaptive_scheduler.manager.tasks.pools import POOL_REQUESTS


class Desk:
    """A manager, and clients that number their requests."""

    def __init__(self, n: int = 3, combos: dict[int, object] | None = None, **budget: int) -> None:
        config = RunConfig("run", [Resources()], ["job"], "/logs")
        items = ItemTable([Item(k, f"f{k}", Phase.QUEUED) for k in range(n)], Budget(**budget))
        self.state = RunState(items, JobTable([], [], 0.0), config, combos)
        self.manager = DatabaseManager(self.state)
        self.numbers: dict[str, int] = {}
        self.now = 0.0

    def ask(self, owner: Owner, body: Request) -> Reply:
        self.numbers[owner.uuid] = self.numbers.get(owner.uuid, 0) + 1
        return self.again(owner, body)

    def again(self, owner: Owner, body: Request, back: int = 0) -> Reply:
        moment = Moment(1e9 + self.now, self.now)
        return self.manager.handle(owner, self.numbers[owner.uuid] - back, body, moment)

    def claim(self, owner: Owner) -> Assigned:
        reply = self.ask(owner, Claim())
        assert isinstance(reply, Assigned), reply
        return reply


def client(job: str = "1", restart: int = 0, attempt: int = 0) -> Owner:
    return Owner(job, restart, attempt, f"{job}-{restart}-{attempt}")


ANNA, BOB = client("1"), client("2")


def code(reply: Reply) -> str:
    assert isinstance(reply, Refused), reply
    return reply.code


def test_a_client_from_hello_to_goodbye() -> None:
    desk = Desk(1, combos={0: {"a": 1}})
    welcome = desk.ask(ANNA, Hello("n1", 1, 4, submit=3))
    assert isinstance(welcome, Welcome)
    assert (welcome.run, welcome.beat, welcome.lease) == ("run", 5.0, 30.0)
    assert desk.state.jobs.records["1"].submit == 3
    got = desk.claim(ANNA)
    assert (got.item, got.fname, got.combo) == (0, "f0", {"a": 1})
    assert desk.ask(ANNA, Beat(got.token, Report(npoints=5))) == Ok()
    assert desk.state.reports[0].npoints == 5
    assert desk.ask(ANNA, Finish(got.token, Report(npoints=9))) == Ok()
    assert 0 not in desk.state.reports
    assert desk.ask(ANNA, Claim()) == Idle(1.0, over=True)
    assert desk.ask(ANNA, Goodbye("over")) == Ok()
    assert desk.state.jobs.records["1"].goodbye == "over"


def test_a_client_whose_first_word_is_goodbye_tells_of_which_submit_its_job_is() -> None:
    """It was counted for no pool, whose jobs were one more than allowed (simulator, seed 3691)."""
    desk = Desk()
    assert desk.ask(ANNA, Goodbye("it cannot work here", broken=True, submit=3)) == Ok()
    assert desk.state.jobs.records["1"].submit == 3


def test_a_repeated_request_gets_the_same_reply_and_changes_nothing() -> None:
    desk = Desk()
    got = desk.claim(ANNA)
    desk.ask(ANNA, Fail(got.token, "no", "T"))
    before = list(desk.state.items.rows)
    assert desk.again(ANNA, Fail(got.token, "no", "T")) == Ok()
    assert desk.state.items.rows == before
    assert code(desk.again(ANNA, Claim(), back=1)) == "old_request"
    assert desk.state.items.held_by("1") is None, "a late second copy of a claim gives nothing"


def test_a_client_that_claims_twice_gets_the_same_item_twice() -> None:
    desk = Desk()
    assert desk.claim(ANNA) == desk.claim(ANNA)


def test_two_clients_get_different_items_and_a_third_waits() -> None:
    desk = Desk(2)
    assert {desk.claim(ANNA).item, desk.claim(BOB).item} == {0, 1}
    desk.state.dirty = False
    assert desk.ask(client("3"), Claim()) == Idle(1.0, over=False)
    assert not desk.state.dirty, "one who waits is no reason to ask the batch system"


def test_every_request_with_a_stale_token_is_refused() -> None:
    desk = Desk()
    got = desk.claim(ANNA)
    desk.state.take_back("1", Lost("dead"), 0.0)
    taken = desk.claim(BOB)
    assert taken.item == got.item
    for body in (Beat(got.token), Finish(got.token), Fail(got.token, "x"), Release(got.token, "x")):
        assert code(desk.ask(ANNA, body)) == "stale_token"
    for token in (999, -1):
        for body in (Beat(token), Finish(token), Fail(token, "x"), Release(token, "x")):
            assert code(desk.ask(ANNA, body)) == "stale_token"
    assert desk.ask(BOB, Beat(taken.token)) == Ok()


def test_the_client_of_a_cancelled_item_is_refused_with_that_reason() -> None:
    desk = Desk()
    got = desk.claim(ANNA)
    desk.state.items.cancel(0.0)
    desk.state.cancelled = True
    for body in (Beat(got.token), Finish(got.token), Release(got.token, "x")):
        assert code(desk.ask(ANNA, body)) == "cancelled"
    assert desk.ask(ANNA, Claim()) == Idle(1.0, over=True)


def test_a_restarted_client_takes_over_with_the_last_report() -> None:
    desk = Desk()
    got = desk.claim(ANNA)
    desk.ask(ANNA, Beat(got.token, Report(npoints=7, seconds=11.0)))
    again = desk.claim(client("1", attempt=1))
    assert again.item == got.item
    assert again.worked == 11.0
    assert desk.state.items.rows[got.item].npoints == 7
    assert got.item not in desk.state.reports
    assert code(desk.ask(ANNA, Beat(got.token))) == "old_life"


def test_a_goodbye_queues_the_item_without_counting_a_crash() -> None:
    desk = Desk()
    got = desk.claim(ANNA)
    desk.state.dirty = False
    assert desk.ask(ANNA, Goodbye("signal")) == Ok()
    row = desk.state.items.rows[got.item]
    assert (row.phase, row.crashes, row.reason) == (Phase.QUEUED, 0, "signal")
    assert desk.state.dirty


def test_fault_14_a_failed_item_is_delayed_while_others_go_on() -> None:
    """Fault 14."""
    desk = Desk(2, max_fails=1)
    got = desk.claim(ANNA)
    desk.ask(ANNA, Fail(got.token, "ValueError: x", "T1"))
    other = desk.claim(ANNA)
    assert other.item != got.item
    assert isinstance(desk.ask(BOB, Claim()), Idle)
    desk.state.items.wake_delayed(0.0)
    desk.state.items.wake_delayed(1.0)
    assert desk.claim(BOB).item == got.item


def test_a_job_that_is_being_cancelled_gets_no_more_work() -> None:
    """Else a cancel that was decided while it was idle would end it while it works."""
    desk = Desk()
    desk.state.stops.being_cancelled["1"] = 0.0
    assert desk.ask(ANNA, Claim()) == Idle(1.0, True, NO_MORE)
    assert isinstance(desk.ask(BOB, Claim()), Assigned)


def test_the_queue_is_listed_after_the_last_finish() -> None:
    desk = Desk(2)
    first, second = desk.claim(ANNA), desk.claim(BOB)
    desk.state.dirty = False
    desk.ask(ANNA, Finish(first.token))
    assert not desk.state.dirty
    desk.ask(BOB, Finish(second.token))
    assert desk.state.dirty


def test_a_finish_repeated_to_the_next_manager_is_accepted() -> None:
    desk = Desk()
    got = desk.claim(ANNA)
    desk.ask(ANNA, Finish(got.token))
    desk.manager._replies.clear()
    assert desk.again(ANNA, Finish(got.token)) == Ok()


def test_a_finish_can_ask_for_the_next_item() -> None:
    desk = Desk(2)
    first = desk.claim(ANNA)
    second = desk.ask(ANNA, Finish(first.token, Report(npoints=9), claims=True))
    assert isinstance(second, Assigned)
    assert (second.item, second.token) == (1, first.token + 1)
    rows = desk.state.items.rows
    assert (rows[0].phase, rows[0].npoints, rows[1].owner) == (Phase.DONE, 9, ANNA)
    assert desk.again(ANNA, Finish(first.token, claims=True)) == second
    assert desk.ask(ANNA, Finish(second.token, claims=True)) == Idle(1.0, over=True)
    assert [row.phase for row in rows] == [Phase.DONE, Phase.DONE]


def test_a_refused_finish_gives_no_item() -> None:
    desk = Desk(2)
    got = desk.claim(ANNA)
    desk.ask(ANNA, Release(got.token, "signal"))
    before = list(desk.state.items.rows)
    assert code(desk.ask(ANNA, Finish(got.token, claims=True))) == "stale_token"
    assert desk.state.items.rows == before


def test_a_finish_that_claims_gets_the_same_item_from_the_next_manager() -> None:
    """It was carried out, and the manager died before it replied."""
    desk = Desk()
    got = desk.claim(ANNA)
    given = desk.ask(ANNA, Finish(got.token, claims=True))
    before = list(desk.state.items.rows)
    desk.manager._replies.clear()
    assert desk.again(ANNA, Finish(got.token, claims=True)) == given
    assert desk.state.items.rows == before


def test_a_job_that_is_being_cancelled_may_finish_its_item_and_gets_no_other() -> None:
    desk = Desk()
    got = desk.claim(ANNA)
    desk.state.stops.being_cancelled["1"] = 0.0
    assert desk.ask(ANNA, Finish(got.token, claims=True)) == Idle(1.0, True, NO_MORE)
    assert desk.state.items.rows[got.item].phase is Phase.DONE


def test_an_item_given_back_before_it_was_begun_is_no_barren_run() -> None:
    """Ten jobs that had to end while a finish was answered held up all submits."""
    desk = Desk()
    for _ in range(2):
        desk.ask(ANNA, Release(desk.claim(ANNA).token, "deadline"))
    assert desk.state.stops.barren_runs == 0
    for n in (1, 2):
        desk.ask(ANNA, Release(desk.claim(ANNA).token, "deadline", Report(seconds=5.0)))
        assert desk.state.stops.barren_runs == n


def test_a_finish_can_claim_an_item_that_depended_on_the_finished_one() -> None:
    desk = Desk(0)
    desk.state.items = ItemTable(
        [Item(0, "f0", Phase.QUEUED), Item(1, "f1", Phase.WAITING, depends_on=(0,))]
    )
    got = desk.claim(ANNA)
    reply = desk.ask(ANNA, Finish(got.token, claims=True))
    assert isinstance(reply, Assigned)
    assert reply.item == 1


def test_each_request_has_exactly_one_handler() -> None:
    kinds = [CLIENT_REQUESTS, CONTROL_REQUESTS, HEAD_REQUESTS, DRIVER_REQUESTS, POOL_REQUESTS]
    kinds.append(EXPLAIN_REQUESTS)
    assert sorted(map(str, get_args(Request))) == sorted(str(one) for kind in kinds for one in kind)


def test_a_second_client_of_one_job_is_refused() -> None:
    desk = Desk()
    desk.claim(Owner("1", 0, 0, "a"))
    assert code(desk.ask(Owner("1", 0, 0, "b"), Claim())) == "many_clients"
    assert desk.state.items.phases[Phase.RUNNING] == 1


def test_a_job_too_many_leaves_when_its_item_has_ended_and_the_others_stay() -> None:
    """The limit was lowered: the first of three jobs that ask again leaves, and two stay."""
    desk = Desk(9)
    owners = [client(str(n)) for n in range(3)]
    for owner in owners:
        desk.ask(owner, Hello("n1", 1, 1, submit=1))
    tokens = [desk.claim(owner).token for owner in owners]
    limits = msgspec.structs.replace(desk.state.config.limits, max_jobs=2)
    desk.state.config = msgspec.structs.replace(desk.state.config, limits=limits)
    assert desk.claim(owners[0]).token == tokens[0], "what it has it keeps"
    replies = [
        desk.ask(one, Finish(token, claims=True)) for one, token in zip(owners, tokens, strict=True)
    ]
    assert replies[0] == Idle(1.0, over=True, reason=NO_MORE)
    assert [type(reply) for reply in replies[1:]] == [Assigned, Assigned]
    assert desk.ask(owners[0], Claim()) == Idle(1.0, True, NO_MORE), "it leaves, whatever is free"


def test_a_job_that_runs_does_not_leave_for_others_that_wait_in_the_queue() -> None:
    """The limit was lowered to as many as run: those that wait are cancelled, not it."""
    desk = Desk(9)
    jobs = desk.state.jobs
    number = jobs.begin_submit(0, 4, "job", 0.0, 0.0).number
    jobs.end_submit(number, ["1", "2", "3", "4"], 0.0)
    for one in (ANNA, BOB):
        desk.ask(one, Hello("n1", 1, 1, submit=number))
    token = desk.claim(ANNA).token
    limits = msgspec.structs.replace(desk.state.config.limits, max_jobs=2)
    desk.state.config = msgspec.structs.replace(desk.state.config, limits=limits)
    assert isinstance(desk.ask(ANNA, Finish(token, claims=True)), Assigned)
    desk.claim(BOB)
    desk.ask(client("3"), Hello("n1", 1, 1, submit=number))
    assert desk.ask(client("3"), Claim()) == Idle(1.0, True, NO_MORE), (
        "it has started, as one too many"
    )


def test_jobs_that_a_person_has_submitted_get_work_whatever_the_limit_is() -> None:
    """As with `manage_database` and an sbatch of one's own: nobody has set a limit for them."""
    desk = Desk(9)
    limits = msgspec.structs.replace(desk.state.config.limits, max_jobs=1)
    desk.state.config = msgspec.structs.replace(desk.state.config, limits=limits)
    for n in range(3):
        desk.ask(client(str(n)), Hello("n1", 1, 1))
        desk.claim(client(str(n)))
    desk.ask(client("7"), Hello("n1", 1, 1, submit=1))
    desk.claim(client("7"))
