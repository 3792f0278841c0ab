"""All rows: order, dependencies, delays, and indexes that never disagree with the rows."""

from __future__ import annotations

import math

import pytest

from adaptive_scheduler.core.rows.events import Finished, Lost, Raised, Released
from adaptive_scheduler.core.rows.item_table import ItemTable
from adaptive_scheduler.core.rows.items import Budget, Item, Phase
from adaptive_scheduler.core.wire.messages import Owner, Refused, Report
from adaptive_scheduler.errors import InputError

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


def claim(book: ItemTable, job: int, shape: int = 0, attempt: int = 0) -> Item:
    item = book.claim(owner(job, attempt), shape, 0.0)
    assert isinstance(item, Item)
    return item


def finish(book: ItemTable, item: Item) -> None:
    assert isinstance(book.apply(item.id, Finished(item.token), 0.0), Item)


# ------------------------------------------------------------------------------ order


def test_the_highest_priority_first_then_the_oldest() -> None:
    book = ItemTable(rows(5, priority=[0.0, 2.0, 1.0, 2.0, 0.0]))
    assert [claim(book, job).id for job in range(5)] == [1, 3, 2, 0, 4]
    assert book.claim(owner(9), 0, 0.0) is None


def test_fault_14_one_that_failed_goes_behind_its_equals() -> None:
    """Fault 14: one that always raises must not starve the others."""
    book = ItemTable(rows(3, priority=[0.0, 0.0, -1.0]))
    first = claim(book, 1)
    book.apply(first.id, Lost("killed", crash=True), 0.0)
    assert [claim(book, job).id for job in (2, 3, 4)] == [1, 0, 2]


def test_shapes_do_not_mix() -> None:
    book = ItemTable(rows(4, shape=[0, 1, 0, 1]))
    assert [claim(book, job, shape=1).id for job in (1, 2)] == [1, 3]
    assert book.claim(owner(3), 1, 0.0) is None
    assert book.queued[0] == 2
    assert book.running[1] == 2
    assert book.may_become_free(1)
    assert not book.may_become_free(2)


def test_a_released_one_comes_again_and_the_heap_does_not_grow() -> None:
    book = ItemTable(rows(2))
    for n in range(1000):
        item = claim(book, n)
        assert item.id == 0
        book.apply(0, Released(item.token, "deadline"), 0.0)
    queue = book._free[0]
    assert len(queue._sorted) + len(queue._heap) == 2


# ------------------------------------------------------------------------------ claims


def test_a_client_that_claims_twice_gets_the_same() -> None:
    book = ItemTable(rows(3))
    first = claim(book, 1)
    assert claim(book, 1) is first
    assert book.held_by("1") is first
    assert book.held_by("2") is None
    assert book.row_of(first.token) == first.id


def test_tokens_only_grow_also_over_a_restart() -> None:
    book = ItemTable(rows(3))
    tokens = [claim(book, 1).token, claim(book, 2).token, claim(book, 1, attempt=1).token]
    book = ItemTable(book.rows)
    tokens.append(claim(book, 3).token)
    assert tokens == [1, 2, 3, 4]


def test_a_next_life_takes_over_what_its_job_held() -> None:
    book = ItemTable(rows(3))
    first = claim(book, 1)
    again = book.claim(owner(1, 1), 0, 0.0, Report(npoints=4))
    assert isinstance(again, Item)
    assert (again.id, again.npoints, again.crashes) == (first.id, 4, 1)
    assert again.token > first.token
    stale = book.apply(first.id, Finished(first.token), 0.0)
    assert isinstance(stale, Refused)
    assert book.rows[first.id].phase is Phase.RUNNING


def test_a_next_life_gets_another_when_the_first_has_crashed_too_often() -> None:
    book = ItemTable(rows(2), Budget(max_crashes=0))
    claim(book, 1)
    assert claim(book, 1, attempt=1).id == 1
    assert book.rows[0].phase is Phase.FAILED


# ------------------------------------------------------------------------------ delays


def test_one_that_raised_waits_longer_and_longer() -> None:
    book = ItemTable(rows(1), Budget(max_fails=5000))
    now = 0.0
    pauses = []
    for _ in range(12):
        item = claim(book, 1)
        book.apply(0, Raised(item.token, "no"), 0.0)
        book.delay(0, now)
        began = now
        while book.claim(owner(1), 0, 0.0) is None:
            now += 1.0
            book.wake_delayed(now)
        held = book.held_by("1")
        assert held is not None
        book.apply(0, Released(held.token, "again"), 0.0)
        pauses.append(now - began)
    assert pauses[:4] == [1.0, 2.0, 4.0, 8.0]
    assert pauses[-1] == 300.0


def test_thousands_of_failures_overflow_nothing() -> None:
    book = ItemTable(
        [Item(0, "f", Phase.RUNNING, job="1", owner=owner(1), token=1, fails=5000)], Budget(9999)
    )
    book.apply(0, Raised(1, "no"), 0.0)
    book.delay(0, 0.0)
    book.wake_delayed(300.0)
    assert claim(book, 1).id == 0


def test_a_retry_does_not_wait_for_the_delay() -> None:
    book = ItemTable(rows(1))
    item = claim(book, 1)
    book.apply(0, Raised(item.token, "no"), 0.0)
    book.delay(0, 0.0)
    book.cancel(0.0)
    assert book.retry([0], 0.0) == 1
    assert claim(book, 2).id == 0
    book.wake_delayed(1e9)
    assert book.claim(owner(3), 0, 0.0) is None


# ------------------------------------------------------------------------ dependencies


def test_a_chain_of_a_thousand_runs_in_order() -> None:
    book = ItemTable(chain(1000))
    for n in range(1000):
        item = claim(book, n)
        assert item.id == n
        assert book.claim(owner(10**6), 0, 0.0) is None
        finish(book, item)
    assert book.phases[Phase.DONE] == 1000


def test_a_chain_of_a_thousand_fails_as_one_and_is_retried_as_one() -> None:
    book = ItemTable(chain(1000), Budget(max_crashes=0))
    claim(book, 1)
    book.apply(0, Lost("killed", crash=True), 0.0)
    assert book.phases[Phase.FAILED] == 1000
    assert book.rows[999].reason == "depends on item 998, which failed"
    assert book.retry([0], 0.0) == 1000
    assert (book.phases[Q], book.phases[W]) == (1, 999)


def test_all_parents_must_be_done() -> None:
    book = ItemTable([*rows(2), Item(2, "f", W, depends_on=(0, 1, 1, 0))])
    finish(book, claim(book, 1))
    assert book.rows[2].phase is W
    finish(book, claim(book, 2))
    assert book.rows[2].phase is Q


def test_a_free_child_waits_again_when_its_parent_is_opened_again() -> None:
    book = ItemTable([*rows(1), Item(1, "f", W, depends_on=(0,))])
    finish(book, claim(book, 1))
    assert book.retry([0], 0.0) == 1
    assert [item.phase for item in book.rows] == [Q, W]
    assert book.claim(owner(2), 0, 0.0).id == 0  # type: ignore[union-attr]
    assert book.claim(owner(3), 0, 0.0) is None
    finish(book, book.rows[0])
    assert claim(book, 4).id == 1


def test_a_child_that_runs_when_its_parent_is_opened_again_waits_after_it_was_released() -> None:
    book = ItemTable([*rows(1), Item(1, "f", W, depends_on=(0,))])
    finish(book, claim(book, 1))
    child = claim(book, 2)
    book.retry([0], 0.0)
    assert book.rows[1].phase is Phase.RUNNING
    raised = book.apply(1, Raised(child.token, "no"), 0.0)
    book.delay(1, 0.0)
    assert isinstance(raised, Item)
    assert book.rows[1].phase is W
    book.wake_delayed(100.0)
    finish(book, claim(book, 3))
    assert claim(book, 4).id == 1


def test_a_free_row_whose_parent_is_not_done_waits_when_opened() -> None:
    book = ItemTable([*rows(1), Item(1, "f", Q, depends_on=(0,))])
    assert book.rows[1].phase is W
    assert list(book.changed) == [1]


def test_who_lets_go_of_one_row_and_takes_another_is_written_so() -> None:
    """Rows are written in the order of their last changes, and a write may end anywhere."""
    book = ItemTable(rows(2))
    first, second = claim(book, 1), claim(book, 2)
    book.changed.clear()
    book.apply(second.id, Released(second.token, "signal"), 0.0)
    finish(book, first)
    assert claim(book, 1).id == second.id
    assert list(book.changed) == [first.id, second.id]


def test_a_child_retried_alone_does_not_wait_for_ever() -> None:
    book = ItemTable([*rows(1), Item(1, "f", W, depends_on=(0,))], Budget(max_crashes=0))
    claim(book, 1)
    book.apply(0, Lost("killed", crash=True), 0.0)
    book.retry([1], 0.0)
    assert book.rows[1].phase is Phase.FAILED
    book.retry([1, 0], 0.0)
    assert book.rows[1].phase is W


@pytest.mark.parametrize("phase", [Phase.FAILED, Phase.CANCELLED])
def test_a_row_that_waits_for_what_has_ended_is_given_up_when_opened(phase: Phase) -> None:
    """Half of a group of lines may have reached the disk."""
    book = ItemTable(
        [Item(0, "f", phase), Item(1, "f", W, depends_on=(0,)), Item(2, "f", W, depends_on=(1,))]
    )
    assert [row.phase for row in book.rows[1:]] == [Phase.FAILED] * 2
    assert set(book.changed) == {1, 2}


def test_a_row_that_waits_for_what_is_done_is_freed_when_opened() -> None:
    book = ItemTable([Item(0, "f", Phase.DONE), Item(1, "f", W, depends_on=(0,))])
    assert claim(book, 1).id == 1


def test_children_may_come_before_their_parents() -> None:
    book = ItemTable([Item(0, "f", W, depends_on=(1,)), Item(1, "f", Q)])
    finish(book, claim(book, 1))
    assert claim(book, 2).id == 0


def test_a_parent_that_is_not_there_is_an_error() -> None:
    with pytest.raises(InputError, match="does not exist"):
        ItemTable([Item(0, "f", W, depends_on=(7,))])


# ------------------------------------------------------------------------------ people


def test_cancel_ends_all_alike() -> None:
    book = ItemTable([*chain(3), Item(3, "f", Phase.DONE)])
    claim(book, 1)
    book.cancel(9.0)
    assert [row.phase for row in book.rows] == [Phase.CANCELLED] * 3 + [Phase.DONE]
    assert book.unfinished == 0
    assert book.held_by("1") is None
    assert book.retry(range(4), 0.0) == 4, "a person may want a done one again, too"


def test_ids_must_be_places() -> None:
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
    """Comparisons of one claim and one finish in a book of n rows, of all kinds of priorities."""
    book = ItemTable(rows(n, priority=[Counted(7919 * k % n) for k in range(n)]))
    Counted.comparisons = 0
    for job in range(n // 2):
        finish(book, claim(book, job))
    return Counted.comparisons / (n // 2)


def test_fault_24_the_cost_of_a_cycle_is_that_of_a_heap_and_no_scan() -> None:
    """Fault 24: costs must not grow with the number of learners, but for a heap's logarithm."""
    few, many = comparisons_of_a_cycle(1_000), comparisons_of_a_cycle(64_000)
    print(f"comparisons a cycle: {few:.1f} of 1,000 rows, {many:.1f} of 64,000")
    assert many <= 4 * math.log2(64_000)
    assert many / few <= 1.25 * math.log(64_000) / math.log(1_000)
