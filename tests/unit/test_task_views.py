"""What people see of a run of tasks, its pools, and one task."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import Item, Phase, TaskItem
from adaptive_scheduler.core.tasks.pools import Pool
from adaptive_scheduler.core.wire.pools import PoolState
from adaptive_scheduler.core.wire.snapshot import (
    FAILED_TASKS,
    ItemView,
    JobRow,
    failed_task_views,
)
from adaptive_scheduler.runs.views import render, tasks
from adaptive_scheduler.runs.views.status import RunSnapshot, status_of

POOL = Pool(name="gpu", resources=Resources(cores=4, gpus=2, walltime=5400), max_jobs=3,
            accepts=["train"])  # fmt: skip


def snapshot(**changes: Any) -> RunSnapshot:
    fields: dict[str, Any] = {
        "run": "ab12", "database": "/runs/x/db.tinydb", "time": 1_000_600.0, "kind": "task",
        "started": 1_000_000.0, "scheduler": "slurm", "manager": "login1:77", "submitted": 2,
        "phases": {"done": 90, "running": 4, "failed": 25, "queued": 1000},
        "pools": [PoolState(POOL, 1, 1, 4, 3, 5), PoolState(Pool(name="old", resources=Resources(),
                  is_removed=True), 0, 0, 0, 0, 0)],
        "jobs": [JobRow("17", state="RUNNING", host="n1", silent=1.0, tasks=5, cores=4, used=3),
                 JobRow("here:vm:3", state="by hand", host="vm", tasks=1, cores=2, used=1)],
        "items": [ItemView(7, "a $x [b]", Phase.FAILED, reason="ValueError: no\nmore")],
        "ended_by": {"value": 1090, "signal": 2, "back": 50}, "ended_per_second": 1234.56,
    }  # fmt: skip
    return RunSnapshot(**(fields | changes))


def shown(view: object) -> str:
    console = Console(file=io.StringIO(), width=200, color_system=None, force_jupyter=False)
    with console.capture() as capture:
        console.print(view)
    return "\n".join(" ".join(line.split()) for line in capture.get().splitlines())


def test_a_run_of_tasks_shows_pools_jobs_and_ends() -> None:
    text = shown(render.overview(snapshot()))
    assert "2 jobs running, 2 submitted; 1,235 ended/s, 4 of 6 cores in use" in text
    ends = "tries that ended since the manager started: 1,090 with a value, 2 killed by a signal"
    assert ends in text
    assert "gpu 1 1 3 4 3 5 4 cores, 2 GPUs, walltime 1.5h, tags train only" in text.replace(
        "90m", "1.5h"
    )
    assert "joined by hand 1 0 2 1 1 vm" in text
    assert "old" not in text
    assert "17 RUNNING n1 5 4 3 1 s ago" in text
    assert "task 7 a $x [b]: ValueError: no" in text
    assert "and 24 more: adaptive-scheduler tasks RUN --state failed" in text
    assert "points" not in text
    assert "learner" not in text


def test_a_job_of_several_nodes_says_which_are_missing_or_lost() -> None:
    job = JobRow("17", state="RUNNING", host="n1", silent=1.0, tasks=5, cores=8, used=3, nodes=4, missing=1,
                 lost=["n3"])  # fmt: skip
    text = shown(render.overview(snapshot(jobs=[job])))
    assert "17 RUNNING n1 +3 5 8 3 1 s ago 1 node not there yet; lost: n3" in text


def test_a_held_run_and_a_run_without_a_manager() -> None:
    held = snapshot(notes=["held: no such account. Mend it, then resume."])
    assert "HELD" in shown(render.overview(held))
    dead = shown(render.overview(snapshot(alive=False)))
    assert "no manager runs: adaptive-scheduler resume" in dead
    assert "ended/s" not in dead
    assert status_of(snapshot(alive=False)) == "manager dead"


def test_the_tasks_that_failed_last_are_shown_each_once() -> None:
    rows: list[Item] = [TaskItem(n, "", Phase.FAILED, reason=f"{n}") for n in range(40)]
    rows[39] = TaskItem(39, "", Phase.DONE)
    found = failed_task_views(rows, [*range(40), -1, 38])
    assert [view.id for view in found] == list(range(38, 38 - FAILED_TASKS, -1))
    assert failed_task_views([], []) == []


def test_all_of_a_task_is_shown_and_nothing_that_is_empty() -> None:
    known: dict[str, Any] = {
        "task": 7, "state": "running", "name": "a [b] $x", "reason": "", "what": "f('[red]')",
        "resources": "1 node", "tag": "t", "key": "", "priority": -2.5, "after": [3, 4],
        "attempts": 2, "fails": 1, "crashes": 1, "cuts": 0, "losses": 2, "retries": 3, "created": 1e9,
        "handed_out": 1e9 + 1, "begun": None, "ended": None, "seconds": None, "worked": 7.25,
        "job": "17", "node": "n1", "pid": 0, "code": 0, "peak": None, "folder": "", "log": "",
        "value": "", "waits_in_job": True, "files": [], "waits": ["job 17 has it already"],
        "history": [{"what": "handed out", "at": 1e9 + n, "job": "17"} for n in range(6)],
    }  # fmt: skip
    text = "\n".join(line.plain for line in tasks.task_lines(known))
    assert text.startswith("task 7  handed out  a [b] $x")
    assert "what       f('[red]')" in text
    assert "waits for  task 3, task 4" in text
    assert "tries      2 (1 failed, 1 died, 2 lost with its node, 3 more allowed)" in text
    assert "7.25 s with earlier tries" in text
    assert "where      job 17, node n1" in text
    assert "\nWhy it waits:\n  job 17 has it already\nHistory:\n" in text
    assert text.count("  handed out (job 17)") == 6
    for empty in ("why", "key", "value", "output", "process", "begun"):
        assert f"\n{empty}" not in text
    table = {**known, "reason": "ValueError: " + "x" * 200}
    assert "x…" in shown(tasks.tasks_table([table]))
