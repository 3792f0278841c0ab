"""The manager's two handlers for tasks, by messages, over restarts and crashes of a commit."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from adaptive_scheduler.client.tasks.head.head_session import (
    MOST_BYTES,
    MOST_ENDS,
    Begin,
    HeadSession,
)
from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.events import Lost
from adaptive_scheduler.core.rows.row import CANCELLED, DONE, FAILED, QUEUED, RUNNING
from adaptive_scheduler.core.tasks.place import NodeInventory, NodePlace
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.tasks.retry_policy import RetryPolicy
from adaptive_scheduler.core.tasks.task_state import UNHEARD_TRIES
from adaptive_scheduler.core.wire.messages import (
    VERSION,
    Cancel,
    Envelope,
    Goodbye,
    Hello,
    Owner,
    Refused,
    Request,
    Retry,
    decode_reply,
    encode_request,
)
from adaptive_scheduler.core.wire.tasks import (
    Collect,
    DescribeTasks,
    End,
    EndKind,
    Fetch,
    Fetched,
    Given,
    Held,
    LastTry,
    NewTask,
    NodeChange,
    Order,
    Prioritise,
    Results,
    Submit,
    TasksSubmitted,
    Trade,
    Withdraw,
    Work,
)
from adaptive_scheduler.errors import DatabaseError
from adaptive_scheduler.testing.clock import Clock
from adaptive_scheduler.testing.manager import VirtualManager

CONFIG = RunConfig("run", [Resources()], ["job"], "/logs")
DRIVER = Owner("driver", 0, 0, "driver")


class Peer:
    """Who speaks with the manager: one request at a time, each with a number of its own."""

    def __init__(self, world: World, owner: Owner) -> None:
        self.world, self.owner, self.number = world, owner, 0

    def ask(self, body: Request) -> Any:
        """The answer that comes in the same turn; None: it waits."""
        self.number += 1
        return self.world.send(self, self.number, body)


class World:
    def __init__(self) -> None:
        self.clock = Clock()
        self.manager = VirtualManager([], CONFIG, self.clock)
        self.manager.state.tasks.is_open = True  # its driver is there
        self.driver = Peer(self, DRIVER)
        #: Answers to those that had waited, by uuid.
        self.late: dict[str, list[tuple[int, Any]]] = {}

    def send(self, peer: Peer, number: int, body: Request) -> Any:
        message = encode_request(peer.owner, number, body)
        mine = None
        for connection, reply in self.manager.step([(peer.owner.uuid.encode(), message)]):
            n, answer = decode_reply(reply)
            if (connection.decode(), n) == (peer.owner.uuid, number):
                assert mine is None, "answered twice"
                mine = answer
            else:
                self.late.setdefault(connection.decode(), []).append((n, answer))
        return mine

    def submit(self, n: int = 1, batch: str = "b", **more: Any) -> list[int]:
        calls = [NewTask(b"%d" % k, **more) for k in range(n)]
        reply = self.driver.ask(Submit(batch, [TaskResources()], calls))
        assert isinstance(reply, TasksSubmitted), reply
        return reply.items

    def row(self, item: int) -> Any:
        return self.manager.items.rows[item]

    def collect(self, seen: int = 0) -> Results:
        reply = self.driver.ask(Collect(seen))
        assert isinstance(reply, Results)
        return reply


class Head(Peer):
    """A real session of two cores, whose tasks end when a test says so."""

    def __init__(self, world: World, job: str = "j1", life: int = 0, cores: int = 2) -> None:
        super().__init__(world, Owner(job, 0, life, f"{job}:{life}"))
        self.nodes = [NodeInventory("n", list(range(cores)))]
        self.session = HeadSession()
        self.begun: list[int] = []
        self.greet()

    def greet(self) -> None:
        self.ask(Hello("h", 1, 2, inventory=self.nodes))

    def trade(self, wait: float = 0.0) -> Work | None:
        """Until it has nothing more to tell."""
        work = self.ask(self.session.trade(wait))
        if isinstance(work, Refused):
            assert work.code == "unknown_head"
            self.greet()
            return self.trade(wait)
        if work is not None:
            self.take(work)
            if work.tell:
                return self.trade(wait)
        return work

    def take(self, work: Work) -> None:
        for action in self.session.take(work):
            if isinstance(action, Begin):
                self.begun.append(action.given.item)
            elif action.token in self.session.running:
                self.end(action.token, EndKind.CANCELLED)

    def end(self, token: int, kind: EndKind = EndKind.VALUE, value: bytes = b"v") -> None:
        for action in self.session.end(token, kind, value=value, seconds=1.0):
            assert isinstance(action, Begin)
            self.begun.append(action.given.item)

    @property
    def tokens(self) -> list[int]:
        return list(self.session.running)


# ------------------------------------------------------------------- a new manager


def test_a_head_goes_on_with_a_new_manager_and_begins_nothing_twice() -> None:
    world = World()
    world.submit(4)
    head = Head(world)
    head.trade()
    world.manager.restart()
    head.trade()
    assert head.begun == [0, 1]
    head.end(head.tokens[0])
    head.trade()
    assert head.begun == [0, 1, 2]
    assert world.row(0).phase is DONE


def test_ends_that_the_former_manager_did_not_confirm_are_taken_in() -> None:
    world = World()
    world.submit(2)
    head = Head(world)
    head.trade()
    for token in head.tokens:
        head.end(token)
    world.manager.restart()
    head.trade()
    assert [world.row(n).phase for n in range(2)] == [DONE, DONE]
    assert not head.session.has_news
    assert len(world.collect().ended) == 2


def test_fault_35_a_second_report_of_a_task_changes_nothing() -> None:
    world = World()
    (item,) = world.submit()
    head = Head(world)
    head.trade()
    (token,) = head.tokens
    head.end(token, value=b"first")
    head.trade()
    other = Head(world, "j2")
    for number, one in ((2, head), (1, other)):
        seen = one.session.trade(0.0).seen
        for kind in (EndKind.VALUE, EndKind.DIED):
            one.ask(Trade(seen=seen, ended=[End(number, token, kind, value=b"second")]))
    (result,) = world.collect().ended
    assert (result.item, result.value) == (item, b"first")
    assert world.row(item).phase is DONE
    assert world.row(item).attempts == 1


def test_an_end_that_is_on_disk_but_unconfirmed_counts_once() -> None:
    world = World()
    world.submit(1, policy=RetryPolicy(3))
    head = Head(world)
    head.trade()
    head.end(head.tokens[0], EndKind.ERROR)
    world.send(head, 99, head.session.trade(0.0))  # its answer is lost
    head.number = 99
    world.manager.restart()
    head.trade()
    assert world.row(0).fails == 1
    assert world.row(0).attempts == 1


def test_what_never_reached_the_head_comes_back_uncounted() -> None:
    world = World()
    world.submit(2)
    head = Head(world)
    head.trade()  # the second message has it
    other = Head(world, "j2")
    world.submit(2, "c")
    other.ask(other.session.trade(0.0))  # asked to tell, which it does not
    other.ask(Trade(holds=[]))  # its answer, with tasks, is lost
    assert world.row(2).phase is RUNNING
    world.manager.restart()
    other.trade()
    assert [world.row(n).attempts for n in (2, 3)] == [0, 0]
    assert sorted(other.begun) == [2, 3]


def test_many_unconfirmed_ends_come_in_pages() -> None:
    world = World()
    n = MOST_ENDS + 300
    for batch in range(0, n, 1000):
        world.submit(min(1000, n - batch), f"b{batch}")
    head = Head(world, cores=n)
    while len(head.begun) < n:
        head.trade()
    for token in head.tokens:
        head.end(token)
    assert len(head.session.trade(0.0).ended) == MOST_ENDS
    world.manager.restart()
    head.trade()
    assert world.manager.items.phases[DONE] == MOST_ENDS, (
        "the others have ended too, and are not lost"
    )
    assert world.manager.items.phases[QUEUED] == 0
    head.trade()
    assert world.manager.items.phases[DONE] == n
    first = world.collect()
    assert len(first.ended) == 1000
    assert first.more
    assert len(world.collect(first.upto).ended) == n - 1000


def test_large_values_come_in_pages() -> None:
    world = World()
    world.submit(50)
    head = Head(world, cores=50)
    head.trade()
    for token in head.tokens:
        head.end(token, value=bytes(60_000))
    assert sum(len(end.value) for end in head.session.trade(0.0).ended) <= MOST_BYTES
    while head.session.has_news:
        head.trade()
    seen, pages = 0, []
    while seen < 50:
        page = world.collect(seen)
        seen = page.upto
        pages.append(sum(len(one.value) for one in page.ended))
    assert max(pages) <= MOST_BYTES + 60_000
    assert sum(pages) == 50 * 60_000


# ------------------------------------------------------------------- a crash of the commit


@pytest.mark.parametrize("lines", range(9))
def test_a_submit_is_there_whole_or_not_at_all(lines: int) -> None:
    world = World()
    world.submit(2, "before")
    submit = Submit(
        "b", [TaskResources(threads_per_rank=2)], [NewTask(b"x"), NewTask(b"y", key="k")]
    )
    message = encode_request(DRIVER, 50, submit)
    world.manager.dispatcher.answer(message, world.clock.moment)
    world.manager.note()
    world.manager.restart(lines)
    whole = len(world.manager.items) == 4
    assert whole or len(world.manager.items) == 2
    reply = world.driver.ask(submit)
    assert isinstance(reply, TasksSubmitted)
    assert reply.items == [2, 3]
    again = world.driver.ask(submit)
    assert isinstance(again, TasksSubmitted)
    assert again.items == [2, 3]
    assert [world.row(n).key for n in (2, 3)] == ["", "k"]
    assert world.manager.store.fact("spec", 3) == b"y"
    world.manager.restart()
    assert len(world.manager.items) == 4


def test_a_known_batch_is_known_to_the_next_manager() -> None:
    world = World()
    items = world.submit(3)
    world.manager.restart()
    assert world.submit(3) == items
    assert len(world.manager.items) == 3


def test_a_task_of_a_known_key_is_the_first_one() -> None:
    world = World()
    [first] = world.submit(1, "a", key="x=1")
    world.manager.restart()
    assert world.submit(1, "b", key="x=1") == [first]
    assert world.submit(2, "c", key="y") == [1, 1]


@pytest.mark.parametrize("lines", range(3))
def test_a_value_and_its_row_are_there_together_once_confirmed(lines: int) -> None:
    world = World()
    world.submit(1)
    head = Head(world)
    head.trade()
    head.end(head.tokens[0], value=b"result")
    head.number += 1
    world.manager.dispatcher.answer(
        encode_request(head.owner, head.number, head.session.trade(0.0)), world.clock.moment
    )
    world.manager.note()
    world.manager.restart(lines)
    head.trade()
    [ended] = world.collect().ended
    assert (ended.phase, ended.value) == ("done", b"result")
    assert head.begun == [0]


# ------------------------------------------------------------------- requests that wait


def test_a_report_that_waits_is_answered_in_the_turn_in_which_a_task_comes() -> None:
    world = World()
    head = Head(world)
    head.trade()
    assert head.trade(wait=5.0) is None
    world.submit(1)
    [(number, work)] = world.late[head.owner.uuid]
    assert number == head.number
    assert [given.item for given in work.tasks] == [0]


def test_a_report_that_waits_is_answered_when_the_delay_of_a_task_is_over() -> None:
    world = World()
    world.submit(1, policy=RetryPolicy(1, delay=5.0))
    head = Head(world)
    head.trade()
    head.end(head.tokens[0], EndKind.ERROR)
    head.trade()
    assert head.trade(60.0) is None
    world.clock.advance(4.0)
    world.driver.ask(Collect(0))
    assert world.late == {}
    world.clock.advance(2.0)
    world.driver.ask(Collect(0))
    ((_, work),) = world.late[head.owner.uuid]
    head.take(work)
    assert head.begun == [0, 0]


def test_a_request_that_waited_for_long_enough_is_answered() -> None:
    world = World()
    head = Head(world)
    head.trade()
    head.trade(wait=5.0)
    assert world.driver.ask(Collect(0, 3.0)) is None
    world.clock.advance(3.1)
    assert [c for c, _ in world.manager.step([])] == [b"driver"]
    world.clock.advance(2.0)
    assert [c for c, _ in world.manager.step([])] == [head.owner.uuid.encode()]
    assert world.manager.step([]) == []


def test_a_newer_request_takes_the_place_of_one_that_waits_and_an_older_one_does_not() -> None:
    world = World()
    head = Head(world)
    head.trade()
    head.trade(wait=5.0)
    head.trade(wait=5.0)
    newest = head.number
    assert world.send(head, newest - 1, head.session.trade(5.0)) is None  # late
    world.submit(1)
    assert [number for number, _ in world.late[head.owner.uuid]] == [newest]


def test_a_retry_and_a_higher_priority_wake_who_waits() -> None:
    world = World()
    world.submit(1)
    head = Head(world)
    head.trade()
    head.end(head.tokens[0], EndKind.ERROR)
    head.trade()
    assert head.trade(wait=5.0) is None
    seen = world.collect().upto
    Peer(world, Owner("person", 0, 0, "p")).ask(Retry(None))
    [(_, work)] = world.late[head.owner.uuid]
    assert [given.item for given in work.tasks] == [0]
    assert world.collect(0).ended == [], "its first end counts no more"
    head.take(work)
    head.end(head.tokens[0])
    head.trade()
    [ended] = world.collect(seen).ended
    assert (ended.phase, ended.value, ended.error) == ("done", b"v", b"")


def test_ends_are_numbered_on_after_the_last_one_was_tried_again() -> None:
    world = World()
    world.submit(2)
    head = Head(world)
    head.trade()
    for token in head.tokens:
        head.end(token, EndKind.ERROR)
    head.trade()
    seen = world.collect().upto
    Peer(world, Owner("person", 0, 0, "p")).ask(Retry([1]))
    world.manager.restart()
    head.trade()
    head.end(head.tokens[0])
    head.trade()
    assert [ended.item for ended in world.collect(seen).ended] == [1]


# ------------------------------------------------------------------- a head is lost


def lose(world: World, head: Head, *, crash: bool = True) -> None:
    world.manager.state.take_back(head.owner.job, Lost("gone", crash), 0.0)
    world.manager.commit()


def lose_at_walltime(world: World, head: Head, now: float) -> None:
    job = head.owner.job
    world.manager.state.tasks.lose_head(job, "its walltime", "timeout", now, 100.0)
    world.manager.commit()


def test_a_task_of_a_head_that_this_manager_has_not_met_had_no_whole_walltime() -> None:
    """The head died, and then the manager: the next one cannot know that any of it ran."""
    world = World()
    world.submit()
    for life in range(3):
        head = Head(world, f"j{life}")
        head.trade()
        head.trade()
        world.manager.state.tasks.heads.clear()
        lose_at_walltime(world, head, world.row(0).changed + 90.0)
    assert (world.row(0).phase, world.row(0).cuts) == (QUEUED, 0)


def test_a_task_that_silences_each_of_its_heads_is_not_tried_for_ever() -> None:
    """It fills the memory of its node: its head says nothing more until the walltime ends."""
    world = World()
    world.submit()
    for life in range(UNHEARD_TRIES + 1):
        head = Head(world, f"j{life}")
        head.trade()
        head.trade()
        lose_at_walltime(world, head, world.row(0).changed + 90.0)
        assert (world.row(0).phase, world.row(0).attempts) == (QUEUED, life + 1)
    head = Head(world, "last")
    head.trade()
    head.trade()
    lose_at_walltime(world, head, world.row(0).changed + 90.0)
    assert world.row(0).phase is FAILED


def test_only_what_had_begun_is_blamed_for_the_death_of_its_head() -> None:
    world = World()
    world.manager.state.tasks.hand_out.durations.note("", 0.01)
    world.submit(6)
    head = Head(world)
    head.trade()
    head.trade()  # so that the manager knows what has reached it
    lose(world, head)
    assert [world.row(n).crashes for n in range(6)] == [1, 1, 0, 0, 0, 0]
    assert [world.row(n).attempts for n in range(6)] == [1, 1, 0, 0, 0, 0]
    assert all(world.row(n).phase is QUEUED for n in range(6))


def test_one_that_died_before_is_blamed_and_its_neighbour_is_not() -> None:
    world = World()
    world.submit(2)
    head = Head(world)
    head.trade()
    head.end(head.tokens[0], EndKind.DIED)
    head.trade()
    head.trade()
    assert (world.row(0).crashes, world.row(0).phase) == (1, RUNNING)
    lose(world, head)
    assert [world.row(n).crashes for n in range(2)] == [2, 0]
    assert [world.row(n).phase for n in range(2)] == [FAILED, QUEUED]


def test_a_walltime_blames_nobody() -> None:
    world = World()
    world.submit(2)
    head = Head(world)
    head.trade()
    head.trade()
    lose(world, head, crash=False)
    assert [(world.row(n).crashes, world.row(n).phase) for n in range(2)] == [(0, QUEUED)] * 2


@pytest.mark.parametrize(
    ("ran", "silent", "fails"), [(90.0, 5.0, True), (10.0, 5.0, False), (90.0, 60.0, False)]
)
def test_a_task_that_two_whole_walltimes_have_cut_is_failed_with_advice(
    ran: float, silent: float, fails: bool
) -> None:
    """Here its job is killed at its walltime: nobody tells how long the task ran.

    A head that died before that, and none came in its place, gave it no whole walltime (seed 24378 of the
    kill campaign, where machines were slow): one that was silent for longer than a lease is not believed to live.
    """
    world = World()
    world.submit()
    for life in range(2):
        head = Head(world, f"j{life}")
        head.trade()
        head.trade()
        world.clock.advance(ran - silent)
        head.trade()
        lose_at_walltime(world, head, world.row(0).changed + ran)
    assert world.row(0).phase is (FAILED if fails else QUEUED)
    assert ("ask for a longer one" in world.row(0).reason) is fails
    assert world.row(0).crashes == 0


@pytest.mark.parametrize("kind", [EndKind.ERROR, EndKind.TIMEOUT, EndKind.EXIT])
def test_the_exception_of_a_task_is_that_of_its_last_try(kind: EndKind) -> None:
    """One that raised and then ran into its timeout told its driver of the exception alone."""
    world = World()
    world.submit(policy=RetryPolicy(1))
    head = Head(world)
    head.trade()
    head.end(head.tokens[0], EndKind.ERROR, value=b"first")
    head.trade()
    head.trade()
    head.end(head.tokens[0], kind, value=b"second" if kind is EndKind.ERROR else b"")
    head.trade()
    (ended,) = world.collect().ended
    assert (ended.phase, ended.attempts) == ("failed", 2)
    assert ended.error == (b"second" if kind is EndKind.ERROR else b"")


def test_what_a_head_holds_and_its_manager_does_not_know_ends() -> None:
    """As when somebody has put an older database in its place, one without any task."""
    world = World()
    head = Head(world)
    head.session.take(Work(tasks=[Given(0, 1, 0, [NodePlace(0, [0])]), Given(1, 2, 0)]))
    for _ in range(3):
        head.trade()
    assert head.tokens == []
    assert world.manager.state.tasks.heads["j1"].used_cores == 0


def test_a_submit_looks_for_each_function_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a look at the disk, which took as long as all the rest."""
    world, asked = World(), list[str]()
    key = "0" * 32
    monkeypatch.setattr(
        world.manager.store, "has_function", lambda one: asked.append(one) or one == key
    )
    calls = [NewTask(b"", function=one) for one in [key, "f" * 32, "", "no key"] * 50]
    reply = world.driver.ask(Submit("b", [TaskResources()], calls))
    assert sorted(asked) == [key, "f" * 32]
    assert [item >= 0 for item in reply.items] == [True, False, True, False] * 50
    assert {one.code for one in reply.refused} == {"unknown_function"}


def test_a_task_that_a_person_retries_has_all_its_walltimes_again() -> None:
    world = World()
    world.submit()

    def cut(life: int) -> None:
        head = Head(world, f"j{life}")
        head.trade()
        head.trade()
        world.clock.advance(90.0)
        head.trade()
        lose_at_walltime(world, head, world.row(0).changed + 90.0)

    cut(0)
    cut(1)
    assert world.row(0).phase is FAILED
    world.driver.ask(Retry())
    cut(2)
    assert world.row(0).phase is QUEUED
    cut(3)
    assert "in 2 whole walltimes" in world.row(0).reason


def test_a_head_runs_one_task_at_a_time_of_those_that_died_before() -> None:
    """So that the next death tells which of them it is; others run beside it."""
    world = World()
    world.submit(2)
    first = Head(world)
    first.trade()
    first.trade()
    lose(world, first)
    world.submit(3, batch="c")
    head = Head(world, "j2", cores=4)
    head.trade()
    assert sorted(head.begun) == [0, 2, 3, 4]
    assert isinstance(head.trade(), Work)
    head.end(head.tokens[head.begun.index(0)])
    for _ in range(3):
        head.trade()
    assert sorted(head.begun) == [0, 1, 2, 3, 4]


def test_those_that_died_before_are_blamed_for_the_death_of_their_agent() -> None:
    session = HeadSession()
    tasks = [Given(n, n, 0, [NodePlace(0, [n])], crashes=n == 2) for n in (1, 2, 3)]
    session.take(Work(tasks=tasks))
    session.lose("the agent died", is_ending=False)
    ends = {end.token: end.kind for end in session.trade(0.0).ended}
    assert ends == {1: EndKind.CUT, 2: EndKind.DIED, 3: EndKind.CUT}


def test_what_no_agent_was_given_comes_back_uncounted_when_the_agent_is_lost() -> None:
    session = HeadSession()
    session.take(Work(tasks=[Given(n, n, 0, [NodePlace(0, [n])]) for n in (1, 2)]))
    session.lose("the agent died", is_ending=False, unsent={2})
    ends = {end.token: (end.kind, end.begun) for end in session.trade(0.0).ended}
    assert ends == {1: (EndKind.DIED, True), 2: (EndKind.BACK, False)}
    assert not session.running


@pytest.mark.parametrize(("is_ending", "kind"), [(False, EndKind.DIED), (True, EndKind.CUT)])
def test_all_are_blamed_if_none_died_before_unless_the_job_ends(
    is_ending: bool, kind: EndKind
) -> None:
    session = HeadSession()
    session.take(Work(tasks=[Given(n, n, 0, [NodePlace(0, [n])]) for n in (1, 2)]))
    session.lose("the agent died", is_ending=is_ending)
    assert [end.kind for end in session.trade(0.0).ended] == [kind] * 2


def on(*nodes: int, core: int = 0) -> list[NodePlace]:
    return [NodePlace(node, [core]) for node in nodes]


def test_only_what_ran_there_dies_with_the_agent_of_a_node() -> None:
    session = HeadSession()
    session.take(
        Work(tasks=[Given(1, 1, 0, on(0)), Given(2, 2, 0, on(1)), Given(3, 3, 1, on(0, 1))])
    )
    assert session.lose("the agent died", is_ending=False, node=1) == {}
    ends = {end.token: end.kind for end in session.trade(0.0).ended}
    assert ends == {2: EndKind.DIED}
    later = session.lose("the agent died", is_ending=False, node=0)
    assert later == {3: EndKind.DIED}  # it is told when nothing is left of it on node 1
    assert 3 in session.running


def test_the_death_of_a_node_is_nobodys_fault() -> None:
    session = HeadSession()
    tasks = [
        Given(1, 1, 0, on(1)),
        Given(2, 2, 0, on(1, core=1), crashes=1),
        Given(3, 3, 1, on(0, 1, core=2)),
    ]
    session.take(Work(tasks=tasks))
    assert session.lose("lost", is_ending=False, node=1, is_node=True) == {3: EndKind.CUT}
    ends = {end.token: end.kind for end in session.trade(0.0).ended}
    assert ends == {1: EndKind.CUT, 2: EndKind.DIED}


@pytest.mark.parametrize("is_ending", [False, True])
def test_a_task_that_ran_alone_on_a_lost_node_is_told_apart(is_ending: bool) -> None:
    """Perhaps it kills all that its user has there."""
    session = HeadSession()
    session.take(Work(tasks=[Given(1, 1, 0, on(1)), Given(2, 2, 1, on(0, 2, core=1))]))
    kind = EndKind.CUT if is_ending else EndKind.LOST
    assert session.lose("lost", is_ending=is_ending, node=2, is_node=True) == {2: kind}
    assert session.lose("lost", is_ending=is_ending, node=1, is_node=True) == {}
    assert [end.kind for end in session.trade(0.0).ended] == [kind]


def test_a_task_with_a_place_on_a_lost_node_comes_back_and_none_takes_its_place_over() -> None:
    session = HeadSession()
    session.take(Work(tasks=[Given(1, 1, 0, on(0)), Given(2, 2, 0, None), Given(3, 3, 0, None)]))
    session.change_node(1, None)
    (change,) = session.trade(0.0).nodes
    assert (change.number, change.node, change.inventory) == (1, 1, None)
    begins = session.take(
        Work(tasks=[Given(4, 4, 0, on(1))], orders=[Order(1, 2, place=on(0, 1, core=1))])
    )
    assert begins == []
    assert {end.token: (end.kind, end.begun) for end in session.trade(0.0).ended} == {
        2: (EndKind.BACK, False), 4: (EndKind.BACK, False)
    }  # fmt: skip
    session.change_node(0, None)
    assert session.end(1, EndKind.VALUE) == []  # task 3 waits, but not for a place on a lost node
    session.take(Work(nodes=1))
    assert [one.number for one in session.trade(0.0).nodes] == [2]
    session.change_node(0, NodeInventory("n0", [0]))
    (begin,) = session.take(Work(orders=[Order(2, 3, place=on(0))], nodes=2))
    assert isinstance(begin, Begin)


def test_what_was_lined_up_at_a_lost_agent_comes_back_also_if_no_agent_was_given_it() -> None:
    session = HeadSession()
    first = [Given(n, n, 0, on(0) if n == 1 else None, function="f") for n in range(1, 6)]
    session.take(Work(tasks=first))
    session.end(1, EndKind.VALUE, seconds=1e-6)
    assert len(session.running) == 1
    session.lose("the agent died", is_ending=False, unsent={3, 4})
    ends = {end.token: end.kind for end in session.trade(0.0).ended}
    assert ends == {1: EndKind.VALUE, 2: EndKind.DIED} | dict.fromkeys((3, 4, 5), EndKind.BACK)


def test_all_may_have_begun_in_a_head_that_never_told_the_new_manager() -> None:
    world = World()
    world.submit(2)
    head = Head(world)
    head.trade()
    world.manager.restart()
    lose(world, head)
    assert [world.row(n).crashes for n in range(2)] == [1, 1]


@pytest.mark.parametrize("restarted", [False, True])
def test_the_next_life_of_a_job_loses_what_the_former_held(restarted: bool) -> None:
    world = World()
    world.submit(2)
    head = Head(world)
    head.trade()
    head.trade()
    if restarted:
        world.manager.restart()
    following = Head(world, life=1)
    assert [world.row(n).crashes for n in range(2)] == [1, 1]
    following.trade()
    assert following.begun == [0], "of those that died before, it runs one at a time"
    assert isinstance(head.ask(head.session.trade(0.0)), Refused)


def test_a_head_that_was_believed_dead_keeps_its_places_until_it_has_dropped_all() -> None:
    world = World()
    world.submit(4)
    head = Head(world)
    head.trade()
    old = head.tokens
    lose(world, head)
    work = head.trade()
    assert work is not None
    assert {order.token for order in work.orders} == set(old)
    assert work.tasks == [], "its cores are in use"
    head.trade()
    assert len(head.session.running) == 2
    assert not set(old) & set(head.tokens)


def test_a_goodbye_gives_everything_back() -> None:
    world = World()
    world.submit(2)
    head = Head(world)
    head.trade()
    head.ask(Goodbye("deadline"))
    assert [(world.row(n).crashes, world.row(n).phase) for n in range(2)] == [(0, QUEUED)] * 2


# ------------------------------------------------------------------- changes


def test_withdraw_of_what_waits_is_ahead_or_runs() -> None:
    world = World()
    world.manager.state.tasks.hand_out.durations.note("", 0.02)
    items = world.submit(20)
    head = Head(world, cores=1)
    head.trade()
    running, ahead, waiting = head.tokens[0], items[1], items[-1]
    assert world.row(waiting).phase is QUEUED
    assert world.row(ahead).phase is RUNNING
    world.driver.ask(Withdraw([0, ahead, waiting, 999, -1]))
    assert {world.row(n).phase for n in (0, ahead, waiting)} == {CANCELLED}
    head.trade()
    assert running not in head.session.running
    assert ahead not in head.begun
    while head.tokens:
        head.end(head.tokens[0])
        head.trade()
    assert sorted(head.begun) == [n for n in items if n not in (ahead, waiting)]
    ended = {one.item: one.phase for one in world.collect().ended}
    assert ended == {n: "cancelled" if n in (0, ahead, waiting) else "done" for n in items}


def test_priorities_of_what_waits_and_is_ahead() -> None:
    world = World()
    world.manager.state.tasks.hand_out.durations.note("", 0.03)
    items = world.submit(12)
    head = Head(world, cores=1)
    head.trade()
    ahead = sorted(given.item for given in head.session._tasks.values())[1:]
    world.driver.ask(Prioritise([ahead[-1], items[-1]], [5.0, 9.0]))
    head.trade()
    while head.tokens:
        head.end(head.tokens[0])
        head.trade()
    assert head.begun[:2] == [0, ahead[-1]]
    assert head.begun.index(items[-1]) <= 1 + len(ahead), "it is the next that is handed out"


def test_a_cancel_of_the_run_ends_what_runs() -> None:
    world = World()
    world.submit(3)
    head = Head(world)
    head.trade()
    Peer(world, Owner("person", 0, 0, "p")).ask(Cancel())
    head.trade()
    assert head.tokens == []
    assert {one.phase for one in world.collect().ended} == {"cancelled"}


def test_what_is_withdrawn_on_its_way_is_not_begun() -> None:
    session = HeadSession()
    work = Work(0, [Given(0, 1, 0, [])], [Order(1, 1)])
    assert session.take(work) == []
    [end] = session.trade(0.0).ended
    assert (end.kind, end.begun) == (EndKind.CANCELLED, False)


# ------------------------------------------------------------------- bad days


def test_a_request_that_a_manager_of_another_version_does_not_know_is_refused_with_a_sentence() -> (
    None
):
    world = World()
    body = msgspec.Raw(msgspec.msgpack.encode({"type": "OfTomorrow"}))
    message = msgspec.msgpack.encode(Envelope(VERSION, DRIVER, 7, body))
    ((_, reply),) = world.manager.step([(b"driver", message)])
    number, refused = decode_reply(reply)
    assert (number, type(refused)) == (7, Refused)
    assert "another version" in refused.reason
    assert world.manager.step([(b"driver", b"\x91" * 9)]) == []


def test_a_submit_on_a_full_disk_is_answered_when_there_is_room_and_counts_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    store, submit = world.manager.store, Submit("b", [TaskResources()], [NewTask(b"x")])
    monkeypatch.setattr(store, "commit", full_disk)
    assert world.driver.ask(submit) is None
    assert world.driver.ask(submit) is None  # the driver sends it again
    head = Head(world)
    assert head.session.trade(0.0).seen == 0, "nothing is handed out that is not on disk"
    monkeypatch.undo()
    assert world.driver.ask(submit).items == [0]
    world.manager.restart()
    assert len(world.manager.items) == 1
    assert world.manager.store.fact("spec", 0) == b"x"


def full_disk() -> None:
    raise DatabaseError("/run", "no space left on device")


def lose_fact(
    world: World, monkeypatch: pytest.MonkeyPatch, table: str, item: int, how: str
) -> None:
    """A fact of one task cannot be read, or is not there any more."""
    read = world.manager.store.fact

    def fact(name: str, number: int) -> bytes | None:
        if (name, number) != (table, item):
            return read(name, number)
        if how == "gone":
            return None
        raise DatabaseError("/run/facts/000001.jsonl", "is damaged at byte 17.")

    monkeypatch.setattr(world.manager.store, "fact", fact)


@pytest.mark.parametrize(
    ("how", "text"), [("damaged", "000001.jsonl: is damaged at byte 17"), ("gone", "have no")]
)
def test_arguments_that_are_lost_fail_that_task_alone(
    monkeypatch: pytest.MonkeyPatch, how: str, text: str
) -> None:
    world = World()
    world.submit(3)
    lose_fact(world, monkeypatch, "spec", 1, how)
    head = Head(world, cores=3)
    head.trade()
    assert head.begun == [0, 2]
    (lost,) = world.collect().ended
    assert (lost.item, lost.phase) == (1, "failed")
    assert text in lost.reason
    for token in head.tokens:
        head.end(token)
    head.trade()
    assert [one.item for one in world.collect().ended] == [1, 0, 2]


@pytest.mark.parametrize(
    ("how", "text"), [("damaged", "000001.jsonl: is damaged at byte 17"), ("gone", "have no value")]
)
def test_a_value_that_is_lost_is_told_for_that_task_alone(
    monkeypatch: pytest.MonkeyPatch, how: str, text: str
) -> None:
    """Its row stays done: once the file is restored, its value is there again."""
    world = World()
    world.submit(2)
    head = Head(world)
    head.trade()
    for token in head.tokens:
        head.end(token)
    head.trade()
    lose_fact(world, monkeypatch, "value", 0, how)
    lost, other = world.collect().ended
    assert (lost.phase, other.phase, other.value) == ("failed", "done", b"v")
    assert text in lost.reason
    (fetched,) = world.driver.ask(Fetch([0])).ended
    assert fetched == lost
    monkeypatch.undo()
    assert [one.phase for one in world.collect().ended] == ["done", "done"]
    assert world.row(0).phase is DONE


@pytest.mark.parametrize("table", ["times", "error", "path"])
def test_what_else_is_lost_of_a_task_ends_no_manager(
    monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    world = World()
    world.submit(2)
    lose_fact(world, monkeypatch, table, 0, "damaged")
    head = Head(world)
    head.trade()
    kind = EndKind.ERROR if table == "error" else EndKind.VALUE
    head.end(head.tokens[0], kind)
    head.trade()
    (lost,) = world.collect().ended
    assert (lost.item, lost.phase) == (0, "failed")
    assert "is damaged at byte 17" in lost.reason
    head.end(head.tokens[0])
    head.trade()
    assert [one.item for one in world.collect().ended] == [0, 1]


def test_two_drivers_share_a_run() -> None:
    """Each learns of all ends, at its own pace; a key of one is a key of the other."""
    world = World()
    other = Peer(world, Owner("driver", 0, 0, "another driver"))
    assert world.submit(2) == [0, 1]
    keyed = Submit("c", [TaskResources()], [NewTask(b"", key="k")])
    assert world.driver.ask(keyed).items == [2]
    assert other.ask(Submit("d", keyed.resources, keyed.calls)).items == [2]
    head = Head(world, cores=3)
    head.trade()
    for token in list(head.tokens):
        head.end(token)
    head.trade()
    assert [one.item for one in world.collect().ended] == [0, 1, 2]
    assert [one.item for one in other.ask(Collect(1)).ended] == [1, 2]


def test_clocks_that_step_move_no_task() -> None:
    """Times in messages are lengths; leases and deadlines go by a clock that nobody sets."""
    world = World()
    world.submit(2)
    head = Head(world)
    head.trade()
    world.clock.step_wall(-1e9)
    head.end(head.tokens[0])
    head.trade()
    assert (world.row(0).phase, world.row(1).phase) == (DONE, RUNNING)
    assert world.collect().ended[0].item == 0


# ------------------------------------------------------------------- what is known of tasks


def test_where_and_when_a_task_was_tried_is_told_with_its_end() -> None:
    world = World()
    created = world.clock.moment.wall
    world.submit(2)
    head = Head(world, "here:host:1")
    head.trade()
    world.clock.advance(5)
    head.session.note_begun(head.tokens[0], 0, 4242)
    head.end(head.tokens[0])
    head.trade()
    (one,) = world.collect().ended
    last = msgspec.msgpack.decode(one.last_try, type=LastTry)
    assert (last.job, last.node, last.pid, last.kind) == ("here:host:1", "n", 4242, EndKind.VALUE)
    assert (last.handed_out, last.ended) == (created, created + 5)
    assert last.begun == created + 4
    assert world.row(0).created == created
    world.manager.restart()
    assert world.collect().ended == [one]


def test_a_new_priority_changes_nothing_about_when_a_task_was_handed_out() -> None:
    world = World()
    world.submit(1)
    Head(world).trade()
    changed = world.row(0).changed
    world.clock.advance(5)
    world.driver.ask(Prioritise([0], [3.0]))
    assert (world.row(0).priority, world.row(0).changed) == (3.0, changed)


def test_tasks_are_described_as_they_stand() -> None:
    world = World()
    world.submit(4)
    head = Head(world)
    head.trade()
    head.session.note_begun(head.tokens[1], 0, 4242)
    head.end(head.tokens[0])
    head.trade()
    views = world.driver.ask(DescribeTasks([0, 1, 3, 77, -1])).tasks
    assert [(view.item, view.phase, view.job, view.node, view.pid) for view in views] == [
        (0, "done", "", "", 0),
        (1, "running", "j1", "n", 4242),
        (3, "queued", "", "", 0),
    ]
    assert [view.has_place for view in views] == [False, True, False]


def test_ends_of_some_tasks_are_fetched_in_pages() -> None:
    """Of those that have ended; the answer says how far it has looked."""
    world = World()
    world.submit(6)
    head = Head(world, cores=6)
    head.trade()
    for token in head.tokens[:5]:
        head.end(token, value=b"x" * 400_000)
    for _ in range(5):
        head.trade()
    assert world.driver.ask(Fetch([])) == Fetched(5, 0, [])
    wanted, found = [5, 4, 3, 2, 1, 0, 99], []
    while wanted:
        reply = world.driver.ask(Fetch(wanted))
        assert 0 < sum(len(one.value) for one in reply.ended) < 2 * 2**20
        found += [one.item for one in reply.ended]
        wanted = wanted[reply.looked_at :]
    assert found == [4, 3, 2, 1, 0]


# ------------------------------------------------------------------- several nodes

BOTH = TaskResources(nodes=2, threads_per_rank=2)


class HeadOfNodes(Head):
    """A head of two nodes of two cores; the second one comes when a test says so."""

    NODES = (NodeInventory("n0", [0, 1]), NodeInventory("n1", [0, 1]))

    def greet(self) -> None:
        self.nodes = [self.NODES[0], NodeInventory("n1", [])]
        self.changes: list[NodeChange] = []
        super().greet()

    def change(self, number: int, node: NodeInventory | None, which: int = 1) -> Any:
        self.changes = [*self.changes, NodeChange(number, which, node)]
        work = self.ask(
            msgspec.structs.replace(self.session.trade(0.0), nodes=self.changes, holds=[])
        )
        if isinstance(work, Work):
            self.changes = [one for one in self.changes if one.number > work.nodes]
            self.take(work)
        return work


def test_a_node_that_comes_late_is_placed_on_from_then_on() -> None:
    world = World()
    world.submit(5)
    head = HeadOfNodes(world)
    head.trade()
    assert head.begun == [0, 1]
    head.change(1, head.NODES[1])
    assert head.begun == [0, 1, 2, 3]
    assert not head.changes, "it was confirmed"
    (row,) = world.driver.ask(DescribeTasks([3])).tasks
    assert row.node == "n1"
    token = next(t for t, place in head.session.running.items() if place[0].node == 1)
    head.end(token)
    head.trade()
    last = msgspec.msgpack.decode(
        world.manager.state.tasks.facts.fact("times", 2) or b"", type=LastTry
    )
    assert last.node == "n1"


def test_a_lost_node_gets_nothing_until_it_is_there_again_and_only_ends_free_what_is_taken() -> (
    None
):
    world = World()
    world.submit(6)
    head = HeadOfNodes(world)
    head.trade()
    head.change(1, head.NODES[1])
    first, second = (t for t, place in head.session.running.items() if place[0].node == 1)
    head.change(2, None)
    head.end(first, EndKind.CUT)
    head.trade()
    assert len(head.begun) == 4, "nothing begins there"
    head.change(3, head.NODES[1])
    assert len(head.begun) == 5, "the core of the other one is still taken"
    head.end(second, EndKind.CUT)
    head.trade()
    assert len(head.begun) == 6


def test_a_change_of_nodes_counts_once_however_often_it_comes() -> None:
    world = World()
    head = HeadOfNodes(world)
    head.trade()
    lost, back = NodeChange(2, 1, None), NodeChange(3, 1, head.NODES[1])
    head.change(1, head.NODES[1])
    for nodes, expected in (([lost], {1}), ([lost, back], set()), ([lost], set()), ([], set())):
        work = head.ask(Trade(nodes=nodes))
        assert isinstance(work, Work)
        inventory = world.manager.state.tasks.heads["j1"].inventory
        assert inventory.lost == expected
    assert work.nodes == 3


def test_a_new_manager_learns_of_nodes_before_it_judges_what_is_held() -> None:
    world = World()
    batch = Submit("both", [BOTH], [NewTask(b"")])
    assert isinstance(world.driver.ask(batch), TasksSubmitted)
    head = HeadOfNodes(world)
    head.trade()
    assert head.begun == [], "its other node has not come"
    head.change(1, head.NODES[1])
    assert head.begun == [0]
    world.manager.restart()
    world.submit(1, batch="next")
    head.greet()
    held = [Held(token, place) for token, place in head.session.running.items()]
    again = msgspec.structs.replace(
        head.session.trade(0.0), holds=held, nodes=[NodeChange(1, 1, head.NODES[1])]
    )
    work = head.ask(again)
    assert isinstance(work, Work)
    assert (work.nodes, work.tasks) == (1, [])
    assert world.manager.state.tasks.heads["j1"].used_cores == 4


@pytest.mark.parametrize(
    "change", [NodeChange(2, 5, None), NodeChange(2, 1, NodeInventory("n1", [7]))]
)
def test_what_cannot_be_said_of_nodes_is_refused_with_the_reason(change: NodeChange) -> None:
    world = World()
    head = HeadOfNodes(world)
    head.trade()
    head.change(1, head.NODES[1])
    refused = head.ask(Trade(nodes=[change]))
    assert isinstance(refused, Refused)
    assert (refused.code, "its nodes" in refused.reason) == ("bad_request", True)
