"""A large task is passed by smaller ones, but not for ever."""

from __future__ import annotations

import random

import pytest

from adaptive_scheduler.core.rows.events import Cancelled, TaskEnded
from adaptive_scheduler.core.rows.item_table import ItemTable
from adaptive_scheduler.core.rows.row import DONE, QUEUED, TaskItem
from adaptive_scheduler.core.tasks.hand_out import HandOut
from adaptive_scheduler.core.tasks.head_mirror import HeadMirror
from adaptive_scheduler.core.tasks.head_view import HeadView
from adaptive_scheduler.core.tasks.place import NodeInventory
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.tasks.starvation import STARVE_AFTER, Reservation, Starvation
from adaptive_scheduler.core.wire.tasks import End, EndKind, Trade

SMALL, NODE, TWO_NODES, HALF, GPU = range(5)
RESOURCES = [
    TaskResources(),
    TaskResources(threads_per_rank=8),
    TaskResources(nodes=2, threads_per_rank=8),
    TaskResources(threads_per_rank=5),
    TaskResources(gpus_per_rank=1),
]


class Cluster:
    """Heads in virtual time; small tasks never cease to come."""

    def __init__(self, seed: int, heads: int, nodes: int, *, ahead: bool = False) -> None:
        self.dice = random.Random(seed)
        self.table = ItemTable([])
        self.out = HandOut(self.table, RESOURCES, lambda _: b"", lambda: self.views)
        if ahead:
            self.out.durations.note("f", 0.01)
        self.views = [
            HeadView(f"job{h}", HeadMirror([NodeInventory(f"n{h}{n}", list(range(8))) for n in range(nodes)]))
            for h in range(heads)
        ]  # fmt: skip
        self.cores = heads * nodes * 8
        self.now = 0.0
        self.ends: dict[tuple[int, int], float] = {}  # (head, token): when it ends
        self.numbers = [0] * heads
        self.begun: dict[int, float] = {}
        self.came: dict[int, float] = {}
        self.busy = 0.0
        self.mean = 5.0

    def submit(self, shape: int, priority: float = 0.0, function: str = "g") -> int:
        row = len(self.table)
        self.table.append(
            [TaskItem(row, "", QUEUED, shape=shape, priority=priority, function=function)],
            0.0,
        )
        self.came[row] = self.now
        return row

    def fill(self) -> None:
        while self.table.tasks.queued[SMALL, "", False] < 100:
            self.submit(SMALL, function="f")

    def hand_out(self, number: int) -> None:
        view = self.views[number]
        self.out.to(view, self.now, self.now)
        for token, given in view.mirror.given.items():
            if view.mirror.has_place(token) and (number, token) not in self.ends:
                self.ends[number, token] = self.now + self.dice.uniform(0, 2) * self.mean
                self.begun.setdefault(given.item, self.now)

    def step(self) -> None:
        """Until the next task ends."""
        (number, token), when = min(self.ends.items(), key=lambda one: one[1])
        used = self.cores - sum(view.mirror.inventory.free_cores for view in self.views)
        self.busy += used * (when - self.now)
        self.now = when
        del self.ends[number, token]
        self.numbers[number] += 1
        end = End(self.numbers[number], token, EndKind.VALUE)
        for given, _ in self.views[number].mirror.take(Trade(seen=10**9, ended=[end])):
            self.table.end_task(given.item, TaskEnded(token, EndKind.VALUE), self.now)
        self.fill()
        self.hand_out(number)

    def run(self, until: float) -> None:
        self.fill()
        for number in range(len(self.views)):
            self.hand_out(number)
        while self.now < until:
            self.step()


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("ahead", [False, True])
def test_nothing_starves_and_most_cores_stay_in_use(seed: int, ahead: bool) -> None:
    cluster = Cluster(seed, heads=2, nodes=5, ahead=ahead)
    cluster.run(10.0)
    large = []
    for n in range(8):
        large.append(cluster.submit([NODE, TWO_NODES, HALF][n % 3]))
        cluster.run(cluster.now + 40.0)
    cluster.run(cluster.now + 10 * STARVE_AFTER)
    waited = {row: cluster.begun.get(row, float("inf")) - cluster.came[row] for row in large}
    assert max(waited.values()) < 4 * (STARVE_AFTER + 2 * cluster.mean), waited
    assert all(cluster.table.rows[row].phase is DONE for row in large)
    used = cluster.busy / (cluster.now * cluster.cores)
    assert used >= 0.8, f"{used:.2f}"


def test_without_it_a_large_task_would_never_begin() -> None:
    cluster = Cluster(1, heads=1, nodes=2)
    cluster.out.starvation.after = float("inf")
    cluster.run(10.0)
    large = cluster.submit(NODE)
    cluster.run(10 * STARVE_AFTER)
    assert large not in cluster.begun


def test_it_is_not_before_its_time() -> None:
    cluster = Cluster(1, heads=1, nodes=2)
    cluster.run(10.0)
    cluster.submit(NODE)
    cluster.run(10.0 + STARVE_AFTER - 10.0)
    assert not cluster.out.starvation.reserved


def test_a_task_that_waits_for_better_ones_is_not_passed_by() -> None:
    cluster = Cluster(1, heads=1, nodes=2)
    low = cluster.submit(SMALL, priority=-1.0)
    large = cluster.submit(NODE, priority=-1.0)
    cluster.run(3 * STARVE_AFTER)
    assert low not in cluster.begun
    assert large not in cluster.begun
    assert not cluster.out.starvation.passed_by


def test_what_can_never_run_there_reserves_nothing() -> None:
    cluster = Cluster(1, heads=1, nodes=1)
    cluster.submit(TWO_NODES)
    cluster.submit(GPU)
    cluster.run(3 * STARVE_AFTER)
    assert not cluster.out.starvation.passed_by


def test_a_withdrawn_task_gives_its_nodes_back() -> None:
    cluster = Cluster(1, heads=1, nodes=3)
    cluster.mean = 50.0
    cluster.run(10.0)
    large = cluster.submit(TWO_NODES)
    while not cluster.out.starvation.reserved:
        cluster.step()
    cluster.table.apply(large, Cancelled(), cluster.now)
    cluster.step()
    cluster.step()
    assert not cluster.out.starvation.reserved
    assert cluster.views[0].mirror.inventory.free_cores == 0


def test_a_lost_head_reserves_nothing_any_more() -> None:
    cluster = Cluster(1, heads=1, nodes=3)
    cluster.mean = 50.0
    cluster.run(10.0)
    cluster.submit(TWO_NODES)
    while not cluster.out.starvation.reserved:
        cluster.step()
    cluster.out.starvation.lose("job0")
    assert not cluster.out.starvation.reserved
    assert cluster.out.starvation.passed_by, "it waits for another head"


def test_the_nodes_nearest_to_free_are_reserved() -> None:
    mirror = HeadMirror([NodeInventory(f"n{n}", list(range(8))) for n in range(3)])
    for node, cores in ((0, 6), (1, 2), (2, 4)):
        place = mirror.inventory.place(TaskResources(threads_per_rank=cores), {0, 1, 2} - {node})
        assert place is not None
        mirror.inventory.take(place)
    assert mirror.inventory.nearest_to_free(RESOURCES[NODE]) == [1]
    assert mirror.inventory.nearest_to_free(RESOURCES[TWO_NODES]) == [1, 2]
    assert mirror.inventory.nearest_to_free(RESOURCES[GPU]) is None


# ------------------------------------------------------------------- of several heads and nodes


def test_a_task_of_two_whole_nodes_begins_among_a_steady_stream_of_small_ones() -> None:
    """Within `starve_after` and the longest of them, while most cores are used."""
    for seed in range(2):
        cluster = Cluster(seed, heads=2, nodes=4)
        cluster.run(10.0)
        for _ in range(4):
            row = cluster.submit(
                TWO_NODES, priority=1.0
            )  # none of the small ones is in front of it
            cluster.run(cluster.now + 100.0)
            waited = cluster.begun[row] - cluster.came[row]
            # the longest one runs for twice the mean
            assert waited <= STARVE_AFTER + 2 * cluster.mean + 1.0, f"seed {seed}: {waited:.1f} s"
        used = cluster.busy / (cluster.now * cluster.cores)
        assert used >= 0.8, f"seed {seed}: {used:.2f}"


def views(*nodes: int) -> list[HeadView]:
    """Heads of so many nodes of eight cores."""
    return [
        HeadView(f"job{h}", HeadMirror([NodeInventory(f"n{h}{n}", list(range(8))) for n in range(of)]))
        for h, of in enumerate(nodes)
    ]  # fmt: skip


def occupy(view: HeadView, node: int, cores: int) -> None:
    inventory = view.mirror.inventory
    others = set(range(len(inventory.nodes))) - {node}
    place = inventory.place(TaskResources(threads_per_rank=cores), others)
    assert place is not None
    inventory.take(place)


def starving(*shapes: int) -> Starvation:
    starvation = Starvation()
    starvation.note_passed([(shape, "", False) for shape in shapes], 0.0)
    return starvation


def test_nodes_are_reserved_on_the_head_that_is_nearest_to_free() -> None:
    heads = views(3, 3, 1)
    for head, node, cores in ((0, 0, 8), (0, 1, 7), (0, 2, 6), (1, 0, 8), (1, 1, 3), (1, 2, 4)):
        occupy(heads[head], node, cores)
    starvation = starving(TWO_NODES)
    assert not starvation.is_any_due(STARVE_AFTER - 0.1)
    assert starvation.is_any_due(STARVE_AFTER)
    starvation.reserve(heads, RESOURCES, STARVE_AFTER)
    assert starvation.reserved == {(TWO_NODES, "", False): Reservation("job1", frozenset({1, 2}))}
    assert not starvation.is_any_due(STARVE_AFTER)
    assert set(starvation.kept_from("job1", (SMALL, "", False))) == {1, 2}
    assert not set(starvation.kept_from("job1", (TWO_NODES, "", False)))
    assert not set(starvation.kept_from("job0", None))


@pytest.mark.parametrize("why", ["going", "tag", "time", "lost", "avoided", "suspect"])
def test_nothing_is_reserved_on_a_head_that_could_not_have_it(why: str) -> None:
    heads = views(2, 3)
    for node in range(3):
        occupy(heads[1], node, 8)
    of = (TWO_NODES, "", why == "suspect")
    match why:
        case "going":
            heads[0].is_going = True
        case "tag":
            heads[0].accepts = ["x"]
        case "time":
            heads[0].seconds_left = 10.0
        case "lost":
            heads[0].mirror.inventory.lose(1)
        case "avoided":
            heads[0].avoided = frozenset({1})
        case "suspect":
            heads[0].mirror.suspects.add(7)
    needs = [*RESOURCES]
    needs[TWO_NODES] = TaskResources(nodes=2, threads_per_rank=8, walltime=60.0)
    starvation = Starvation()
    starvation.note_passed([of], 0.0)
    starvation.reserve(heads, needs, STARVE_AFTER)
    assert starvation.reserved[of].job == "job1"


def test_each_that_starves_has_nodes_of_its_own_but_not_more_than_half_of_them() -> None:
    (head,) = heads = views(6)
    for node in range(6):
        occupy(head, node, 8)
    starvation = starving(HALF, TWO_NODES, NODE)
    starvation.reserve(heads, RESOURCES, STARVE_AFTER)
    kept = [one.nodes for one in starvation.reserved.values()]
    assert [len(nodes) for nodes in kept] == [1, 2]
    assert not kept[0] & kept[1]
    (two,) = heads = views(2)
    for node in range(2):
        occupy(two, node, 8)
    starvation = starving(TWO_NODES, NODE)
    starvation.reserve(heads, RESOURCES, STARVE_AFTER)
    assert list(starvation.reserved) == [(TWO_NODES, "", False)], "it needs all of them"


@pytest.mark.parametrize("why", ["lost", "avoided", "no time", "gone"])
def test_what_is_reserved_in_vain_is_released_and_reserved_elsewhere(why: str) -> None:
    heads = views(2, 2)
    for head, node in ((0, 0), (1, 0), (1, 1)):
        occupy(heads[head], node, 8)
    starvation = starving(TWO_NODES)
    of = next(iter(starvation.passed_by))
    starvation.reserve(heads, RESOURCES, STARVE_AFTER)
    assert starvation.reserved[of].job == "job0"
    classes = [of]
    match why:
        case "lost":
            heads[0].mirror.inventory.lose(1)
        case "avoided":
            heads[0].avoided = frozenset({1})
        case "no time":
            classes = []
        case "gone":
            starvation.lose(heads.pop(0).job)
    if why != "gone":
        starvation.review(heads[0], classes)
    assert not starvation.reserved
    assert starvation.has_released
    if why != "no time":
        starvation.reserve(heads, RESOURCES, STARVE_AFTER)
        assert starvation.reserved[of].job == "job1"


@pytest.mark.parametrize("seed", range(3))
def test_nothing_starves_though_nodes_are_lost_and_heads_go(seed: int) -> None:
    cluster = Cluster(seed, heads=3, nodes=4)
    dice = random.Random(seed)
    cluster.run(5.0)
    large = []
    for n in range(30):
        if n % 3 == 0:
            large.append(cluster.submit([NODE, TWO_NODES, HALF][n // 3 % 3]))
        view = dice.choice(cluster.views[1:])  # one head keeps its nodes
        number = dice.randrange(4)
        if number in view.mirror.inventory.lost:
            view.mirror.inventory.add(number, view.mirror.inventory.nodes[number])
        else:
            view.mirror.inventory.lose(number)
        cluster.run(cluster.now + 20.0)
        for view in cluster.views:
            for of, one in cluster.out.starvation.reserved.items():
                if one.job == view.job and not view.mirror.inventory.lost.isdisjoint(one.nodes):
                    cluster.hand_out(cluster.views.index(view))
                    assert cluster.out.starvation.reserved.get(of) != one
    cluster.run(cluster.now + 6 * STARVE_AFTER)
    waited = {row: cluster.begun.get(row, float("inf")) - cluster.came[row] for row in large}
    assert max(waited.values()) < 3 * (STARVE_AFTER + 2 * cluster.mean), waited
