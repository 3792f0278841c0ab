"""Several pools beside each other: no head hoards what another one could run, what fits none is told so."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.item_table import ItemTable
from adaptive_scheduler.core.rows.row import FAILED, QUEUED, TaskItem
from adaptive_scheduler.core.tasks.hand_out import AHEAD, HandOut
from adaptive_scheduler.core.tasks.head_mirror import HeadMirror
from adaptive_scheduler.core.tasks.head_view import HeadView
from adaptive_scheduler.core.tasks.place import NodeInventory
from adaptive_scheduler.core.tasks.pools import Pool
from adaptive_scheduler.core.tasks.resources import (
    SizeLimits,
    TaskResources,
    is_kept_as,
    rounded_up,
)
from adaptive_scheduler.core.tasks.task_submits import MOST_EXACT, TaskSubmits
from adaptive_scheduler.core.wire.pools import RemovePool
from adaptive_scheduler.core.wire.tasks import (
    Collect,
    End,
    EndKind,
    NewTask,
    Results,
    Submit,
    TasksSubmitted,
    Trade,
)
from tests.quick import usually
from tests.unit.test_pools import DRIVER, Run

SHAPES = [
    TaskResources(),
    TaskResources(threads_per_rank=3),
    TaskResources(nodes=2, threads_per_rank=2),
    TaskResources(gpus_per_rank=0.5),
]
#: Seconds of the calls of each function; of the last one nobody knows.
SECONDS = {"short": 0.01, "long": 1.0, "unknown": None}
HEADS = st.lists(
    st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(0, 1), st.sampled_from(["", "x"])),
    min_size=2,
    max_size=4,
)
TASKS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["", "x"]), st.sampled_from(sorted(SECONDS))),
    max_size=80,
)


def make_head(number: int, nodes: int, cores: int, gpus: int, tag: str) -> HeadView:
    has = [
        NodeInventory(f"n{number}.{n}", list(range(cores)), [str(g) for g in range(gpus)])
        for n in range(nodes)
    ]
    return HeadView(f"job{number}", HeadMirror(has), accepts=[tag] if tag else ())


@settings(max_examples=usually(200, quick=40), deadline=None)
@given(HEADS, TASKS, st.randoms(use_true_random=False))
def test_fault_50_no_head_of_several_pools_hoards_what_another_one_could_run(
    heads: list[tuple[int, int, int, str]], tasks: list[tuple[int, str, str]], dice: object
) -> None:
    table = ItemTable([
        TaskItem(n, "", QUEUED, shape=shape, tag=tag, function=function)
        for n, (shape, tag, function) in enumerate(tasks)
    ])  # fmt: skip
    views = [make_head(number, *of) for number, of in enumerate(heads)]
    out = HandOut(table, SHAPES, lambda _: b"", lambda: views)
    for function, seconds in SECONDS.items():
        if seconds is not None:
            out.durations.note(function, seconds)
    for view in views:
        out.to(view, 0.0, 0.0)
        held_ahead = [given.function for given in view.mirror.waiting_tasks]
        slots = sum(view.mirror.has_place(token) for token in view.mirror.given)
        assert set(held_ahead) <= {"short"}, "a task that may be long waits in a head"
        assert len(held_ahead) * SECONDS["short"] <= AHEAD * slots
    _check_nothing_fits(table, views)
    # all that runs in one head ends: what waits for long in the others is taken back for it
    free = dice.choice(views)  # type: ignore[attr-defined]
    _end_all(free)
    others = [view for view in views if view is not free]
    waits = [one for view in others for one in view.mirror.waiting_tasks]
    out.recall(views, [free], until=1.0)
    recalled = {
        order.token for view in others for order in view.mirror.work().orders if order.is_recall
    }
    room = free.mirror.inventory.free_cores
    for one in waits:
        task = SHAPES[one.fits]
        row = table.task(one.item)
        could = not free.accepts or row.tag in free.accepts
        if could and free.mirror.inventory.place(task) and room >= task.cores_per_node:
            assert one.token in recalled
            room -= task.cores_per_node


def _check_nothing_fits(table: ItemTable, views: list[HeadView]) -> None:
    """No free task would fit into a head that accepts it."""
    for (shape, tag, _), n in table.tasks.queued.items():
        for view in views:
            if n and (not view.accepts or tag in view.accepts):
                assert view.mirror.inventory.place(SHAPES[shape]) is None


def _end_all(view: HeadView) -> None:
    """Everything in a head has ended, in the order in which it came."""
    ends = [
        End(number, token, EndKind.VALUE) for number, token in enumerate(view.mirror.given, start=1)
    ]
    for _ in view.mirror.take(Trade(seen=10**9, ended=ends)):
        pass
    assert view.mirror.inventory.free_cores == view.mirror.inventory.cores


POOLS = st.lists(
    st.builds(
        lambda number, nodes, cores, gpus, memory, walltime, tags: Pool(
            name=f"p{number}", accepts=tags, max_jobs=2,
            resources=Resources(cores=cores * nodes, nodes=nodes, gpus=gpus, memory=memory, walltime=walltime),
        ),
        st.integers(0, 9), st.integers(1, 3), st.integers(1, 4), st.sampled_from([None, 1, 2]),
        st.sampled_from([None, 4]), st.sampled_from([None, 60]), st.sampled_from([[], ["x"]]),
    ),
    min_size=1, max_size=4, unique_by=lambda pool: pool.name,
)  # fmt: skip
NEEDS = st.builds(
    TaskResources,
    nodes=st.integers(1, 3),
    threads_per_rank=st.integers(1, 5),
    gpus_per_rank=st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0]),
    memory=st.sampled_from([None, 4 * 2**20, 5 * 2**20]),
    walltime=st.sampled_from([None, 60.0, 61.0]),
)


@settings(max_examples=usually(100, quick=40), deadline=None)
@given(
    POOLS,
    st.lists(st.tuples(NEEDS, st.sampled_from(["", "x"])), min_size=1, max_size=8),
    st.randoms(use_true_random=False),
)
def test_fault_51_what_no_pool_can_hold_is_refused_or_fails_when_the_last_one_goes(
    pools: list[Pool], needs: list[tuple[TaskResources, str]], dice: object
) -> None:
    run = Run()
    for pool in pools:
        run.add(pool)
    calls = [NewTask(b"", tag=tag, resources=n) for n, (_, tag) in enumerate(needs)]
    reply = run.ask(Submit("b", [task for task, _ in needs], calls))
    assert isinstance(reply, TasksSubmitted)
    left = {pool.name: pool for pool in pools}
    refused = {one.place: one for one in reply.refused}
    for place, (task, tag) in enumerate(needs):
        is_held = any(pool.could_hold(task, tag) for pool in pools)
        assert (place in refused) == (not is_held)
        if not is_held:
            _check_words(refused[place].reason, task, left)
    items = {place: item for place, item in enumerate(reply.items) if item >= 0}
    names = list(left)
    dice.shuffle(names)  # type: ignore[attr-defined]
    for name in names:
        run.ask(RemovePool(name))
        del left[name]
        for place, item in items.items():
            row, (task, tag) = run.manager.items.rows[item], needs[place]
            if any(pool.could_hold(task, tag) for pool in left.values()):
                assert row.phase is QUEUED
            else:
                assert row.phase is FAILED
    results = run.ask(Collect(0), DRIVER)
    assert isinstance(results, Results)
    assert {one.item for one in results.ended} == set(items.values()), "its driver hears of each"


def _check_words(reason: str, task: TaskResources, pools: dict[str, Pool]) -> None:
    assert str(task) in reason
    assert all(str(pool) in reason for pool in pools.values())


# ------------------------------------------------------------------- many sizes, few kinds


@pytest.mark.parametrize(
    ("size", "step"),
    [(1, 1), (4, 4), (5, 5), (9, 10), (17, 20), (1000, 1024), (1025, 1280), (3 * 2**30, 3 * 2**30)],
)
def test_sizes_are_rounded_up_in_steps(size: int, step: int) -> None:
    task = rounded_up(TaskResources(memory=size, walltime=float(size)), SizeLimits())
    assert (task.memory, task.walltime) == (step, float(step))
    assert rounded_up(task, SizeLimits()) == task
    assert is_kept_as(TaskResources(memory=size, walltime=float(size)), task)
    assert not is_kept_as(TaskResources(memory=size + 2 * step, walltime=float(size)), task)
    assert not is_kept_as(TaskResources(threads_per_rank=2), TaskResources())
    assert not is_kept_as(TaskResources(), task)
    limits = SizeLimits(frozenset({size - 1, size, 2 * size}), frozenset({float(size)}))
    exact = TaskResources(memory=size, walltime=float(size))
    assert rounded_up(exact, limits) == exact


def test_tasks_of_many_sizes_are_of_few_kinds() -> None:
    submits = TaskSubmits()
    numbers = {
        submits.number_of(TaskResources(memory=2**20 * n, walltime=float(n)))
        for n in range(1, 10_000)
    }
    assert len(numbers) <= MOST_EXACT + 10 * 14
    few = {
        submits.number_of(TaskResources(memory=2**20 * n, walltime=float(n))) for n in range(1, 50)
    }
    assert [submits.resources[n].walltime for n in sorted(few)] == [float(n) for n in range(1, 50)]


@given(POOLS, st.integers(1, 2**24), st.floats(0.1, 100.0))
def test_what_fits_a_pool_fits_it_rounded_up_too(
    pools: list[Pool], memory: int, walltime: float
) -> None:
    run = Run()
    for pool in pools:
        run.add(pool)
    task = TaskResources(memory=memory, walltime=walltime)
    rounded = rounded_up(task, run.manager.state.size_limits())
    assert (rounded.memory or 0) >= memory
    assert (rounded.walltime or 0) >= walltime
    for pool in pools:
        if pool.could_hold(task, "x"):
            assert pool.could_hold(rounded, "x")
