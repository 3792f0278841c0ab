"""Why a task waits, and what happened to it, as a person is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.reasons.item_causes import goes_first
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import DONE, QUEUED, WAITING, TaskItem
from adaptive_scheduler.core.rows.task_results import collected, told
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.tasks.retry_policy import RetryPolicy
from adaptive_scheduler.core.tasks.task_state import MOST_EARLIER
from adaptive_scheduler.core.wire.messages import Refused, Retry
from adaptive_scheduler.core.wire.reasons import Explain, Reasons
from adaptive_scheduler.core.wire.tasks import Collect, EndKind, Fetch, LastTry
from adaptive_scheduler.io.storage.fact_line import TABLES
from adaptive_scheduler.runs.task_history import history, own_files
from tests.unit import test_task_manager
from tests.unit.test_pools import Head, Run, pool

TWO, FOUR = TaskResources(threads_per_rank=2), TaskResources(threads_per_rank=4)


def why(run: Any, item: int) -> list[str]:
    reply = run.ask(Explain(item))
    assert isinstance(reply, Reasons), reply
    return [one.text for one in reply.reasons]


def full(run: Run, cores: int = 4, **more: object) -> Head:
    """A job in which a task has three of its four cores."""
    run.add(pool(**{"resources": Resources(cores=4), "max_jobs": 1, **more}))
    run.submit(1, TaskResources(threads_per_rank=3), "first")
    run.turn()
    return Head(run, run.jobs()[0], cores, left=3600.0)


# ------------------------------------------------------------------- what its row says


def in_line(row: TaskItem, rows: list[TaskItem]) -> list[str]:
    return [one.text for one in goes_first(row, rows)]


def test_a_task_waits_for_others() -> None:
    world = test_task_manager.World()
    world.submit(2)
    world.submit(1, "child", after=[0, 1])
    text = "it waits for task 0, which is queued; task 1, which is queued"
    assert why(world.driver, 2) == [text]


def test_other_tasks_go_first() -> None:
    rows = [TaskItem(n, "", QUEUED, priority=float(n == 1)) for n in range(3)]
    (text,) = in_line(rows[2], rows)
    assert text == "2 tasks go first: the highest has priority 1, it has 0"
    (text,) = in_line(rows[0], rows)
    assert text == "1 task goes first: the highest has priority 1, it has 0"
    assert in_line(rows[1], rows) == []
    (text,) = in_line(rows[2], [rows[0], TaskItem(1, "", QUEUED, tag="x", priority=1.0)])
    assert text == "2 tasks go first, 1 with the same tag: the highest has priority 1, it has 0"
    assert in_line(rows[2], [rows[0], rows[2]]) == [
        "1 task goes first: it is older, or has failed less often"
    ]


def test_a_new_task_that_waits_says_nothing_of_what_is_done_again() -> None:
    """It said "what it depends on is done again", which nothing was."""
    world = test_task_manager.World()
    world.submit(1)
    world.submit(1, "child", after=[0])
    assert (world.row(1).phase, world.row(1).reason) == (WAITING, "")
    head = test_task_manager.Head(world)
    head.trade()
    head.end(head.tokens[0])
    head.trade()
    world.driver.ask(Retry([0], reopen=True))
    world.manager.restart()
    assert world.row(1).phase is not WAITING or "done again" in world.row(1).reason


# ------------------------------------------------------------------- what the manager knows


def test_nothing_runs_tasks() -> None:
    run = Run()
    run.submit(1)
    assert why(run, 0) == [
        "nothing runs tasks: there is no pool, and no machine has joined the run"
    ]


def test_a_job_is_to_come_and_waits_in_the_queue() -> None:
    run = Run()
    run.add(pool(max_jobs=2))
    run.submit(1)
    assert why(run, 0) == [
        "pool p has 0 jobs, and may have 2: one more is submitted when it is needed"
    ]
    run.turn()
    run.turn()
    assert why(run, 0) == ["1 job of pool p in the queue waits"]


def test_its_jobs_are_in_use_and_max_jobs_is_reached() -> None:
    run = Run()
    head = full(run)
    run.submit(1, TWO)
    assert why(run, 1) == [
        "pool p has 1 job, and may have 1: max_jobs is reached",
        f"job {head.owner.job} is in use: 1 core more must become free",
    ]
    (text,) = why(run, 0)
    assert text.startswith(f"it runs in job {head.owner.job}")


def test_no_gpu_is_free() -> None:
    run = Run()
    run.add(pool(resources=Resources(cores=8, gpus=2), max_jobs=1))
    run.submit(1, TaskResources(gpus_per_rank=2), "first")
    run.turn()
    job = run.jobs()[0]
    test_head = _HeadWithGPUs(run, job)
    assert len(test_head.tokens) == 1
    run.submit(1, TaskResources(ranks_per_node=2, gpus_per_rank=1))
    assert f"job {job} is in use: 2 GPUs more must become free" in why(run, 1)


class _HeadWithGPUs(Head):
    def __init__(self, run: Run, job: str) -> None:
        from adaptive_scheduler.core.jobs.batch_jobs import JobState
        from adaptive_scheduler.core.tasks.place import NodeInventory
        from adaptive_scheduler.core.wire.messages import Hello, Owner

        self.run, self.owner = run, Owner(job, 0, 0, f"head of {job}")
        run.queue[job] = JobState.RUNNING
        self.seen = self.ended = self.told = 0
        self.tokens = []
        inventory = [NodeInventory("n", list(range(8)), ["0", "1"])]
        run.ask(Hello("n", 1, 8, inventory=inventory), self.owner)
        self.trade(holds=[], seconds_left=None)


def test_its_job_ends_too_soon() -> None:
    run = Run()
    head = full(run, resources=Resources(cores=4, walltime=10800))
    run.submit(1, TaskResources(walltime=7200.0))
    assert f"job {head.owner.job} ends in 1h, and the task needs 2h" in why(run, 1)


def test_its_job_takes_other_tags() -> None:
    run = Run()
    run.add(pool(name="other", accepts=["y"], max_jobs=1))
    run.submit(1, TWO, "first", tag="y")
    run.turn()
    head = Head(run, run.jobs()[0])
    run.add(pool(name="mine", accepts=["x"], max_jobs=1))
    run.submit(1, TWO, tag="x")
    first, second = why(run, 1)
    assert first == f"job {head.owner.job} takes only tasks with the tag y"
    assert second.startswith("pool mine has 0 jobs")


def test_its_job_is_too_small_or_ends() -> None:
    run = Run()
    head = full(run)
    run.add(pool(name="large", resources=Resources(cores=16), max_jobs=1))
    run.submit(1, TaskResources(threads_per_rank=9))
    assert f"job {head.owner.job} is too small: it has 4 cores" in why(run, 1)


def test_the_run_is_held() -> None:
    run = Run()
    run.submit(1)
    run.manager.state.stops.held = "three jobs in a row died"
    assert "the run is held: three jobs in a row died" in why(run, 0)


def test_there_is_no_such_task() -> None:
    run = Run()
    for item in (-1, 0, 2**40):
        reply = run.ask(Explain(item))
        assert isinstance(reply, Refused)
        assert reply.code == "no_such_item"


def test_it_is_tried_again_later() -> None:
    world = test_task_manager.World()
    world.submit(policy=RetryPolicy(3, delay=60.0))
    head = test_task_manager.Head(world)
    head.trade()
    head.end(head.tokens[0], EndKind.ERROR, value=b"raised")
    head.trade()
    assert why(world.driver, 0)[0] == "it is tried again in 60 s: its delay is 60 s"
    world.clock.advance(20)
    assert why(world.driver, 0)[0] == "it is tried again in 40 s: its delay is 60 s"


# ------------------------------------------------------------------- what happened to it


def _events(world: test_task_manager.World) -> list[str]:
    facts = world.manager.state.tasks.facts
    known = {name: data for name in TABLES if (data := facts.fact(name, 0)) is not None}
    return [one["what"] for one in history(world.row(0), known)]


def test_each_try_is_kept_also_by_the_next_manager() -> None:
    world = test_task_manager.World()
    world.submit(policy=RetryPolicy(50))
    head = test_task_manager.Head(world)
    for kind in (EndKind.ERROR, EndKind.CUT, EndKind.VALUE):
        head.trade()
        world.clock.advance(5)
        head.end(head.tokens[0], kind)
        head.trade()
        world.manager.restart()
    tried = ["handed out", "begun"]
    expected = [
        "submitted", *tried, "raised", *tried, "cut by the end of its job", *tried, "done",
    ]  # fmt: skip
    assert _events(world) == expected
    world.collect()
    world.manager.restart()
    assert _events(world) == [*expected, "told to a driver"]


def test_no_more_tries_are_kept_than_a_person_reads() -> None:
    world = test_task_manager.World()
    world.submit(policy=RetryPolicy(50))
    head = test_task_manager.Head(world)
    head.trade()
    for _ in range(MOST_EARLIER + 5):
        head.end(head.tokens[0], EndKind.ERROR, value=b"raised")
        head.trade()
    assert len([one for one in _events(world) if one == "raised"]) == MOST_EARLIER + 1


def test_the_first_driver_that_is_told_counts_and_a_new_end_is_told_anew() -> None:

    world = test_task_manager.World()
    world.submit()
    head = test_task_manager.Head(world)
    head.trade()
    head.end(head.tokens[0])
    head.trade()

    def at() -> float | None:
        return told(world.manager.state.tasks.facts.fact("told", 0), world.row(0))

    assert at() is None
    first = world.clock.moment.wall
    world.driver.ask(Collect(0))
    world.clock.advance(10)
    world.driver.ask(Fetch([0]))
    assert at() == first
    world.driver.ask(Retry([0], reopen=True))
    head.trade()
    assert _events(world)[-2:] == ["told to a driver", "handed out"]
    assert collected(world.manager.state.tasks.facts.fact("told", 0), world.row(0)) is None
    head.end(head.tokens[0])
    head.trade()
    assert at() is None
    world.driver.ask(Collect(1))
    assert at() == first + 10
    assert msgspec.msgpack.decode(world.manager.state.tasks.facts.fact("told", 0) or b"")[0] == 2


@pytest.mark.parametrize("kind", sorted(set(EndKind) - {EndKind.BACK, EndKind.PASSED}))
def test_each_end_of_a_try_has_a_name(kind: EndKind) -> None:
    last = LastTry("17", "n1", 0, kind, 0, handed_out=1.0, ended=3.0, seconds=1.0)
    what = [
        one["what"]
        for one in history(TaskItem(0, "", DONE), {"times": msgspec.msgpack.encode(last)})
    ]
    assert what[:2] == ["handed out", "begun"]
    assert what[2] not in ("", "ended")


def test_a_file_that_its_task_has_just_replaced_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was there a moment ago."""
    folder = RunFolder(tmp_path)
    own = folder.tasks / "x"
    (own / "sub").mkdir(parents=True)
    (own / "sub" / "b").write_text("12")
    (own / "a.new").symlink_to("gone")
    monkeypatch.setattr(Path, "is_file", lambda _path: True)
    assert own_files(folder, str(own)) == [{"name": "sub/b", "bytes": 2}]
