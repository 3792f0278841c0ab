"""How many tasks have room: what a learner that follows its jobs is told."""

from __future__ import annotations

from typing import Any

from hypothesis import given

from adaptive_scheduler.core.tasks.place import Inventory, NodeInventory
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.wire.messages import Refused
from adaptive_scheduler.core.wire.slots import SlotCount, Slots
from adaptive_scheduler.core.wire.tasks import RemovePool
from adaptive_scheduler.manager.tasks.slots import capacity
from tests.unit.test_place import GB, NODES, RESOURCES
from tests.unit.test_pools import Head, Run, pool


@given(NODES, RESOURCES)
def test_as_many_tasks_have_room_as_can_be_placed(
    shapes: list[tuple[int, int, int]], resources: TaskResources
) -> None:
    nodes = [
        NodeInventory(f"n{number}", list(range(cores)), [str(gpu) for gpu in range(gpus)], mem * GB)
        for number, (cores, gpus, mem) in enumerate(shapes)
    ]
    inventory, placed = Inventory(nodes), 0
    while (place := inventory.place(resources)) is not None:
        inventory.take(place)
        placed += 1
    # the fullest nodes first is not the best order for tasks of several nodes
    most = capacity(nodes, resources)
    assert placed == most if resources.nodes == 1 else placed <= most


def test_a_driver_is_told_how_many_of_its_tasks_have_room() -> None:
    run = Run()
    run.add()
    run.add(pool(name="q", accepts=["a"]))

    def slots(tag: str = "", **needs: Any) -> Any:
        return run.ask(Slots(TaskResources(**needs), tag))

    assert slots() == SlotCount(0)
    run.submit(5)
    run.submit(1, tag="a", batch="c")
    run.turn()
    heads = [Head(run, job) for job in run.jobs()]
    in_p = sum(run.manager.state.jobs.records[job].shape == 1 for job in run.jobs())
    assert len(heads) > in_p > 0
    assert slots() == slots("b") == SlotCount(4 * in_p)
    assert slots("a") == SlotCount(4 * len(heads))  # whatever runs there now
    assert slots(threads_per_rank=3) == SlotCount(in_p)
    assert slots(threads_per_rank=5) == SlotCount(0)
    run.ask(RemovePool("p"))
    assert slots() == SlotCount(0, ending=5)  # they run in jobs that are given nothing more
    assert slots(threads_per_rank=3) == SlotCount(0)
    assert isinstance(slots(ranks_per_node=0), Refused)
