"""The manager's mirror and the head, joined by a link that loses, repeats and delays messages."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from adaptive_scheduler.client.tasks.head.head_session import (
    Action,
    Begin,
    EndTask,
    HeadSession,
    Recall,
)
from adaptive_scheduler.core.tasks.head_mirror import HeadMirror
from adaptive_scheduler.core.tasks.place import NodeInventory
from adaptive_scheduler.core.tasks.resources import GPU_SHARES, TaskResources
from adaptive_scheduler.core.wire.tasks import End, EndKind, Given, Trade, Work

RESOURCES = [
    TaskResources(),
    TaskResources(threads_per_rank=2),
    TaskResources(gpus_per_rank=0.5),
    TaskResources(nodes=2, ranks_per_node=2),
]
NODES = [NodeInventory("n1", [0, 1, 2, 3], ["0"]), NodeInventory("n2", [4, 5, 6, 7], ["0"])]


class World:
    """One manager, one head, and what is on its way between them."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.mirror, self.head = HeadMirror(NODES), HeadSession()
        self.trades: list[Trade] = []
        self.works: list[Work] = []
        self.token = 0
        self.seconds = self.dice.choice([0.0001, 0.001, 0.003, 1.0])  # of its tasks
        self.granted: dict[int, Given] = {}
        self.ended: dict[int, End] = {}
        self.busy: dict[tuple[int, int], int] = {}
        self.gpus: dict[tuple[int, str], int] = {}
        self.begun: set[int] = set()
        self.lined: set[int] = set()
        self.recalled: list[int] = []
        self.counts = dict.fromkeys(
            (
                "ahead",
                "taken over",
                "placed later",
                "dropped",
                "lost",
                "lined up",
                "passed on",
                "recalled",
                "called back",
            ),
            0,
        )

    def grant(self) -> None:
        """What a manager does: places first, then a few that wait in the head."""
        self.mirror.place_waiting(RESOURCES)
        fits = self.dice.randrange(len(RESOURCES))
        place = self.mirror.inventory.place(RESOURCES[fits])
        if place is None:
            n = len(list(self.mirror.waiting(fits)))
            if not self.mirror.placed(fits) or n > 3:
                return
            self.counts["ahead"] += 1
        self.token += 1
        given = Given(self.token, self.token, fits, place, self.dice.random())
        self.mirror.give(given)
        self.granted[self.token] = given

    def carry_out(self, actions: Sequence[Action]) -> None:
        for action in sorted(actions, key=lambda one: isinstance(one, EndTask)):
            if isinstance(action, Begin):
                self.begin(action)
            elif isinstance(action, Recall):
                self.recalled.append(action.token)
            elif (
                action.token in self.head.running or action.token in self.lined
            ):  # it may have been told twice
                self.end(action.token, EndKind.CANCELLED)

    def begin(self, action: Begin) -> None:
        """In a place that is busy it stands in line."""
        token = action.given.token
        if token not in self.head.running:
            self.counts["lined up"] += 1
            self.lined.add(token)
            return
        assert token not in self.begun, "a task begins once in one head"
        self.begun.add(token)
        if action.given.place is None:
            self.counts["placed later"] += 1
        for place in action.place:
            for core in place.cores:
                assert (place.node, core) not in self.busy, "two tasks on one core"
                self.busy[place.node, core] = token
            for gpu, shares in place.gpus:
                used = self.gpus.get((place.node, gpu), 0) + shares
                assert used <= GPU_SHARES, "more of a GPU than there is"
                self.gpus[place.node, gpu] = used

    def end(self, token: int, kind: EndKind = EndKind.VALUE) -> None:
        if token in self.lined:
            self.lined.remove(token)
            self.head.end(token, kind, begun=False)
            return
        for place in self.head.running[token]:
            for core in place.cores:
                assert self.busy.pop((place.node, core)) == token
            for gpu, shares in place.gpus:
                self.gpus[place.node, gpu] -= shares
        before = set(self.head.running)
        actions = self.head.end(token, kind, seconds=self.seconds)
        for follower in self.head.running.keys() - before:
            self.counts["taken over"] += 1
            self.lined.discard(follower)
            if not any(isinstance(a, Begin) and a.given.token == follower for a in actions):
                self.begin(Begin(self.granted[follower], self.head.running[follower]))
        self.carry_out(actions)

    def begin_one(self) -> None:
        """One has been running for a moment."""
        if self.head.running:
            self.carry_out(self.head.note_begun(self.dice.choice(list(self.head.running)), 0, 1))

    def come_back(self) -> None:
        """One that was recalled comes back, unless it has begun; in any order with the rest."""
        if self.recalled and (token := self.recalled.pop(0)) in self.lined:
            self.counts["recalled"] += 1
            self.lined.remove(token)
            self.carry_out(self.head.end(token, EndKind.BACK, begun=False))

    def call_back(self) -> None:
        """Another head has room for what waits in this one."""
        if waiting := self.mirror.waiting_tasks:
            self.counts["called back"] += 1
            self.mirror.recall(self.dice.choice(waiting).token)

    def end_one(self) -> None:
        if self.head.running:
            self.end(self.dice.choice(list(self.head.running)))

    def send_trade(self) -> None:
        self.trades.append(self.head.trade(0))

    def deliver_trade(self) -> None:
        """The newest or an older one, perhaps for the second time."""
        if not self.trades:
            return
        trade = self.dice.choice(self.trades[-3:])
        self.counts["passed on"] += sum(end.kind is EndKind.PASSED for end in trade.ended)
        for _, end in self.mirror.take(trade):
            assert end.token not in self.ended, "an end is taken in once"
            self.ended[end.token] = end
        self.works.append(self.mirror.work())

    def deliver_work(self) -> None:
        if self.works:
            self.carry_out(self.head.take(self.dice.choice(self.works[-3:])))

    def drop(self) -> None:
        if self.mirror.given:
            self.counts["dropped"] += 1
            self.mirror.drop(self.dice.choice(list(self.mirror.given)))

    def prioritise(self) -> None:
        if self.mirror.given:
            self.mirror.prioritise(self.dice.choice(list(self.mirror.given)), self.dice.random())

    def lose(self) -> None:
        self.counts["lost"] += 1
        self.trades, self.works = self.trades[:-1], self.works[:-1]

    def step(self) -> None:
        steps = [
            *[self.grant] * 3, *[self.end_one] * 3, *[self.send_trade] * 2,
            *[self.deliver_trade] * 3, *[self.deliver_work] * 3, self.drop, self.prioritise, self.call_back, self.lose,
            self.begin_one, *[self.come_back] * 2,
        ]  # fmt: skip
        self.dice.choice(steps)()

    def drain(self) -> None:
        """No more tasks: all that were given end, and everything is free again."""
        for _ in range(10 * len(self.granted) + 20):
            self.mirror.place_waiting(RESOURCES)
            self.come_back()
            self.end_one()
            ends = list(self.mirror.take(self.head.trade(0)))
            self.ended |= {end.token: end for _, end in ends}
            self.carry_out(self.head.take(self.mirror.work()))
            if not self.mirror.given and not self.head.has_news:
                return


@pytest.mark.parametrize("batch", range(10))
def test_mirror_and_head_agree_whatever_is_lost_repeated_or_late(batch: int) -> None:
    counts = dict.fromkeys(
        (
            "ahead",
            "taken over",
            "placed later",
            "dropped",
            "lost",
            "lined up",
            "passed on",
            "recalled",
            "called back",
        ),
        0,
    )
    for seed in range(batch * 50, batch * 50 + 50):
        world = World(seed)
        for _ in range(400):
            world.step()
        world.drain()
        assert world.ended.keys() == world.granted.keys(), f"seed {seed}: not all tasks ended"
        assert world.mirror.inventory.free_cores == 8, f"seed {seed}"
        assert not world.busy, f"seed {seed}"
        for name, n in world.counts.items():
            counts[name] += n
    print(counts)
    assert all(counts.values()), counts


def given(token: int, place: list | None = None) -> Given:
    return Given(token, token, 0, place, 0.0)


def test_a_place_offered_to_one_that_stands_in_line_is_passed_on() -> None:
    """Else a place that became free stays empty: short tasks stand in line before the word comes."""
    mirror, head = HeadMirror(NODES[:1]), HeadSession()
    first = mirror.inventory.place(RESOURCES[0])
    mirror.give(given(1, first))
    head.take(mirror.work())
    head.end(1, EndKind.VALUE, seconds=0.001)  # so that its head knows how short they are
    assert len(list(mirror.take(head.trade(0)))) == 1
    mirror.give(given(2, mirror.inventory.place(RESOURCES[0])))
    for token in range(3, 60):
        mirror.give(given(token))
    head.take(mirror.work())
    mirror.place_waiting(RESOURCES)  # three of its four cores are free
    begins = head.take(mirror.work())
    placed = [one.given.token for one in begins if isinstance(one, Begin)]
    assert len(head.running) == 4
    assert not {3, 4, 5} & set(head.running), "these stand in line behind the one that runs"
    assert {tuple(place[0].cores) for place in head.running.values()} == {(0,), (1,), (2,), (3,)}
    assert set(head.running) - {2} <= set(placed)
    list(mirror.take(head.trade(0)))
    assert mirror.has_begun == set(head.running)


def test_ends_wait_for_each_other_only_while_no_place_is_free() -> None:
    mirror, head = HeadMirror(NODES[:1]), HeadSession()
    mirror.give(given(1, mirror.inventory.place(RESOURCES[0])))
    mirror.give(given(2))
    head.take(mirror.work())
    assert not head.can_wait, "there is nothing to tell: it asks at once"
    head.end(1, EndKind.VALUE, seconds=0.001)
    assert head.can_wait, "2 has taken over"
    head.end(2, EndKind.VALUE, seconds=0.001)
    assert not head.can_wait, "its place is free"
    head.trade(0)
    head.take(Work(heard=2))
    assert not head.can_wait


def test_one_that_stands_in_line_behind_a_long_one_comes_back_and_begins_in_a_place_offered() -> (
    None
):
    """It may be the only one that waits; the one in front of it may wait for its value."""
    mirror, head = HeadMirror(NODES[:1]), HeadSession()
    mirror.give(given(1, mirror.inventory.place(RESOURCES[0])))
    head.take(mirror.work())
    mirror.give(given(2))
    head.take(mirror.work())
    head.end(1, EndKind.VALUE, seconds=0.001)  # 2 runs in its place
    mirror.give(given(3))
    assert [type(one) for one in head.take(mirror.work())] == [Begin], "3 is lined up behind 2"
    list(mirror.take(head.trade(0)))
    mirror.place_waiting(RESOURCES)
    assert head.take(mirror.work()) == [Recall(3)], "it is offered a place of its own"
    assert head.end(3, EndKind.BACK, begun=False) == [Begin(given(3), head.running[3])]
    list(mirror.take(head.trade(0)))
    assert mirror.has_begun == {2, 3}


def test_what_is_lined_up_behind_a_long_one_waits_for_any_place() -> None:
    mirror, head = HeadMirror(NODES[:1]), HeadSession()
    mirror.give(given(1, mirror.inventory.place(RESOURCES[0])))
    for token in (2, 3):
        mirror.give(given(token))
    head.take(mirror.work())
    head.end(1, EndKind.VALUE, seconds=0.001)
    head.take(Work())
    assert head.note_begun(2, 0, 1) == [Recall(3)], "2 takes long"
    assert head.end(3, EndKind.BACK, begun=False) == []
    assert head.take(Work()) == [], "it is not lined up there again"
    list(mirror.take(head.trade(0)))
    mirror.place_waiting(RESOURCES)
    assert [type(one) for one in head.take(mirror.work())] == [Begin]
    assert set(head.running) == {2, 3}


def test_what_is_lined_up_behind_a_long_one_comes_back_though_its_begin_is_told_too_early() -> None:
    """A worker that is held up sends the value of the one before when the agent has seen the long one run."""
    mirror, head = HeadMirror(NODES[:1]), HeadSession()
    mirror.give(given(1, mirror.inventory.place(RESOURCES[0])))
    head.take(mirror.work())
    mirror.give(given(2))
    head.take(mirror.work())
    head.end(1, EndKind.VALUE, seconds=0.001)  # such are short: several are lined up
    for token in (3, 4):
        mirror.give(given(token))
    head.take(mirror.work())
    assert head.note_begun(3, 0, 1) == []
    assert head.end(2, EndKind.VALUE, seconds=0.001) == [Recall(4)], "3 takes long"
    assert head.end(4, EndKind.BACK, begun=False) == []
    assert head.take(Work()) == [], "it is not lined up there again"
