"""Which nodes are avoided: those on which jobs die, never more than half."""

from __future__ import annotations

from adaptive_scheduler.core.jobs.job_tracking import TrackedJob
from adaptive_scheduler.core.jobs.nodes import (
    AVOIDED,
    DEATHS,
    FAST,
    QUICK,
    TASK_FAILURES,
    NodeHealth,
)
from adaptive_scheduler.core.jobs.records import JobRecord


def known(*names: str) -> NodeHealth:
    nodes = NodeHealth()
    nodes.add(names)
    return nodes


def die(nodes: NodeHealth, node: str, job: str = "1", item: int | None = None) -> None:
    """One crash: before the first claim, or soon after the claim of `item`."""
    record = JobRecord(job, has_worked=item is not None)
    nodes.on_death(TrackedJob(record, 0.0, 0.0, node=node), item, crash=True, now=0.0)


def test_fault_18_a_node_that_kills_three_jobs_is_avoided() -> None:
    """Fault 18."""
    nodes = known("good", "bad")
    for n in range(DEATHS):
        assert nodes.excluded(0.0) == ()
        die(nodes, "bad", f"{n}")
    assert nodes.excluded(1.0) == ("bad",)
    assert nodes.excluded(AVOIDED + 1.0) == (), "nodes get repaired"


def test_three_deaths_with_one_item_are_that_items_fault() -> None:
    nodes = known("a", "b")
    for n in range(9):
        die(nodes, "a", f"{n}", item=7)
    assert nodes.excluded(0.0) == ()
    die(nodes, "a", "x", item=8)
    die(nodes, "a", "y", item=9)
    assert nodes.excluded(0.0) == ("a",)


def test_never_more_than_half_the_worst_first() -> None:
    nodes = known("a", "b", "c", "d")
    for rank, node in enumerate("abcd"):
        for n in range(DEATHS + rank):
            die(nodes, node, f"{node}{n}")
    assert nodes.excluded(0.0) == ("d", "c")


def test_the_only_node_and_an_unknown_one_are_never_avoided() -> None:
    nodes = known()
    for n in range(9):
        die(nodes, "only", f"{n}")
        die(nodes, "", f"{n}")
    assert nodes.excluded(0.0) == ()


def test_only_quick_crashes_and_unusable_nodes_count() -> None:
    nodes = known("a", "b")

    def ends(n: int, crash: bool = True, worked: float = 0.0, **fields: object) -> None:
        record = JobRecord(f"{n}", **fields)  # type: ignore[arg-type]
        job = TrackedJob(record, 0.0, last_heard=worked, claimed_at=0.0, node="a")
        nodes.on_death(job, n if record.has_worked else None, crash, now=0.0)

    for n in range(DEATHS):
        ends(n, crash=False)
        ends(n, has_worked=True, worked=QUICK)
    assert nodes.excluded(0.0) == ()
    for n in range(DEATHS):
        ends(n, crash=False, broken=True, goodbye="no space left")
    assert nodes.excluded(0.0) == ("a",)


def test_a_crash_between_two_items_does_not_count() -> None:
    nodes = known("a", "b")
    for n in range(DEATHS):
        job = TrackedJob(JobRecord(f"{n}", has_worked=True), 0.0, 0.0, node="a")
        nodes.on_death(job, None, crash=True, now=0.0)
    assert nodes.excluded(0.0) == ()


def end_tasks(nodes: NodeHealth, node: str, n: int, *, good: bool, seconds: float = 0.1) -> None:
    for item in range(n):
        nodes.on_task_end(node, item, seconds, 0.0, good=good)


def test_a_node_on_which_alone_tasks_fail_fast_is_avoided() -> None:
    nodes = NodeHealth()
    end_tasks(nodes, "bad", TASK_FAILURES, good=False)
    assert nodes.excluded(1.0) == (), "perhaps they fail everywhere"
    end_tasks(nodes, "good", 30, good=True)
    assert nodes.excluded(1.0) == ("bad",)
    assert set(nodes.failing_tasks(1.0)) == {"bad"}
    assert nodes.excluded(AVOIDED + 1.0) == (), "nodes get repaired"
    end_tasks(nodes, "bad", 1, good=True)
    assert nodes.excluded(1.0) == ()


def test_tasks_that_fail_everywhere_slowly_or_one_again_and_again_blame_no_node() -> None:
    everywhere, slowly, one = NodeHealth(), NodeHealth(), NodeHealth()
    for nodes in (everywhere, slowly, one):
        end_tasks(nodes, "good", 30, good=True)
    for n in range(30):
        everywhere.on_task_end("a", n, 0.1, 0.0, good=False)
        everywhere.on_task_end("good", n, 0.1, 0.0, good=n % 3 == 0)
        one.on_task_end("a", 7, 0.1, 0.0, good=False)
    end_tasks(slowly, "a", 30, good=False, seconds=FAST + 1)
    assert [nodes.excluded(1.0) for nodes in (everywhere, slowly, one)] == [(), (), ()]
