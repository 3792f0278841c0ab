"""The plan of a kill campaign: its jobs have tasks until all has been broken that is to be broken."""

from __future__ import annotations

from pathlib import Path

from tests.task_campaign.plan import Plan


def test_what_is_supplied_is_in_the_plan_of_each_later_life(tmp_path: Path) -> None:
    plan = Plan(str(tmp_path), "local", 7, calls=20, commands=5)
    planned = plan.planned()
    assert plan.tasks() == planned
    more = plan.supply(30) + plan.supply(10)
    again = Plan(str(tmp_path), "local", 7, calls=20, commands=5)
    assert again.tasks() == planned + more
    assert len({one["key"] for one in again.tasks()}) == 25 + 40
    assert {one["kind"] for one in more} == {"call", "command"}
