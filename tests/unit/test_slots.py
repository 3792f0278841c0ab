"""How many tasks have room: what a learner that follows its jobs is told."""

from __future__ import annotations

from typing import Any

from hypothesis import given

from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.tasks.demand import at_a_time
from adaptive_scheduler.core.tasks.place import Inventory, NodeInventory, capacity
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.tasks.task_submits import MOST_EXACT
from adaptive_scheduler.core.wire.messages import Refused
from adaptive_scheduler.core.wire.pools import RemovePool
from adaptive_scheduler.core.wire.slots import SlotCount, Slots
from adaptive_scheduler.core.wire.tasks import Withdraw
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
    assert slots(threads_per_rank=5).slots == 0
    assert "needs 1 node, 5 cores" in slots(threads_per_rank=5).never
    run.ask(RemovePool("p"))
    left = slots()
    assert (left.slots, left.ending) == (0, 5)  # they run in jobs that are given nothing more
    assert "has the tag 'b'; the pools: q" in slots("b").never
    assert slots("a").never == ""
    assert slots(threads_per_rank=3).slots == 0
    assert isinstance(slots(ranks_per_node=0), Refused)


@given(RESOURCES)
def test_as_many_tasks_need_one_job_as_have_room_in_one(resources: TaskResources) -> None:
    """Jobs are asked for by the same count as slots are."""
    whole = pool(resources=Resources(cores=16, nodes=2, gpus=3, memory=64 * 1024)).inventory
    room = capacity(whole.nodes, resources)
    if whole.could_ever_hold(resources):
        assert min(at_a_time(resources, whole)) >= room
        if resources.nodes == 1:
            assert min(at_a_time(resources, whole)) == room


def test_kinds_that_are_rounded_up_are_counted_as_they_are_kept() -> None:
    """Beyond 64 kinds a task is given a little more than it asked for."""
    run = Run()
    run.add(pool(resources=Resources(cores=4, memory=1000), max_jobs=1))
    for n in range(MOST_EXACT):
        run.submit(1, TaskResources(memory=n + 1), batch=f"b{n}")
    odd = TaskResources(memory=330 * 2**20 + 1)  # three of them would fit
    assert run.submit(2, odd, batch="odd").items == [MOST_EXACT, MOST_EXACT + 1]
    kept = run.manager.state.tasks.resources[-1]
    assert kept.memory == 384 * 2**20
    run.ask(Withdraw(list(range(MOST_EXACT))))
    run.turn()
    Head(run, run.jobs()[0], memory=1000 * 2**20)
    assert run.ask(Slots(odd)) == SlotCount(2)
    run.ask(RemovePool("p"))
    left = run.ask(Slots(odd))
    assert (left.slots, left.ending) == (0, 2)
