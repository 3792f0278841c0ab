"""What the campaign over nodes would find in a ledger: overlaps of cores and GPUs, by their numbers."""

from __future__ import annotations

from typing import Any

from tests.task_campaign.bookings import double_bookings, gpus_overbooked, too_many_at_a_time


def ran(key: str, begin: float, end: float, **where: Any) -> list[dict[str, Any]]:
    at = {"node": "n1", "job": "7", "cores": [0], "gpus": "", "key": key, "mark": key} | where
    return [{**at, "what": "begin", "at": begin}, {**at, "what": "lives", "at": end}]


def test_one_core_of_one_node_belongs_to_one_at_a_time_also_if_it_was_killed() -> None:
    ledger = ran("a", 0.0, 2.0) + ran("b", 1.0, 3.0)
    assert len(double_bookings(ledger, cores=3)) == 1
    assert double_bookings(ran("a", 0.0, 2.0) + ran("b", 2.5, 3.0), cores=3) == []
    assert double_bookings(ran("a", 0.0, 2.0) + ran("b", 1.0, 3.0, node="n2"), cores=3) == []
    assert double_bookings(ran("a", 0.0, 2.0) + ran("b", 1.0, 3.0, cores=[1]), cores=3) == []


def test_a_job_that_its_batch_system_cannot_end_runs_beside_others_but_not_beside_itself() -> None:
    ledger = ran("a", 0.0, 2.0) + ran("b", 1.0, 3.0, job="8")
    assert double_bookings(ledger, 3)
    assert double_bookings(ledger, 3, unwatched={"7"}) == []
    assert double_bookings(ran("a", 0.0, 2.0) + ran("b", 1.0, 3.0), 3, unwatched={"7"})


def test_a_gpu_holds_two_halves_and_each_rank_has_as_many_as_it_wanted() -> None:
    halves = [ran(key, 0.0, 1.0, cores=[n], gpus="0") for n, key in enumerate("abc")]
    shares = dict.fromkeys("abc", 0.5)
    assert gpus_overbooked(halves[0] + halves[1], shares) == []
    assert gpus_overbooked(halves[0] + halves[1] + halves[2], shares) == [
        "('n1', 'GPU 0'): 1.5 taken at a time"
    ]
    assert gpus_overbooked(ran("a", 0.0, 1.0, gpus="0"), {"a": 2.0})
    assert gpus_overbooked(ran("a", 0.0, 1.0, gpus="0"), {"a": 0.0})


def test_a_job_has_no_more_cores_in_use_on_a_node_than_it_has() -> None:
    ledger = ran("a", 0.0, 2.0) + ran("b", 1.0, 3.0) + ran("c", 1.0, 3.0, node="n2")
    threads = dict.fromkeys("abc", 1)
    assert too_many_at_a_time(ledger, threads, cores=2) == []
    assert len(too_many_at_a_time(ledger, threads, cores=1)) == 1
