"""The low-level way as docs/low-level.md prints it, on the private Slurm."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from adaptive_scheduler.server_support import get_database
from tests.effort import times

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "low-level.md").read_text()
#: The two files of the page, and its notebook's cell.
FILES = dict(re.findall(r'^```python title="(.*?)"\n(.*?)^```$', PAGE, re.DOTALL | re.MULTILINE))
LEARNERS = times(4, 10)
#: A script must make its loop, and run it; a notebook has one that runs.
CELL = (
    FILES["the notebook"]
    .replace(
        "ioloop = asyncio.get_event_loop()",
        "ioloop = asyncio.new_event_loop()\nasyncio.set_event_loop(ioloop)",
    )
    .replace("range(len(learners))", "range(3)")
    .replace("cores=32, interval=60", "cores=3, interval=3")
    + "\nioloop.run_until_complete(asyncio.gather(database_task, job_task))\n"
)


def environment(**more: str) -> dict[str, str]:
    """This environment without what would say that Slurm is another system."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ADAPTIVE_SCHEDULER")}
    return {**kept, **more}


@pytest.mark.slurm
@pytest.mark.mpi
@pytest.mark.slow
def test_the_three_files_of_the_page_run_on_slurm(slurm, tmp_path):
    folder = tmp_path / "three files"
    folder.mkdir()
    assert "new_event_loop" in CELL
    assert "range(3)" in CELL
    assert "cores=3," in CELL
    learners_file = FILES["learners_file.py"].replace(  # more of the same learners
        "[0.1, 0.2, 0.3]", f"[i / 10 - 0.45 for i in range({LEARNERS})]"
    )
    assert "range" in learners_file
    (folder / "learners_file.py").write_text(learners_file)
    (folder / "run_learner.py").write_text(FILES["run_learner.py"])
    done = subprocess.run(
        [sys.executable, "-c", CELL], cwd=folder, env=environment(**slurm.env),
        capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    logs = "\n".join(p.read_text(errors="replace") for p in (folder / "logs").glob("*.out"))
    assert done.returncode == 0, done.stderr + logs
    rows = get_database(folder / "running.tinydb")
    assert [row["phase"] for row in rows] == ["done"] * LEARNERS
    end = time.monotonic() + 60  # a job that has ended completes for a moment
    while queue := slurm.run("squeue", "-h").stdout.strip():
        assert time.monotonic() < end, queue
        time.sleep(0.1)
    sys.modules.pop("learners_file", None)  # another test of this process has one of its own
    sys.path.insert(0, str(folder))
    try:
        from learners_file import learners  # the same file, as a user would look at the results
    finally:
        sys.path.remove(str(folder))
    for learner, row in zip(learners, rows, strict=True):
        learner.load(row["fname"])
        assert learner.npoints >= 200, row
    key = (folder / "running.tinydb.run" / "keys" / "client.key").read_text().split('"')[-2]
    scripts = [p.read_text() for p in (folder / "running.tinydb.run" / "scripts").iterdir()]
    assert scripts
    assert not any(key in script for script in scripts)
