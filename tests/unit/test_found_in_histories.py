"""What histories of tasks found, each in a few lines: without its fix, each of these fails."""

from __future__ import annotations

import itertools
from random import Random

import msgspec
import pytest

from adaptive_scheduler.client.tasks.head.head_session import Begin, HeadSession
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.item_table import ItemTable
from adaptive_scheduler.core.tasks.head_mirror import HeadMirror
from adaptive_scheduler.core.tasks.place import NodeInventory, NodePlace
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.wire.messages import Goodbye, Ok, Refused
from adaptive_scheduler.core.wire.pools import RemovePool
from adaptive_scheduler.core.wire.tasks import (
    CloseRun,
    EndKind,
    Given,
    Held,
    Order,
    Prioritise,
    Trade,
    Work,
)
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.storage import row_codec, tinydb_file
from adaptive_scheduler.io.storage.database import Database
from tests.simulation.disk import Disk
from tests.unit.test_hand_out import given_items, hand_out, head, task
from tests.unit.test_pools import Head, Run, pool
from tests.unit.test_task_manager import World

FOLDER = RunFolder("/run/db.tinydb")


class DeadError(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("is_text", [False, True])
def test_any_part_of_the_lines_of_a_submit_is_as_none(is_text: bool) -> None:
    """Rows stand in the order of their last change: ids may be missing in the middle of those kept."""
    rows = {str(n): msgspec.to_builtins(task(n)) for n in range(5)}
    for n, parts in itertools.product(range(4), itertools.product((True, False), repeat=3)):
        kept = [str(k) for k in range(2)] + [str(k + 2) for k, part in enumerate(parts) if part]
        texts = {
            key: msgspec.Raw(msgspec.json.encode(rows[key]))
            for key in kept[n % 2 :] + kept[: n % 2]
        }
        tables = {
            tinydb_file.ITEMS: texts if is_text else {key: rows[key] for key in kept},
            row_codec.BATCHES: {"b": {"items": [0, 1]}},
        }
        assert [item.id for item in row_codec.read_items(tables, FOLDER)] == [0, 1]


@pytest.mark.parametrize("seed", range(10))
def test_a_function_that_a_killed_manager_had_not_synced_is_synced_by_the_next(seed: int) -> None:
    """Killed between the rename and the folder's fsync; the next one says that it has it."""
    doomed, calls = "", itertools.count()

    def before(kind: str) -> None:
        if kind == doomed and next(calls) == 1:  # the file's own fsync is the first
            raise DeadError

    disk = Disk(before, lambda: False)
    with files.through(disk):
        for folder in ("/", "/run"):
            disk.mkdir(folder)
        tinydb_file.create(FOLDER.database, {})
        first = Database(FOLDER)
        files.private_folder(FOLDER.functions)
        first.put_function("a" * 32, b"function")
        doomed = "fsync"
        with pytest.raises(DeadError):
            first.commit()
        doomed = ""
        assert Database(FOLDER).has_function("a" * 32)
        disk.lose_power(Random(seed))
        assert Database(FOLDER).has_function("a" * 32)


def test_a_closed_run_wants_no_jobs_whatever_its_pools_say() -> None:
    run = Run()
    run.add(pool(min_jobs=1))
    run.turn()
    (job,) = run.jobs()
    first = Head(run, job)
    assert run.ask(CloseRun()) == Ok()
    assert first.trade().leave
    del run.queue[job]
    for _ in range(5):
        run.turn(31)
    assert run.jobs() == []


def test_a_job_that_is_about_to_leave_takes_room_in_its_pool() -> None:
    run = Run()
    run.add(pool(max_jobs=1))
    run.submit(1)
    run.turn()
    (job,) = run.jobs()
    one = Head(run, job)
    one.end_all()
    run.submit(1, batch="c")
    assert run.ask(Goodbye("no work"), one.owner) == Ok()
    run.turn(31)
    assert run.jobs() == [job]
    del run.queue[job]
    run.turn(31)
    run.turn(31)
    assert len(run.jobs()) == 1


def test_a_wish_that_comes_behind_a_newer_one_changes_nothing() -> None:
    world = World()
    (item,) = world.submit()
    assert world.driver.ask(Prioritise([item], [1.0])) == Ok()
    number = world.driver.number
    assert world.driver.ask(Prioritise([item], [2.0])) == Ok()
    late = world.send(world.driver, number, Prioritise([item], [1.0]))
    assert isinstance(late, Refused)
    assert world.row(item).priority == 2.0
    again = world.send(world.driver, world.driver.number, Prioritise([item], [2.0]))
    assert again == Ok(), "the same one again"


def test_what_waits_in_a_head_whose_pool_was_removed_begins() -> None:
    """Nobody else has it: it had waited for ever, and the run had never ended."""
    run = Run()
    run.add(pool())
    run.submit(4)
    run.turn()
    one = Head(run, run.jobs()[0])
    for token in list(one.tokens):
        one.end(token, seconds=0.001)
    run.submit(20, batch="c")
    one.trade()
    waiting = list(one.tokens)
    assert len(waiting) > 4, "some wait in the head"
    assert run.ask(RemovePool("p")) == Ok()
    placed = one.tokens[0]
    work = one.end(placed, EndKind.DIED, text="the agent died")
    assert any(order.place for order in work.orders)


def test_of_tasks_that_died_before_a_head_gets_one_whatever_they_need() -> None:
    rows = [task(0, crashes=1), task(1, shape=1, crashes=1), task(2, tag="x", crashes=1), task(3)]
    view = head(8)
    hand_out(ItemTable(rows)).to(view, 0.0, 0.0)
    assert given_items(view) == [3, 0]


def test_a_new_manager_tells_the_priorities_of_what_waits_in_a_head() -> None:
    mirror = HeadMirror([NodeInventory("n", [0])])
    place = [NodePlace(0, [0])]
    held = [Held(1, place), Held(2, None)]
    known = [Given(0, 1, 0, priority=1.0), Given(1, 2, 0, priority=7.0)]
    mirror.restore(Trade(seen=2, told=5, holds=held), known)
    assert mirror.work().orders == [Order(6, 2, priority=7.0)]


def test_a_place_that_a_head_has_not_heard_of_is_no_begun_task() -> None:
    mirror = HeadMirror([NodeInventory("n", [0])])
    mirror.give(Given(0, 1, 0, [NodePlace(0, [0])]))
    mirror.give(Given(1, 2, 0))
    session = HeadSession()
    session.take(mirror.work())
    list(mirror.take(session.trade(0.0)))
    assert mirror.has_begun == {1}
    session.lose("the agent died", is_ending=False)
    list(mirror.take(session.trade(0.0)))
    mirror.place_waiting([TaskResources()])
    assert mirror.has_begun == set()
    session.take(mirror.work())
    list(mirror.take(session.trade(0.0)))
    assert mirror.has_begun == {2}


def test_nothing_is_lined_up_behind_a_task_of_another_function_that_may_be_long() -> None:
    """Only by function: of tasks of the same resources some are short, and others run for hours."""
    session = HeadSession()
    place = [NodePlace(0, [0])]
    session.take(Work(tasks=[Given(0, 1, 0, place, function="short")]))
    session.end(1, EndKind.VALUE, seconds=0.0001)
    begins = session.take(
        Work(tasks=[Given(1, 2, 0, place, function="long"), Given(2, 3, 0, function="short")])
    )
    assert [one.given.token for one in begins if isinstance(one, Begin)] == [2]
    other = session.take(Work(orders=[Order(1, 3, place=[NodePlace(0, [1])])]))
    assert [one.given.token for one in other if isinstance(one, Begin)] == [3]
