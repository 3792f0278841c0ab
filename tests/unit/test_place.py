"""Where tasks can run: never two on one core, whatever comes and goes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.core.tasks.place import Inventory, NodeInventory, NodePlace, Placement
from adaptive_scheduler.core.tasks.resources import (
    GPU_SHARES,
    TaskResources,
    as_checked,
    check_resources,
)
from adaptive_scheduler.errors import InputError

GB = 2**30


def two_nodes() -> Inventory:
    return Inventory([
        NodeInventory("n1", [0, 1, 2, 3], ["0", "1"], 8 * GB),
        NodeInventory("n2", [4, 5, 6, 7], ["0", "1"], 8 * GB),
    ])  # fmt: skip


def test_a_task_of_one_core_gets_one_core() -> None:
    assert two_nodes().place(TaskResources()) == [NodePlace(0, [0])]


def test_small_tasks_fill_one_node_before_they_begin_another() -> None:
    inventory = two_nodes()
    for _ in range(4):
        place = inventory.place(TaskResources())
        assert place is not None
        inventory.take(place)
    whole_node = TaskResources(threads_per_rank=4)
    assert inventory.place(whole_node) == [NodePlace(1, [4, 5, 6, 7])]


def test_a_task_without_gpus_prefers_a_node_without_gpus() -> None:
    nodes = [NodeInventory("gpu", [0], ["0"]), NodeInventory("cpu", [0, 1, 2, 3])]
    assert Inventory(nodes).place(TaskResources()) == [NodePlace(1, [0])]


def test_a_task_of_two_nodes_gets_both_or_nothing() -> None:
    inventory = two_nodes()
    both = TaskResources(nodes=2, ranks_per_node=2, gpus_per_rank=1)
    place = inventory.place(both)
    assert place == [
        NodePlace(0, [0, 1], [("0", GPU_SHARES), ("1", GPU_SHARES)]),
        NodePlace(1, [4, 5], [("0", GPU_SHARES), ("1", GPU_SHARES)]),
    ]
    inventory.take(place)
    assert inventory.place(both) is None


def test_three_ranks_share_one_gpu() -> None:
    inventory = Inventory([NodeInventory("n1", list(range(8)), ["0", "1"])])
    third = TaskResources(gpus_per_rank=1 / 3)
    for _ in range(3):
        place = inventory.place(third)
        assert place is not None
        assert place[0].gpus == [("0", 333)]
        inventory.take(place)
    assert inventory.place(TaskResources(ranks_per_node=2, gpus_per_rank=1)) is None
    whole = inventory.place(TaskResources(gpus_per_rank=1))
    assert whole is not None
    assert whole[0].gpus == [("1", GPU_SHARES)]


def test_memory_is_not_promised_twice() -> None:
    inventory = Inventory([NodeInventory("n1", list(range(8)), [], 8 * GB)])
    place = inventory.place(TaskResources(memory=5 * GB))
    assert place is not None
    inventory.take(place)
    assert inventory.place(TaskResources(memory=5 * GB)) is None
    inventory.free(place)
    assert inventory.place(TaskResources(memory=5 * GB)) == place


def test_a_reserved_node_is_not_used() -> None:
    assert two_nodes().place(TaskResources(), without=[0]) == [NodePlace(1, [4])]


def test_nothing_is_taken_or_freed_twice() -> None:
    inventory = two_nodes()
    place = inventory.place(TaskResources(nodes=2))
    assert place is not None
    inventory.take(place)
    with pytest.raises(ValueError, match="no room"):
        inventory.take(place)
    inventory.free(place)
    with pytest.raises(ValueError, match="free already"):
        inventory.free(place)
    assert inventory.free_cores == 8


def test_nothing_is_placed_on_a_lost_node_and_what_is_taken_there_stays_taken() -> None:
    inventory = two_nodes()
    place = inventory.place(TaskResources(threads_per_rank=3))
    assert place is not None
    inventory.take(place)
    inventory.lose(0)
    assert (inventory.cores, inventory.free_cores) == (4, 4)
    assert inventory.place(TaskResources()) == [NodePlace(1, [4])]
    assert inventory.place(TaskResources(nodes=2)) is None
    assert inventory.nearest_to_free(TaskResources(nodes=2)) is None
    assert not inventory.could_hold(TaskResources(nodes=2))
    assert inventory.could_ever_hold(TaskResources(nodes=2)), "it may come back"
    inventory.add(0, inventory.nodes[0])
    assert inventory.place(TaskResources(nodes=2, threads_per_rank=2)) is None
    inventory.free(place)
    assert inventory.place(TaskResources(nodes=2, threads_per_rank=4)) is not None
    assert (inventory.cores, inventory.free_cores) == (8, 8)


def test_what_ends_on_a_lost_node_is_free_when_it_is_there_again() -> None:
    inventory = two_nodes()
    place = inventory.place(TaskResources(threads_per_rank=4))
    assert place is not None
    inventory.take(place)
    inventory.lose(0)
    inventory.free(place)
    assert inventory.free_cores == 4
    inventory.add(0, inventory.nodes[0])
    assert inventory.free_cores == 8


def test_a_node_that_has_not_come_has_nothing() -> None:
    inventory = Inventory([NodeInventory("n1", [0, 1]), NodeInventory("n2", [])])
    assert not inventory.is_complete
    assert inventory.place(TaskResources(nodes=2)) is None
    inventory.add(1, NodeInventory("n2", [4, 5], ["0"]))
    assert inventory.is_complete
    assert inventory.place(TaskResources(nodes=2)) == [NodePlace(0, [0]), NodePlace(1, [4])]
    assert inventory.free_cores == 4


def test_a_node_that_comes_back_as_another_one_is_not_taken() -> None:
    inventory = two_nodes()
    inventory.lose(1)
    with pytest.raises(ValueError, match="something else"):
        inventory.add(1, NodeInventory("n2", [4, 5]))
    assert inventory.lost == {1}
    for change in (lambda: inventory.lose(2), lambda: inventory.add(-1, inventory.nodes[0])):
        with pytest.raises(ValueError, match="no node"):
            change()


def test_places_are_in_the_order_of_the_nodes() -> None:
    inventory = two_nodes()
    place = inventory.place(TaskResources(), without=[0])
    assert place is not None
    inventory.take(place)  # the second node is the fuller one, which is chosen first
    found = inventory.place(TaskResources(nodes=2))
    assert found is not None
    assert [one.node for one in found] == [0, 1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"nodes": 0}, "nodes=0 must be"),
        ({"ranks_per_node": True}, "ranks_per_node=True must be"),
        ({"threads_per_rank": 1.5}, "threads_per_rank=1.5 must be"),
        ({"gpus_per_rank": 1.5}, "gpus_per_rank=1.5 must be"),
        ({"gpus_per_rank": -1}, "gpus_per_rank=-1 must be"),
        ({"gpus_per_rank": float("nan")}, "gpus_per_rank=nan must be"),
        ({"gpus_per_rank": 1e-6}, "too small"),
        ({"walltime": "0"}, "walltime"),
    ],
)
def test_resources_that_make_no_sense_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_resources(**wrong)  # type: ignore[arg-type]


def test_sizes_and_times_may_be_texts() -> None:
    made = TaskResources(memory="4GB", walltime="20m")  # type: ignore[arg-type]
    assert as_checked(made) == TaskResources(memory=4 * 2**30, walltime=1200.0)
    for wrong in (TaskResources(memory="much"), {"walltime": 3}):  # type: ignore[arg-type]
        with pytest.raises(InputError):
            as_checked(wrong)


RESOURCES = st.builds(
    TaskResources,
    nodes=st.integers(1, 3),
    ranks_per_node=st.integers(1, 4),
    threads_per_rank=st.integers(1, 3),
    gpus_per_rank=st.sampled_from([0.0, 0.0, 0.25, 1 / 3, 0.5, 1.0, 2.0]),
    memory=st.one_of(st.none(), st.integers(1, 8).map(lambda n: n * GB)),
)
NODES = st.lists(
    st.tuples(st.integers(1, 8), st.integers(0, 4), st.integers(4, 16)), min_size=1, max_size=4
)


#: How a step begins: a node is lost, or there again; -1: neither.
CHANGES = st.one_of(st.just(-1), st.integers(0, 3))


@given(NODES, st.lists(st.tuples(RESOURCES, st.integers(0, 5), CHANGES), max_size=60))
def test_no_core_gpu_or_memory_is_ever_held_twice(
    shapes: list[tuple[int, int, int]], steps: list[tuple[TaskResources, int, int]]
) -> None:
    nodes = [
        NodeInventory(f"n{number}", list(range(cores)), [str(gpu) for gpu in range(gpus)], mem * GB)
        for number, (cores, gpus, mem) in enumerate(shapes)
    ]
    inventory, held = Inventory(nodes), list[tuple[TaskResources, Placement]]()
    for resources, end, change in steps:
        if 0 <= change < len(nodes):
            if change in inventory.lost:
                inventory.add(change, nodes[change])
            else:
                inventory.lose(change)
        place = inventory.place(resources)
        if place is None:
            assert held or not inventory.could_hold(resources)
        else:
            assert not inventory.lost.intersection(one.node for one in place)
            assert place == sorted(place, key=lambda one: one.node)
            inventory.take(place)
            held.append((resources, place))
        if end < len(held):
            inventory.free(held.pop(end)[1])
        _check_ledger(nodes, held)
        free = sum(
            len(free.cores) for n, free in enumerate(inventory._free) if n not in inventory.lost
        )
        assert inventory.free_cores == free
    for _, place in held:
        inventory.free(place)
    for number in list(inventory.lost):
        inventory.add(number, nodes[number])
    assert inventory.free_cores == sum(len(node.cores) for node in nodes)


def _check_ledger(nodes: list[NodeInventory], held: list[tuple[TaskResources, Placement]]) -> None:
    cores: list[tuple[int, int]] = []
    shares: dict[tuple[int, str], int] = {}
    memory = dict.fromkeys(range(len(nodes)), 0)
    for resources, placement in held:
        assert len({place.node for place in placement}) == resources.nodes
        for place in placement:
            assert len(place.cores) == resources.cores_per_node
            assert (
                sum(share for _, share in place.gpus)
                == resources.ranks_per_node * resources.gpu_shares
            )
            assert place.memory == (resources.memory or 0)
            cores += [(place.node, core) for core in place.cores]
            for gpu, share in place.gpus:
                shares[place.node, gpu] = shares.get((place.node, gpu), 0) + share
            memory[place.node] += place.memory
    assert len(cores) == len(set(cores))
    assert all(share <= GPU_SHARES for share in shares.values())
    assert all(memory[number] <= (node.memory or 0) for number, node in enumerate(nodes))


def test_what_a_task_needs_can_be_printed_as_it_was_typed() -> None:
    typed = TaskResources(memory="2GB", walltime="20m")  # type: ignore[arg-type]
    assert str(typed) == str(TaskResources(memory=2 * 2**30, walltime=1200.0))
