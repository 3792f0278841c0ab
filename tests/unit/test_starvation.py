"""A large task is passed by smaller ones, but not for ever."""

from __future__ import annotations

import random

import pytest

from adaptive_scheduler.core.rows.events import Cancelled, TaskEnded
from adaptive_scheduler.core.rows.item_table import ItemTable
from adaptive_scheduler.core.rows.row import DONE, QUEUED, TaskItem
from adaptive_scheduler.core.tasks.hand_out import HandOut, HeadView
from adaptive_scheduler.core.tasks.head_mirror import HeadMirror
from adaptive_scheduler.core.tasks.place import NodeInventory
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.tasks.starvation import STARVE_AFTER
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
        self.out = HandOut(self.table, RESOURCES, lambda _: b"")
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


@pytest.mark.parametrize("seed", range(2))
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
