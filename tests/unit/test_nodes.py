"""Which nodes are avoided: those on which jobs die, never more than half."""

from __future__ import annotations

from adaptive_scheduler.core.jobs.nodes import AVOIDED, DEATHS, NodeHealth


def book(*seen: str) -> NodeHealth:
    nodes = NodeHealth()
    for node in seen:
        nodes.see([node])
    return nodes


def test_fault_18_a_node_that_kills_three_jobs_is_avoided() -> None:
    """Fault 18."""
    nodes = book("good", "bad")
    for n in range(DEATHS):
        assert nodes.excluded(0.0) == ()
        nodes.note_death("bad", f"{n}", None, 0.0)
    assert nodes.excluded(1.0) == ("bad",)
    assert nodes.excluded(AVOIDED + 1.0) == (), "nodes get repaired"


def test_three_deaths_with_one_item_are_that_items_fault() -> None:
    nodes = book("a", "b")
    for n in range(9):
        nodes.note_death("a", f"{n}", 7, 0.0)
    assert nodes.excluded(0.0) == ()
    nodes.note_death("a", "x", 8, 0.0)
    nodes.note_death("a", "y", 9, 0.0)
    assert nodes.excluded(0.0) == ("a",)


def test_never_more_than_half_the_worst_first() -> None:
    nodes = book("a", "b", "c", "d")
    for rank, node in enumerate("abcd"):
        for n in range(DEATHS + rank):
            nodes.note_death(node, f"{node}{n}", None, 0.0)
    assert nodes.excluded(0.0) == ("d", "c")


def test_the_only_node_and_an_unknown_one_are_never_avoided() -> None:
    nodes = book()
    for n in range(9):
        nodes.note_death("only", f"{n}", None, 0.0)
        nodes.note_death("", f"{n}", None, 0.0)
    assert nodes.excluded(0.0) == ()
