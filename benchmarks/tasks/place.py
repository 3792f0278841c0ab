"""`place`: finding cores and GPUs among 200 nodes of 64 cores and 4 GPUs, and handing tasks out to them.

The nodes are simulated: they are entries of a table, and nothing runs there. What is measured is all that
the manager does itself: no message, no disk.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from adaptive_scheduler.core.rows.events import TaskEnded
from adaptive_scheduler.core.rows.item_table import ItemTable
from adaptive_scheduler.core.rows.row import QUEUED, TaskItem
from adaptive_scheduler.core.tasks.hand_out import HandOut
from adaptive_scheduler.core.tasks.head_mirror import HeadMirror
from adaptive_scheduler.core.tasks.head_view import HeadView
from adaptive_scheduler.core.tasks.place import Inventory, NodeInventory
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.wire.tasks import End, EndKind, Trade
from benchmarks.figures import Figure
from benchmarks.tasks.bars import BARS

NODES, CORES, GPUS, MEMORY = 200, 64, 4, 2**38
#: One core; eight; one GPU and eight cores; a third of a GPU; a whole node; two nodes of four ranks.
MIX = [
    TaskResources(),
    TaskResources(threads_per_rank=8, memory=2**33),
    TaskResources(threads_per_rank=8, gpus_per_rank=1),
    TaskResources(gpus_per_rank=1 / 3),
    TaskResources(threads_per_rank=CORES),
    TaskResources(nodes=2, ranks_per_node=4, threads_per_rank=8, gpus_per_rank=1),
]
#: How many of each kind there are among a hundred.
WEIGHTS = [60, 20, 10, 6, 1, 3]
#: Calls of `place` for one value; tasks that are handed out; ends for one value of `place-steady`.
CALLS, TASKS, ENDS = 600, 20_000, 2000
NOTE = "the nodes are simulated"
#: How much of the nodes is taken, and what that is called.
PARTS = {"empty": 0.0, "half": 0.5, "full": 1.0}


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """One thread; seconds of CPU."""
    for name, part in PARTS.items():
        what = f"a place for one task of a mix, {NODES} nodes x {CORES} cores x {GPUS} GPUs {name}"
        values = [seconds_of_place(part, seed) * 1e6 for seed in range(rounds)]
        yield Figure(f"place-{name}", what, "µs", values, bar=BARS[f"place-{name}"], note=NOTE)
    filled, steady = zip(*(seconds_of_hand_out(seed) for seed in range(rounds)), strict=True)
    yield Figure(
        "place-hand-out", "one task of the mix handed out, until the nodes are full", "µs",
        [one * 1e6 for one in filled], bar=BARS["place-hand-out"], note=NOTE,
    )  # fmt: skip
    yield Figure(
        "place-steady", "from the end of one task to the next ones in its place, nodes full", "µs",
        [one * 1e6 for one in steady], note=NOTE,
    )  # fmt: skip


def nodes() -> list[NodeInventory]:
    """What the job has."""
    gpus = [str(n) for n in range(GPUS)]
    return [NodeInventory(f"n{n}", list(range(CORES)), gpus, MEMORY) for n in range(NODES)]


def seconds_of_place(part: float, seed: int) -> float:
    """Fill a part of the cores, spread over all nodes, and look for places."""
    dice, inventory = random.Random(seed), Inventory(nodes())
    for number in range(NODES):
        others = set(range(NODES)) - {number}
        free = CORES
        while free > CORES * (1 - part):
            task = dice.choice([MIX[0], TaskResources(threads_per_rank=min(3, free))])
            place = inventory.place(task, others)
            assert place is not None, "the others are left out, and it has free cores"
            inventory.take(place)
            free -= task.cores_per_node
    tasks = dice.choices(MIX, WEIGHTS, k=CALLS)
    begin = time.process_time()
    for task in tasks:
        inventory.place(task)
    return (time.process_time() - begin) / CALLS


def seconds_of_hand_out(seed: int) -> tuple[float, float]:
    """Hand tasks out until nothing fits any more; then let them end, one by one."""
    dice = random.Random(seed)
    shapes = dice.choices(range(len(MIX)), WEIGHTS, k=TASKS)
    table = ItemTable([
        TaskItem(n, "", QUEUED, shape=shape, function="f") for n, shape in enumerate(shapes)
    ])  # fmt: skip
    out, head = HandOut(table, MIX, lambda _: b""), HeadView("job", HeadMirror(nodes()))
    begin, n = time.process_time(), 0
    while given := out.to(head, 0.0, 0.0):
        n += given
        list(head.mirror.take(Trade(seen=max(head.mirror.given))))
    filled = (time.process_time() - begin) / n
    begin = time.process_time()
    for number in range(1, ENDS + 1):
        token = next(iter(head.mirror.given))
        ended = Trade(seen=max(head.mirror.given), ended=[End(number, token, EndKind.VALUE)])
        for one, end in head.mirror.take(ended):
            table.end_task(one.item, TaskEnded(end.token, EndKind.VALUE), 0.0)
        out.to(head, 0.0, 0.0)
    return filled, (time.process_time() - begin) / ENDS
