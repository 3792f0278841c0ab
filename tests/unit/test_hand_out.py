"""Which task goes to which head: order, what is handed out ahead, tags, walltimes."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adaptive_scheduler.core.rows.events import Cancelled, TaskEnded
from adaptive_scheduler.core.rows.item_table import ItemTable
from adaptive_scheduler.core.rows.items import rank_of
from adaptive_scheduler.core.rows.row import QUEUED, RUNNING, TaskItem
from adaptive_scheduler.core.tasks.hand_out import AHEAD, HandOut
from adaptive_scheduler.core.tasks.head_mirror import HeadMirror
from adaptive_scheduler.core.tasks.head_view import MOST_TASKS, HeadView
from adaptive_scheduler.core.tasks.place import Inventory, NodeInventory
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.tasks.retry_policy import RetryPolicy
from adaptive_scheduler.core.wire.tasks import End, EndKind, Trade

RESOURCES = [
    TaskResources(),
    TaskResources(threads_per_rank=3),
    TaskResources(gpus_per_rank=0.5),
    TaskResources(nodes=2, threads_per_rank=4),
    TaskResources(walltime=100.0),
]


def task(number: int, priority: float = 0.0, shape: int = 0, **more: object) -> TaskItem:
    return TaskItem(number, "", QUEUED, priority=priority, shape=shape, **more)  # type: ignore[arg-type]


def head(*cores: int, gpus: int = 0, **more: object) -> HeadView:
    nodes = [
        NodeInventory(f"n{n}", list(range(c)), [str(g) for g in range(gpus)])
        for n, c in enumerate(cores)
    ]
    return HeadView("job", HeadMirror(nodes), **more)  # type: ignore[arg-type]


def hand_out(table: ItemTable) -> HandOut:
    return HandOut(table, RESOURCES, lambda _: b"")


def given_items(view: HeadView) -> list[int]:
    return [one.item for one in view.mirror.given.values()]


TASKS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from("ab")), max_size=25
)


@given(TASKS, st.lists(st.integers(1, 6), min_size=1, max_size=3), st.integers(0, 2))
def test_the_best_that_fits_goes_first(
    tasks: list[tuple[int, int, str]], cores: list[int], gpus: int
) -> None:
    """Compared with a model that looks at all tasks each time."""
    rows = [task(n, float(p), shape, tag=tag) for n, (p, shape, tag) in enumerate(tasks)]
    view = head(*cores, gpus=gpus)
    n = hand_out(ItemTable(rows)).to(view, 0.0, 0.0)

    inventory, expected = Inventory(view.mirror.inventory.nodes), []
    for item in sorted(rows, key=rank_of):
        place = inventory.place(RESOURCES[item.shape])
        if place is not None:
            inventory.take(place)
            expected.append(item.id)
    assert given_items(view) == expected
    assert n == len(expected)


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(-5, 5)), max_size=60))
def test_the_order_is_right_after_any_change_of_priorities(
    changes: list[tuple[int, float]],
) -> None:
    table = ItemTable([task(n) for n in range(10)])
    for item, priority in changes:
        table.prioritise(item, priority, 0.0)
    view = head(10)
    hand_out(table).to(view, 0.0, 0.0)
    assert given_items(view) == [row.id for row in sorted(
        (table.rows[n] for n in range(10)), key=lambda row: (-row.priority, row.id))]  # fmt: skip


def test_a_cancelled_task_is_not_handed_out() -> None:
    table = ItemTable([task(n, float(n)) for n in range(3)])
    table.apply(2, Cancelled(), 0.0)
    view = head(1)
    hand_out(table).to(view, 0.0, 0.0)
    assert given_items(view) == [1]


@pytest.mark.parametrize(("seconds", "ahead"), [(None, 0), (1.0, 0), (0.06, 1), (0.01, 10)])
def test_handed_out_ahead_is_work_for_a_moment_in_each_slot(
    seconds: float | None, ahead: int
) -> None:
    table = ItemTable([task(n, function="f") for n in range(200)])
    out = hand_out(table)
    if seconds is not None:
        out.durations.note("f", seconds)
    view = head(2)
    expected = 2 + (int(AHEAD * 2 / seconds) if seconds else 0)
    assert out.to(view, 0.0, 0.0) == pytest.approx(expected, abs=1)
    assert len(view.mirror.waiting(0)) == pytest.approx(2 * ahead, abs=1)


def test_an_unknown_function_is_not_handed_out_ahead_beside_a_short_one() -> None:
    table = ItemTable([task(n, function="fg"[n % 2]) for n in range(100)])
    out = hand_out(table)
    out.durations.note("f", 0.001)
    view = head(1)
    out.to(view, 0.0, 0.0)
    assert given_items(view) == [0], "the next one, a long one, is in front of all others"


@pytest.mark.parametrize("seconds", [None, 5.0])
def test_short_calls_that_are_held_ahead_do_not_pass_what_goes_before_them(
    seconds: float | None,
) -> None:
    """A fit of a ranked queue began when the last of 500 short calls had ended: each had taken over a place."""
    table = ItemTable([task(n, function="short", tag="call") for n in range(40)])
    out = hand_out(table)
    out.durations.note("short", 0.02)
    if seconds is not None:
        out.durations.note("fit", seconds)
    view = head(2)
    out.to(view, 0.0, 0.0)
    table.append([task(40, 2.0, function="fit", tag="fit")], 0.0)
    n, other = 0, 0
    while 40 not in given_items(view):
        first = next(token for token in view.mirror.given if view.mirror.has_place(token))
        ends = [End(n := n + 1, first, EndKind.VALUE)]
        for one, _ in view.mirror.take(Trade(seen=99, ended=ends)):
            table.end_task(one.item, TaskEnded(first, EndKind.VALUE), 0.0)
        other += 1
        out.to(view, 0.0, 0.0)
        assert other <= AHEAD / 0.02 * 2 + 2, "it waits for all"


def busy_head(table: ItemTable, out: HandOut, *, function: str) -> HeadView:
    """One core, in which a task runs; short ones are free."""
    view = head(1)
    table.append(
        [task(0, 9.0, function=function), *(task(n, function="f") for n in range(1, 9))], 0.0
    )
    out.durations.note("f", 0.001)
    out.to(view, 0.0, 0.0)
    return view


def test_nothing_is_held_ahead_behind_what_may_run_for_long() -> None:
    table = ItemTable([])
    view = busy_head(table, hand_out(table), function="g")
    assert given_items(view) == [0]


def test_nothing_is_held_ahead_behind_a_short_call_that_runs_for_long() -> None:
    table = ItemTable([])
    out = hand_out(table)
    view = busy_head(table, out, function="f")
    assert len(given_items(view)) == 9
    table.append([task(9, function="f")], 0.0)
    list(view.mirror.take(Trade(seen=9, begun=[(1, 0, 77)])))
    out.to(view, 0.0, 0.0)
    assert len(given_items(view)) == 9


def test_what_waits_behind_a_long_task_goes_to_a_head_that_has_room() -> None:
    table = ItemTable([])
    out = hand_out(table)
    view, other = busy_head(table, out, function="f"), head(2)
    other.job = "other"
    list(view.mirror.take(Trade(seen=9)))
    assert not out.recall([view, other], [other], until=0.0), "not before its time"
    assert out.recall([view, other], [view, other], until=1.0)
    assert out.recall([view, other], [view, other], until=1.0)
    orders = view.mirror.work().orders
    assert [order.is_recall for order in orders] == [True] * len(orders)
    back = [order.token for order in orders]
    assert back == [2, 3], "as many as there is room for, the best ones first"
    ends = [End(n + 1, token, EndKind.BACK, begun=False) for n, token in enumerate(back)]
    for one, end in view.mirror.take(Trade(seen=9, told=9, ended=ends)):
        table.end_task(one.item, TaskEnded(end.token, end.kind, begun=False), 1.0)
    out.to(other, 1.0, 1.0)
    assert given_items(other)[:2] == [1, 2]
    assert table.rows[1].attempts == 0
    full = head(1)
    full.job = "full"
    full.mirror.inventory.take(full.mirror.inventory.place(RESOURCES[0]) or [])
    assert not out.recall([view, full], [full], until=1.0)


@pytest.mark.parametrize("why", ["too little time", "one that died before"])
def test_nothing_is_recalled_for_a_head_that_must_not_have_it(why: str) -> None:
    """It came back and was handed out again four times a second."""
    table = ItemTable([])
    out = hand_out(table)
    crashes = int(why == "one that died before")
    view, other = head(1, seconds_left=200.0), head(2, seconds_left=99.0)
    other.job = "other"
    rows = [task(0, 9.0, shape=4, function="f"), task(1, shape=4, function="f", crashes=crashes)]
    table.append([*rows, task(2, shape=0, crashes=crashes)], 0.0)
    out.durations.note("f", 0.001)
    out.to(view, 0.0, 0.0)
    assert given_items(view) == [0, 1]
    assert [one.item for one in view.mirror.waiting_tasks] == [1]
    out.to(other, 0.0, 0.0)
    assert given_items(other) == [2]
    other.seconds_left = 99.0 + 100 * crashes
    assert not out.recall([view, other], [other], until=1.0)


def test_a_full_head_costs_little_however_many_classes_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where each task has a tag, or a memory, of its own."""
    table = ItemTable([task(n, tag=f"t{n}", function="f") for n in range(20)])
    out = hand_out(table)
    out.durations.note("f", 1.0)
    view = head(2)
    assert out.to(view, 0.0, 0.0) == 2
    with monkeypatch.context() as patch:
        patch.setattr(ItemTable, "best_task", lambda *_: pytest.fail("looked"))
        assert out.to(view, 0.0, 0.0) == 0
    out.durations.note("g", 0.001)
    table.append([task(20, 9.0, tag="g", function="g")], 0.0)
    assert out.to(view, 0.0, 0.0) == 0, "it would wait behind a long one"
    list(view.mirror.take(Trade(seen=9, ended=[End(1, 1, EndKind.VALUE)])))
    assert out.to(view, 0.0, 0.0) == 1


def test_while_all_cores_are_busy_nothing_is_looked_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Four times a second, in each of many heads that hold a thousand: it took all of the manager."""
    table = ItemTable([])
    out = hand_out(table)
    view, full = busy_head(table, out, function="f"), head(1)
    full.mirror.inventory.take(full.mirror.inventory.place(RESOURCES[0]) or [])
    monkeypatch.setattr(HeadMirror, "waiting_tasks", property(lambda _: pytest.fail("looked")))
    assert not out.recall([view, full], [view, full], until=1.0)


def test_one_answer_brings_a_thousand_tasks_at_most_also_if_answers_are_lost() -> None:
    table = ItemTable([task(n, function="f") for n in range(5000)])
    out = hand_out(table)
    out.durations.note("f", 1e-6)
    view = head(4)
    assert [out.to(view, 0.0, 0.0) for _ in range(3)] == [MOST_TASKS, 0, 0]
    assert len(view.mirror.work().tasks) == MOST_TASKS
    list(view.mirror.take(Trade(seen=MOST_TASKS)))
    assert out.to(view, 0.0, 0.0) == MOST_TASKS


def test_one_answer_brings_a_megabyte_at_most() -> None:
    table = ItemTable([task(n) for n in range(100)])
    out = HandOut(table, RESOURCES, lambda _: bytes(300_000))
    view = head(100)
    assert out.to(view, 0.0, 0.0) == 4
    assert out.to(view, 0.0, 0.0) == 0


def test_a_pool_gets_only_tasks_whose_tags_it_accepts() -> None:
    table = ItemTable([task(n, tag=tag) for n, tag in enumerate(["gpu", "", "cpu", "gpu"])])
    out = hand_out(table)
    picky, all_round = head(4, accepts=("gpu",)), head(4)
    assert out.to(picky, 0.0, 0.0) == 2
    assert given_items(picky) == [0, 3]
    assert out.to(all_round, 0.0, 0.0) == 2


def test_a_job_that_ends_soon_gets_no_long_task() -> None:
    table = ItemTable([task(0, 9.0, shape=4), task(1)])
    view = head(4, seconds_left=99.0)
    hand_out(table).to(view, 0.0, 0.0)
    assert given_items(view) == [1]
    longer = head(4, seconds_left=101.0)
    hand_out(table).to(longer, 0.0, 0.0)
    assert given_items(longer) == [0]


def test_a_changed_priority_reaches_what_waits_in_the_head() -> None:
    table = ItemTable([task(n, function="f") for n in range(4)])
    out = hand_out(table)
    out.durations.note("f", 0.03)
    view = head(1)
    out.to(view, 0.0, 0.0)
    waiting = sorted(view.mirror.waiting(0))
    view.mirror.prioritise(waiting[-1], 5.0)
    running = next(iter(view.mirror.has_begun | view.mirror.given.keys()))
    view.mirror.prioritise(running, 7.0)
    assert [(o.token, o.priority) for o in view.mirror.work().orders] == [(waiting[-1], 5.0)]


def test_many_new_priorities_among_many_tasks_reach_the_next_slot_at_once() -> None:
    """Expected: 0.05 s of a processor; the figures of TASKS.md § 10 are measured in the benchmarks."""
    n, changed = 100_000, 10_000
    table = ItemTable([task(number) for number in range(n)])
    out, view = hand_out(table), head(1)
    start = time.process_time()
    for number in range(changed):
        table.prioritise(n - 1 - 10 * number, float(number + 1), 0.0)
    out.to(view, 0.0, 0.0)
    took = time.process_time() - start
    assert given_items(view) == [n - 1 - 10 * (changed - 1)]
    assert took < 1.0, f"{took:.3f} s"


def test_a_queue_does_not_grow_with_each_change_of_priorities() -> None:
    table = ItemTable([task(number) for number in range(1000)])
    for n in range(100):
        for number in range(1000):
            table.prioritise(number, float((number * n) % 997), 0.0)
    assert len(table._ready[0, "", False]) <= 2 * 1000 + 10_000


def test_a_table_that_grows_is_as_one_that_was_there_from_the_beginning() -> None:
    rows = [task(n, float(n % 7), n % 3, tag="ab"[n % 2]) for n in range(300)]
    whole, grown = ItemTable(rows), ItemTable([])
    for n in range(0, 300, 7):
        grown.append(rows[n : n + 7], 0.0)
    views = head(50, 50, gpus=4), head(50, 50, gpus=4)
    for table, view in zip((whole, grown), views, strict=True):
        hand_out(table).to(view, 0.0, 0.0)
    assert given_items(views[0]) == given_items(views[1])
    assert whole.phases == grown.phases
    assert whole.tasks.queued == grown.tasks.queued


@settings(max_examples=50)
@given(st.data())
def test_nothing_is_given_twice_and_every_end_frees_its_place(data: st.DataObject) -> None:
    """Rows, queue and mirror over a whole run with failures, with one head."""
    n = data.draw(st.integers(1, 12))
    rows = [
        task(
            k,
            data.draw(st.sampled_from([0.0, 1.0])),
            data.draw(st.integers(0, 2)),
            policy=RetryPolicy(1),
        )
        for k in range(n)
    ]
    table, view = ItemTable(rows), head(3, 3, gpus=1)
    out, numbers = hand_out(table), 0
    while table.unfinished:
        out.to(view, 0.0, 0.0)
        placed = [t for t in view.mirror.given if view.mirror.has_place(t)]
        assert placed, "something fits while nothing runs"
        token = data.draw(st.sampled_from(placed))
        kind = data.draw(
            st.sampled_from([EndKind.VALUE, EndKind.ERROR, EndKind.DIED, EndKind.BACK])
        )
        numbers += 1
        end = End(numbers, token, kind, begun=kind is not EndKind.BACK)
        if kind is EndKind.BACK and numbers > 40:
            end = End(numbers, token, EndKind.VALUE)
        [(given_, _)] = view.mirror.take(Trade(seen=10**6, ended=[end]))
        assert table.rows[given_.item].phase is RUNNING
        table.end_task(given_.item, TaskEnded(token, end.kind, end.begun), 0.0)
    assert view.mirror.inventory.free_cores == 6
    assert sorted(row.ended for row in table.rows) == list(range(1, n + 1))


def test_a_head_with_a_batch_size_is_filled_when_enough_is_missing() -> None:
    """As many as it may hold, though it has fewer slots; and only when `threshold` are missing."""
    table = ItemTable([task(n) for n in range(20)])
    out, view = hand_out(table), head(2, batch_size=6, threshold=3)
    assert out.to(view, 0.0, 0.0) == 6
    tokens = list(view.mirror.given)
    view.mirror.place_waiting(RESOURCES)
    for number, token in enumerate(tokens[:2], 1):
        list(view.mirror.take(Trade(tokens[-1], 99, [End(number, token, EndKind.VALUE)])))
        assert out.to(view, 0.0, 0.0) == 0
    list(view.mirror.take(Trade(tokens[-1], 99, [End(3, tokens[2], EndKind.VALUE)])))
    assert out.to(view, 0.0, 0.0) == 3
