"""The table of items: their order, dependencies, delays and claims."""

from __future__ import annotations

import math

import pytest

from adaptive_scheduler.core.rows.events import Finished, Lost, Raised, Released
from adaptive_scheduler.core.rows.item_table import ItemTable
from adaptive_scheduler.core.rows.retry_decision import Budget
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.core.wire.messages import Owner, Refused, Report
from adaptive_scheduler.errors import InputError
from tests.quick import usually

Q, W = Phase.QUEUED, Phase.WAITING


def owner(job: int, attempt: int = 0) -> Owner:
    return Owner(str(job), 0, attempt, f"{job}-{attempt}")


def rows(n: int, **fields: list[object]) -> list[Item]:
    return [
        Item(k, f"f{k}", Q, **{name: values[k] for name, values in fields.items()})  # type: ignore[arg-type]
        for k in range(n)
    ]


def chain(n: int) -> list[Item]:
    return [Item(k, f"f{k}", W if k else Q, depends_on=(k - 1,) if k else ()) for k in range(n)]


def claim(items: ItemTable, job: int, shape: int = 0, attempt: int = 0) -> Item:
    item = items.claim(owner(job, attempt), shape, 0.0)
    assert isinstance(item, Item)
    return item


def finish(items: ItemTable, item: Item) -> None:
    assert isinstance(items.apply(item.id, Finished(item.token), 0.0), Item)


# ------------------------------------------------------------------------------ order


def test_the_highest_priority_goes_first_then_the_oldest() -> None:
    items = ItemTable(rows(5, priority=[0.0, 2.0, 1.0, 2.0, 0.0]))
    assert [claim(items, job).id for job in range(5)] == [1, 3, 2, 0, 4]
    assert items.claim(owner(9), 0, 0.0) is None


def test_fault_14_a_failed_item_goes_behind_its_equals() -> None:
    """Fault 14: an item that always raises must not starve the others."""
    items = ItemTable(rows(3, priority=[0.0, 0.0, -1.0]))
    first = claim(items, 1)
    items.apply(first.id, Lost("killed", crash=True), 0.0)
    assert [claim(items, job).id for job in (2, 3, 4)] == [1, 0, 2]


def test_a_client_gets_items_of_its_own_shape_only() -> None:
    items = ItemTable(rows(4, shape=[0, 1, 0, 1]))
    assert [claim(items, job, shape=1).id for job in (1, 2)] == [1, 3]
    assert items.claim(owner(3), 1, 0.0) is None
    assert items.queued[0] == 2
    assert items.running[1] == 2
    assert items.may_become_free(1)
    assert not items.may_become_free(2)


def test_a_released_item_is_given_again_and_the_queue_does_not_grow() -> None:
    items = ItemTable(rows(2))
    for n in range(1000):
        item = claim(items, n)
        assert item.id == 0
        items.apply(0, Released(item.token, "deadline"), 0.0)
    assert len(items._ready[0]) == 2


# ------------------------------------------------------------------------------ claims


def test_a_client_that_claims_twice_gets_the_same_item() -> None:
    items = ItemTable(rows(3))
    first = claim(items, 1)
    assert claim(items, 1) is first
    assert items.held_by("1") is first
    assert items.held_by("2") is None
    assert items.by_token(first.token) is first


def test_tokens_grow_also_over_a_restart() -> None:
    items = ItemTable(rows(3))
    tokens = [claim(items, 1).token, claim(items, 2).token, claim(items, 1, attempt=1).token]
    items = ItemTable(items.rows)
    tokens.append(claim(items, 3).token)
    assert tokens == [1, 2, 3, 4]


def test_a_jobs_next_client_takes_over_the_item_of_the_first() -> None:
    items = ItemTable(rows(3))
    first = claim(items, 1)
    again = items.claim(owner(1, 1), 0, 0.0, Report(npoints=4))
    assert isinstance(again, Item)
    assert (again.id, again.npoints, again.crashes) == (first.id, 4, 1)
    assert again.token > first.token
    stale = items.apply(first.id, Finished(first.token), 0.0)
    assert isinstance(stale, Refused)
    assert items.rows[first.id].phase is Phase.RUNNING


def test_a_jobs_next_client_gets_another_item_if_the_first_one_crashed_too_often() -> None:
    items = ItemTable(rows(2), Budget(max_crashes=0))
    claim(items, 1)
    assert claim(items, 1, attempt=1).id == 1
    assert items.rows[0].phase is Phase.FAILED


# ------------------------------------------------------------------------------ delays


def test_an_item_that_raises_is_delayed_twice_as_long_each_time() -> None:
    items = ItemTable(rows(1), Budget(max_fails=5000))
    now = 0.0
    pauses = []
    for _ in range(12):
        item = claim(items, 1)
        items.apply(0, Raised(item.token, "no"), 0.0)
        items.wake_delayed(now)
        began = now
        while items.claim(owner(1), 0, 0.0) is None:
            now += 1.0
            items.wake_delayed(now)
        held = items.held_by("1")
        assert held is not None
        items.apply(0, Released(held.token, "again"), 0.0)
        pauses.append(now - began)
    assert pauses[:4] == [1.0, 2.0, 4.0, 8.0]
    assert pauses[-1] == 300.0


def test_the_delay_after_thousands_of_failures_does_not_overflow() -> None:
    items = ItemTable(
        [Item(0, "f", Phase.RUNNING, job="1", owner=owner(1), token=1, fails=5000)], Budget(9999)
    )
    items.apply(0, Raised(1, "no"), 0.0)
    items.wake_delayed(0.0)
    items.wake_delayed(300.0)
    assert claim(items, 1).id == 0


def test_a_retry_ends_the_delay() -> None:
    items = ItemTable(rows(1))
    item = claim(items, 1)
    items.apply(0, Raised(item.token, "no"), 0.0)
    items.wake_delayed(0.0)
    items.cancel(0.0)
    assert items.retry([0], 0.0) == 1
    assert claim(items, 2).id == 0
    items.wake_delayed(1e9)
    assert items.claim(owner(3), 0, 0.0) is None


# ------------------------------------------------------------------------ dependencies


def test_a_chain_of_a_thousand_dependencies_runs_in_order() -> None:
    items = ItemTable(chain(1000))
    for n in range(1000):
        item = claim(items, n)
        assert item.id == n
        assert items.claim(owner(10**6), 0, 0.0) is None
        finish(items, item)
    assert items.phases[Phase.DONE] == 1000


def test_a_failure_and_a_retry_reach_a_chain_of_a_thousand_dependencies() -> None:
    items = ItemTable(chain(1000), Budget(max_crashes=0))
    claim(items, 1)
    items.apply(0, Lost("killed", crash=True), 0.0)
    assert items.phases[Phase.FAILED] == 1000
    assert items.rows[999].reason == "depends on item 998, which failed"
    assert items.retry([0], 0.0) == 1000
    assert (items.phases[Q], items.phases[W]) == (1, 999)


def test_an_item_waits_for_all_that_it_depends_on() -> None:
    items = ItemTable([*rows(2), Item(2, "f", W, depends_on=(0, 1, 1, 0))])
    finish(items, claim(items, 1))
    assert items.rows[2].phase is W
    finish(items, claim(items, 2))
    assert items.rows[2].phase is Q


def test_a_queued_item_waits_again_when_what_it_depends_on_is_retried() -> None:
    items = ItemTable([*rows(1), Item(1, "f", W, depends_on=(0,))])
    finish(items, claim(items, 1))
    assert items.retry([0], 0.0) == 1
    assert [item.phase for item in items.rows] == [Q, W]
    assert items.claim(owner(2), 0, 0.0).id == 0  # type: ignore[union-attr]
    assert items.claim(owner(3), 0, 0.0) is None
    finish(items, items.rows[0])
    assert claim(items, 4).id == 1


def test_a_running_item_waits_once_it_is_given_back_when_what_it_depends_on_is_retried() -> None:
    items = ItemTable([*rows(1), Item(1, "f", W, depends_on=(0,))])
    finish(items, claim(items, 1))
    child = claim(items, 2)
    items.retry([0], 0.0)
    assert items.rows[1].phase is Phase.RUNNING
    raised = items.apply(1, Raised(child.token, "no"), 0.0)
    items.wake_delayed(0.0)
    assert isinstance(raised, Item)
    assert items.rows[1].phase is W
    items.wake_delayed(100.0)
    finish(items, claim(items, 3))
    assert claim(items, 4).id == 1


def test_opening_postpones_a_queued_item_whose_dependency_is_not_done() -> None:
    items = ItemTable([*rows(1), Item(1, "f", Q, depends_on=(0,))])
    assert items.rows[1].phase is W
    assert list(items.changed) == [1]


def test_changes_are_kept_in_the_order_in_which_a_job_gave_one_item_back_and_took_another() -> None:
    """Rows are written in the order of their last changes, and a write may be cut anywhere."""
    items = ItemTable(rows(2))
    first, second = claim(items, 1), claim(items, 2)
    items.changed.clear()
    items.apply(second.id, Released(second.token, "signal"), 0.0)
    finish(items, first)
    assert claim(items, 1).id == second.id
    assert list(items.changed) == [first.id, second.id]


def test_an_item_retried_without_its_dependency_fails_again() -> None:
    items = ItemTable([*rows(1), Item(1, "f", W, depends_on=(0,))], Budget(max_crashes=0))
    claim(items, 1)
    items.apply(0, Lost("killed", crash=True), 0.0)
    items.retry([1], 0.0)
    assert items.rows[1].phase is Phase.FAILED
    items.retry([1, 0], 0.0)
    assert items.rows[1].phase is W


@pytest.mark.parametrize("phase", [Phase.FAILED, Phase.CANCELLED])
def test_opening_fails_an_item_that_waits_for_one_that_failed(phase: Phase) -> None:
    """Its manager died while it wrote both."""
    items = ItemTable(
        [Item(0, "f", phase), Item(1, "f", W, depends_on=(0,)), Item(2, "f", W, depends_on=(1,))]
    )
    assert [row.phase for row in items.rows[1:]] == [Phase.FAILED] * 2
    assert set(items.changed) == {1, 2}


def test_opening_queues_an_item_that_waits_for_one_that_is_done() -> None:
    items = ItemTable([Item(0, "f", Phase.DONE), Item(1, "f", W, depends_on=(0,))])
    assert claim(items, 1).id == 1


def test_an_item_may_depend_on_a_later_one() -> None:
    items = ItemTable([Item(0, "f", W, depends_on=(1,)), Item(1, "f", Q)])
    finish(items, claim(items, 1))
    assert claim(items, 2).id == 0


def test_a_dependency_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(InputError, match="does not exist"):
        ItemTable([Item(0, "f", W, depends_on=(7,))])


# ------------------------------------------------------------------------------ control


def test_cancel_ends_all_items_that_have_not_ended() -> None:
    items = ItemTable([*chain(3), Item(3, "f", Phase.DONE)])
    claim(items, 1)
    items.cancel(9.0)
    assert [row.phase for row in items.rows] == [Phase.CANCELLED] * 3 + [Phase.DONE]
    assert items.unfinished == 0
    assert items.held_by("1") is None
    assert items.retry(range(4), 0.0) == 4, "also one that is done"


def test_ids_are_numbered_from_zero() -> None:
    with pytest.raises(InputError, match="row 0 of the database has the id 3"):
        ItemTable([Item(3, "f", Q)])


# ------------------------------------------------------------------------------- cost


class Counted(float):
    """A priority that counts how often it is compared."""

    comparisons = 0

    def __neg__(self) -> Counted:
        return Counted(-float(self))

    def __lt__(self, other: float) -> bool:
        Counted.comparisons += 1
        return float(self) < float(other)

    def __eq__(self, other: object) -> bool:
        Counted.comparisons += 1
        return isinstance(other, float) and float(self) == float(other)

    __hash__ = float.__hash__


def comparisons_of_a_cycle(n: int) -> float:
    """Comparisons of one claim and one finish in a table of n items, of all kinds of priorities."""
    items = ItemTable(rows(n, priority=[Counted(7919 * k % n) for k in range(n)]))
    Counted.comparisons = 0
    for job in range(n // 2):
        finish(items, claim(items, job))
    return Counted.comparisons / (n // 2)


def test_fault_24_a_claim_and_a_finish_cost_a_heap_operation_and_no_scan() -> None:
    """Fault 24: costs must not grow with the number of learners, but for a heap's logarithm."""
    n = usually(64_000, quick=16_000)
    few, many = comparisons_of_a_cycle(1_000), comparisons_of_a_cycle(n)
    print(f"comparisons a cycle: {few:.1f} of 1,000 rows, {many:.1f} of {n:,}")
    assert many <= 4 * math.log2(n)
    assert many / few <= 1.25 * math.log(n) / math.log(1_000)
