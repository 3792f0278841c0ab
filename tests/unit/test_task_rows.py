"""Rows of tasks: dependencies, retries, crashes, cuts, and the numbers of their ends."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptive_scheduler.core.rows import item_table, ready_queue
from adaptive_scheduler.core.rows.events import Cancelled, TaskEnded
from adaptive_scheduler.core.rows.item_table import ItemTable
from adaptive_scheduler.core.rows.items import MAX_CUTS, rank_of
from adaptive_scheduler.core.rows.retry_decision import MAX_LOSSES
from adaptive_scheduler.core.rows.row import (
    CANCELLED,
    DONE,
    FAILED,
    OVER,
    QUEUED,
    RUNNING,
    WAITING,
    TaskItem,
)
from adaptive_scheduler.core.tasks.retry_policy import MAX_TASK_CRASHES, RetryPolicy
from adaptive_scheduler.core.wire.ends import How
from adaptive_scheduler.core.wire.messages import Refused
from adaptive_scheduler.core.wire.tasks import EndKind


def task(number: int, *after: int, **more: object) -> TaskItem:
    return TaskItem(number, "", QUEUED, depends_on=after, **more)  # type: ignore[arg-type]


def run(table: ItemTable, row: int, kind: EndKind = EndKind.VALUE, **more: object) -> TaskItem:
    granted = table.grant(table.rows[row], "job", 0.0)
    after = table.end_task(row, TaskEnded(granted.token, kind, **more), 0.0)  # type: ignore[arg-type]
    assert isinstance(after, TaskItem)
    return after


def free_of(table: ItemTable) -> list[int]:
    """Ids of the best free tasks of each class."""
    classes = [(0, "", False), (0, "", True)]
    return [item.id for of in classes if (item := table.best_task(of)) is not None]


@pytest.mark.parametrize(
    ("kind", "begun", "how"),
    [
        (EndKind.VALUE, True, -1), (EndKind.ERROR, True, How.FAILED), (EndKind.EXIT, True, How.FAILED),
        (EndKind.TIMEOUT, True, How.FAILED), (EndKind.UNABLE, False, How.FAILED),
        (EndKind.SIGNAL, True, How.CRASHED), (EndKind.DIED, True, How.CRASHED),
        (EndKind.LOST, True, How.LOST), (EndKind.CUT, True, How.WALLTIME),
        (EndKind.CUT, False, How.NOT_BEGUN), (EndKind.BACK, False, How.NOT_BEGUN),
        (EndKind.CANCELLED, True, How.CANCELLED),
    ],
)  # fmt: skip
def test_how_a_try_ended_is_recorded(kind: EndKind, begun: bool, how: int) -> None:
    table = ItemTable([task(0, policy=RetryPolicy(retries=9, max_crashes=9))])
    assert run(table, 0, kind, begun=begun, reason="deadline").how == how


# ------------------------------------------------------------------- tried again, or given up


@pytest.mark.parametrize(
    ("kind", "retries", "tries"),
    [
        (EndKind.ERROR, 0, 1),
        (EndKind.ERROR, 2, 3),
        (EndKind.EXIT, 1, 2),
        (EndKind.TIMEOUT, 0, 1),
        (EndKind.UNABLE, 0, 1),
        (EndKind.UNABLE, 2, 3),
        (EndKind.DIED, 0, 1 + MAX_TASK_CRASHES),
        (EndKind.SIGNAL, 3, 4),
    ],
)
def test_a_task_is_tried_as_often_as_its_policy_says(
    kind: EndKind, retries: int, tries: int
) -> None:
    table = ItemTable([task(0, policy=RetryPolicy(retries))])
    for n in range(1, tries + 1):
        after = run(table, 0, kind, reason="why", code=n)
        assert after.attempts == n
        assert after.phase is (FAILED if n == tries else QUEUED)
    assert (after.reason, after.code, after.job, after.ended) == ("why", tries, None, 1)


@pytest.mark.parametrize("kind", [EndKind.DIED, EndKind.SIGNAL])
@pytest.mark.parametrize(("retries", "max_crashes"), [(0, 0), (5, 0), (0, 3), (5, 2)])
def test_deaths_are_counted_by_a_number_of_their_own(
    kind: EndKind, retries: int, max_crashes: int
) -> None:
    table = ItemTable([task(0, policy=RetryPolicy(retries, max_crashes))])
    for n in range(max_crashes + 1):
        after = run(table, 0, kind)
        assert after.phase is (FAILED if n == max_crashes else QUEUED)


@pytest.mark.parametrize("kind", [EndKind.ERROR, EndKind.DIED, EndKind.TIMEOUT])
def test_a_delayed_task_is_queued_later_and_says_so(kind: EndKind) -> None:
    table = ItemTable([task(0, policy=RetryPolicy(5, delay=30.0))])
    for _ in range(3):
        after = run(table, 0, kind, reason="why")
        assert (after.phase, after.reason) == (QUEUED, "why; tried again 30 s after that")
        table.prioritise(0, 7.0 - after.fails, 0.0)  # is no way around it
        assert free_of(table) == []
        assert not any(table.tasks.queued.values())  # no job is submitted for it
        assert not table.wake_delayed(100.0)  # begins here
        assert not table.wake_delayed(129.0)
        assert free_of(table) == []
        assert table.wake_delayed(130.0)
        assert free_of(table) == [0]


@pytest.mark.parametrize("kind", [EndKind.CUT, EndKind.BACK])
def test_the_end_of_a_job_delays_nothing(kind: EndKind) -> None:
    table = ItemTable([task(0, policy=RetryPolicy(5, delay=30.0))])
    assert run(table, 0, kind).phase is QUEUED
    assert free_of(table) == [0]


@pytest.mark.parametrize(("max_crashes", "tries"), [(0, 3), (None, 4), (2, 5)])
def test_a_task_with_which_node_after_node_is_lost_is_given_up(
    max_crashes: int | None, tries: int
) -> None:
    """Nothing else ran there; for ever, it was tried again uncounted."""
    table = ItemTable([task(0, policy=RetryPolicy(0, max_crashes, delay=30.0))])
    for n in range(1, tries + 1):
        after = run(table, 0, EndKind.LOST, reason="lost")
        assert after.phase is (FAILED if n == tries else QUEUED)
        assert bool(free_of(table)) == (n <= MAX_LOSSES)  # a crash is delayed
        table.wake_delayed(100.0 * n)
        table.wake_delayed(100.0 * n + 30)
    assert after.reason == (
        f"lost; {tries} times a node was lost on which nothing else ran: perhaps it kills what runs there"
        " (else: max_crashes=)"
    )
    assert table.retry([0], 0.0)
    assert run(table, 0, EndKind.LOST).phase is QUEUED
    assert (table.task(0).losses, table.task(0).crashes) == (1, 0)


def test_a_delayed_task_can_be_cancelled_and_retried() -> None:
    table = ItemTable([task(0, policy=RetryPolicy(5, delay=30.0))])
    run(table, 0, EndKind.ERROR)
    table.wake_delayed(0.0)
    assert isinstance(table.apply(0, Cancelled(), 0.0), TaskItem)
    assert not table.wake_delayed(30.0)
    assert table.phases[QUEUED] == 0
    table.retry([0], 0.0)
    assert free_of(table) == [0]
    run(table, 0, EndKind.ERROR)  # the rank that it had the first time is true no more
    assert free_of(table) == []
    table.wake_delayed(100.0)
    table.wake_delayed(130.0)
    assert free_of(table) == [0]
    assert sum(table.tasks.queued.values()) == 1


def test_a_policy_that_says_nothing_takes_no_room_in_the_row() -> None:
    plain = msgspec.json.encode(msgspec.json.decode(msgspec.json.encode(task(0)), type=TaskItem))
    assert b"policy" not in plain
    named = task(0, policy=RetryPolicy(0, 2))
    assert b'"policy":{"max_crashes":2}' in msgspec.json.encode(named)
    assert msgspec.json.decode(msgspec.json.encode(named), type=TaskItem) == named


def test_what_has_not_begun_comes_back_uncounted_for_ever() -> None:
    table = ItemTable([task(0)])
    for _ in range(50):
        after = run(table, 0, EndKind.BACK, begun=False)
    assert (after.phase, after.attempts, after.fails, after.crashes) == (QUEUED, 0, 0, 0)


def test_two_whole_walltimes_are_enough_and_shorter_ones_do_not_count() -> None:
    table = ItemTable([task(0)])
    for _ in range(20):
        assert run(table, 0, EndKind.CUT).phase is QUEUED
    for n in range(1, MAX_CUTS + 1):
        after = run(table, 0, EndKind.CUT, is_full_cut=True)
        assert after.phase is (FAILED if n == MAX_CUTS else QUEUED)
    assert "ask for a longer one" in after.reason


def test_one_that_failed_goes_behind_its_equals() -> None:
    table = ItemTable([task(n, policy=RetryPolicy(1)) for n in range(3)])
    run(table, 0, EndKind.ERROR)
    best = table.best_task((0, "", False))
    assert best is not None
    assert best.id == 1


def test_an_old_token_ends_nothing() -> None:
    table = ItemTable([task(0)])
    old = table.grant(table.rows[0], "job", 0.0).token
    table.end_task(0, TaskEnded(old, EndKind.BACK, begun=False), 0.0)
    new = table.grant(table.rows[0], "other", 0.0).token
    assert new > old
    assert isinstance(table.end_task(0, TaskEnded(old, EndKind.VALUE), 0.0), Refused)
    assert table.rows[0].phase is RUNNING


def test_two_tasks_of_one_job_never_have_one_token() -> None:
    table = ItemTable([task(n) for n in range(100)])
    tokens = [table.grant(table.rows[n], "job", 0.0).token for n in range(100)]
    assert len(set(tokens)) == 100
    again = ItemTable(table.rows)
    assert again.last_token == max(tokens)
    assert again.tasks.of_job["job"].keys() == set(tokens)


# ------------------------------------------------------------------- dependencies


def test_a_chain_is_done_in_its_order() -> None:
    table = ItemTable([])
    table.append([task(0)], 0.0)
    table.append([task(n, n - 1) for n in range(1, 500)], 0.0)
    for n in range(500):
        assert table.tasks.queued[0, "", False] == 1
        run(table, n)
    assert table.phases[DONE] == 500


def test_a_failure_ends_all_that_depends_on_it_and_a_retry_brings_all_back() -> None:
    table = ItemTable([])
    table.append([task(0), task(1), task(2, 0), task(3, 2), task(4, 1), task(5, 3, 4)], 0.0)
    run(table, 0, EndKind.ERROR)
    assert [row.phase for row in table.rows] == [FAILED, QUEUED, FAILED, FAILED, WAITING, FAILED]
    assert table.rows[2].reason == "depends on task 0, which failed"
    assert sorted(row.ended for row in table.rows if row.ended) == [1, 2, 3, 4]
    assert table.retry([0], 1.0) == 4
    assert [row.phase for row in table.rows] == [QUEUED, QUEUED, WAITING, WAITING, WAITING, WAITING]
    for n in (1, 4, 0, 2, 3, 5):
        run(table, n)
    assert table.phases[DONE] == 6


def test_a_task_that_comes_when_what_it_waits_for_has_ended() -> None:
    table = ItemTable([task(0), task(1)])
    run(table, 0)
    run(table, 1, EndKind.ERROR)
    table.append([task(2, 0), task(3, 1), task(4, 0, 0)], 0.0)
    assert [row.phase for row in table.rows[2:]] == [QUEUED, FAILED, QUEUED]


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["add", "grant", "value", "error", "back", "died", "cancel", "retry", "reopen"]),
        st.integers(0, 30), st.sets(st.integers(0, 30), max_size=3),
    ),
    max_size=60,
)  # fmt: skip


class Model:
    """What a driver sees of the ends: each number once, and never one that changes."""

    def __init__(self) -> None:
        self.table = ItemTable([])
        self.seen: dict[int, int] = {}

    def do(self, what: str, number: int, after: set[int]) -> None:
        rows, n = self.table.rows, len(self.table)
        if what == "add":
            parents = tuple(sorted(one for one in after if one < n))
            self.table.append([task(n, *parents, policy=RetryPolicy(number % 2))], 0.0)
        elif what == "reopen":
            stored = msgspec.json.decode(msgspec.json.encode(rows), type=list[TaskItem])
            self.table = ItemTable(stored)
        elif not n:
            return
        elif what == "grant" and rows[number % n].phase is QUEUED:
            self.table.grant(rows[number % n], "job", 0.0)
        elif what == "cancel":
            self.table.apply(number % n, Cancelled(), 0.0)
        elif what == "retry":
            self.table.retry([number % n], 0.0)
        elif what in ("value", "error", "back", "died") and rows[number % n].phase is RUNNING:
            kind = EndKind[what.upper()]
            event = TaskEnded(rows[number % n].token, kind, kind is not EndKind.BACK)
            self.table.end_task(number % n, event, 0.0)

    def check(self) -> None:
        rows = self.table.rows
        for row in rows:
            undone = any(rows[parent].phase is not DONE for parent in row.depends_on)
            gone = any(rows[parent].phase in (FAILED, CANCELLED) for parent in row.depends_on)
            if row.phase is QUEUED:
                assert not undone, "it would run too early"
            if row.phase is WAITING:
                assert undone
                assert not gone, "it would wait for ever"
            if row.phase in OVER:
                assert row.ended, "nobody would hear of its end"
            if row.ended:
                assert self.table.tasks.ends[row.ended - 1] == row.id
                assert self.seen.setdefault(row.ended, row.id) == row.id, "one number, two ends"
        queued = sum(row.phase is QUEUED for row in rows)
        assert sum(self.table.tasks.queued.values()) == queued
        assert len(self.table.tasks.ends) == max(self.seen, default=0)


@given(OPERATIONS)
def test_whatever_happens_nothing_runs_too_early_waits_for_ever_or_ends_unheard(
    operations: list[tuple[str, int, set[int]]],
) -> None:
    model = Model()
    for operation in operations:
        model.do(*operation)
        model.check()


# ------------------------------------------------------------------- the queue


@pytest.mark.parametrize("seed", range(20))
def test_the_best_task_is_the_best_while_old_ranks_are_cleared_out(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Priorities that come and go, tasks that come back: in parts so small that all happens."""
    monkeypatch.setattr(item_table, "MOST_STALE", 5)
    monkeypatch.setattr(ready_queue, "PART", 7)
    monkeypatch.setattr(ready_queue, "CALLS", 3)
    rng = random.Random(seed)
    table = ItemTable([task(n, priority=float(rng.randrange(3))) for n in range(60)])
    longest = 0
    for _ in range(3000):
        row = table.rows[rng.randrange(len(table))]
        if row.phase is RUNNING:
            table.end_task(row.id, TaskEnded(row.token, EndKind.BACK, begun=False), 0.0)
        else:
            table.prioritise(row.id, float(rng.choice((0, 1, 2, 2, rng.random()))), 0.0)
        best = table.best_task((0, "", False))
        free = [one for one in table.rows if one.phase is QUEUED]
        assert best is min(free, key=rank_of, default=None)
        if best is not None and rng.random() < 0.3:
            table.grant(best, "job", 0.0)
        longest = max(longest, len(table._ready[0, "", False]))
    assert longest < 4 * len(table)
    for one in table.rows:
        if one.phase is RUNNING:
            table.end_task(one.id, TaskEnded(one.token, EndKind.BACK, begun=False), 0.0)
    order = []
    while (best := table.best_task((0, "", False))) is not None:
        table.grant(best, "job", 0.0)
        order.append(best)
    assert order == sorted(order, key=rank_of)
    assert len(order) == len(table)


def test_a_change_of_priority_never_sorts_all_ranks_anew() -> None:
    """It took two seconds in one turn where half a million tasks waited."""
    table = ItemTable([task(n, priority=float(n)) for n in range(20_000)])
    looked: list[int] = []
    queue = table._ready[0, "", False]
    for n in range(45_000):
        before = len(queue)
        table.prioritise(n % 20_000, float(-n), 0.0)
        looked.append(before + 1 - len(queue))
    assert 0 < max(looked) <= 2 * ready_queue.PART  # of two parts in one step
    assert len(queue) < 4 * len(table)
