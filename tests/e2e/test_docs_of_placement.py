"""The programs and the table in docs/placement.md, as a reader runs them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.tasks.demand import PoolJobs, jobs_beside
from adaptive_scheduler.core.tasks.pools import Pool
from adaptive_scheduler.core.tasks.resources import STEPS, TaskResources
from adaptive_scheduler.core.tasks.starvation import STARVE_AFTER
from adaptive_scheduler.core.tasks.task_state import NODE_PATIENCE
from adaptive_scheduler.core.tasks.task_submits import MOST_EXACT
from tests.e2e.test_docs_of_tasks import ROOT, run

TEXT = (ROOT / "docs" / "placement.md").read_text()
BLOCKS = re.findall(r"<!-- run -->\n```python\n(.*?)```", TEXT, re.DOTALL)
#: By these, tasks wait for files.
WAITS = """
def wait_for(n, pattern):
    import glob
    while len(glob.glob(pattern)) < n:
        time.sleep(0.02)

def wait_for_all():
    open(f"begun-{os.getpid()}", "w").close()
    wait_for(3, "begun-*")

"""
#: What becomes of lines of the page. Its tasks sleep for half a second, so that others are beside them, or queued
#: behind them: here a process may stand still for longer, so they wait until the others are.
CHANGES = [
    ("    time.sleep(0.5)\n    return", "    wait_for_all()\n    return"),
    ("all_four.submit(time.sleep, 0.5)", 'all_four.submit(wait_for, 1, "go")'),
    (
        "for future in futures:\n    future.result()\n",
        """while [row["state"] for row in executor.tasks()].count("queued") < 3:
    time.sleep(0.02)
open("go", "w").close()
for future in futures:
    future.result()
""",
    ),
]  # fmt: skip


def test_the_blocks_of_the_page_run_one_after_the_other(tmp_path: Path) -> None:
    folder = tmp_path / "a reader's folder"
    folder.mkdir()
    code = "".join(BLOCKS)
    for old, new in CHANGES:
        assert code.count(old) == 1
        code = code.replace(old, new)
    (folder / "page.py").write_text(f"{WAITS}{code}")
    lines = run([sys.executable, "page.py"], folder).splitlines()
    assert lines[0] in ("shared: {'0'} own: 1", "shared: {'1'} own: 0")
    assert lines[1] == "by priority: [3, 2, 1]"
    assert [line.rpartition(" ")[2] for line in lines[2:]] == ["refused"] * 3


@pytest.mark.parametrize(
    ("row", "task", "n"),
    [
        ("8 of one core", TaskResources(), 8),
        ("9 of one core", TaskResources(), 9),
        ("3 of three cores", TaskResources(threads_per_rank=3), 3),
        ("2 of two whole nodes", TaskResources(nodes=2, threads_per_rank=4), 2),
    ],
)
def test_the_table_of_jobs_is_true(row: str, task: TaskResources, n: int) -> None:
    pool = Pool(name="p", resources=Resources(cores=8, nodes=2), max_jobs=9)
    told = re.search(rf"^\| {row}.*\| (\d+) \|$", TEXT, re.MULTILINE)
    assert told is not None
    assert jobs_beside(pool, {(task, ""): n}, PoolJobs()) == int(told[1])


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    assert STARVE_AFTER == NODE_PATIENCE == 60.0, "after a minute"
    assert f"first {MOST_EXACT} kinds" in TEXT
    assert STEPS == 4, "by a quarter at most"
