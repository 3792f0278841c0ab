"""When the end of a task of several nodes is told."""

from __future__ import annotations

from adaptive_scheduler.client.tasks.head.rank_tasks import RankTasks
from adaptive_scheduler.client.tasks.messages import TaskEnd
from adaptive_scheduler.core.wire.tasks import EndKind


def test_it_is_told_when_all_other_nodes_are_clean() -> None:
    tasks = RankTasks()
    tasks.begin(5, [2, 0, 1])
    ended = TaskEnd(5, EndKind.VALUE)
    tasks.end(ended)
    assert tasks.asks() == [(0, 5), (1, 5)]
    assert tasks.asks() == []
    assert tasks.ready() == []
    tasks.answered(0, 5)
    tasks.end(TaskEnd(5, EndKind.CUT))  # the first word counts
    assert tasks.ready() == []
    tasks.lose(1)
    assert tasks.ready() == [ended]
    assert 5 not in tasks


def test_what_died_with_its_first_agent_may_be_left_there_too() -> None:
    tasks = RankTasks()
    tasks.begin(5, [0, 1])
    tasks.end(TaskEnd(5, EndKind.DIED), by_head=True)
    assert tasks.asks() == [(0, 5), (1, 5)]


def test_what_never_began_is_nowhere() -> None:
    tasks = RankTasks()
    tasks.begin(5, [0, 1])
    tasks.end(TaskEnd(5, EndKind.BACK, begun=False))
    assert [one.token for one in tasks.ready()] == [5]


def test_a_failure_while_a_node_is_lost_is_not_the_programs_own() -> None:
    """The launcher notices that a node is dead before the head does."""
    tasks = RankTasks()
    tasks.begin(5, [0, 1])
    tasks.end(TaskEnd(5, EndKind.EXIT, 1, seconds=3.0))
    cut = TaskEnd(5, EndKind.CUT, text="lost")
    tasks.end(cut, by_head=True)
    tasks.lose(1)
    assert tasks.ready() == [TaskEnd(5, EndKind.CUT, seconds=3.0, text="lost")]
    tasks.begin(6, [0, 1])
    tasks.end(TaskEnd(6, EndKind.VALUE))
    tasks.end(TaskEnd(6, EndKind.CUT), by_head=True)
    tasks.lose(1)
    assert [one.kind for one in tasks.ready()] == [EndKind.VALUE]


def test_nodes_are_needed_until_the_end_of_their_tasks() -> None:
    tasks = RankTasks()
    tasks.begin(5, [0, 1])
    tasks.begin(6, [1, 2])
    assert tasks.nodes == {0, 1, 2}
    tasks.forget({6, 7})
    assert tasks.nodes == {0, 1}
    tasks.end(TaskEnd(5, EndKind.BACK, begun=False))
    assert tasks.ready()
    assert tasks.nodes == set()
