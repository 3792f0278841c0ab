"""The low-level way as the README prints it, on the private Slurm."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from adaptive_scheduler.server_support import get_database
from tests.effort import times

EXAMPLES = Path(__file__).parents[2] / "examples"

LEARNERS = times(4, 10)
#: The notebook's cell; a script must run its loop, a notebook has one that runs.
CELL = """
import asyncio, sys
from adaptive_scheduler import server_support
from learners_file import learners, fnames
ioloop = asyncio.new_event_loop()
asyncio.set_event_loop(ioloop)
job_names = [f"test-job-{i}" for i in range(3)]
server_support.create_empty_db("running.tinydb", fnames)
url = server_support.get_allowed_url()
database_task = ioloop.create_task(server_support.manage_database(url, "running.tinydb"))
job_task = ioloop.create_task(server_support.manage_jobs(
    job_names, db_fname="running.tinydb", ioloop=ioloop, cores=3, interval=3,
    run_script="run_learner.py", python_executable=sys.executable))
ioloop.run_until_complete(asyncio.gather(database_task, job_task))
"""


def environment(**more: str) -> dict[str, str]:
    """This environment without what would say that Slurm is another system."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ADAPTIVE_SCHEDULER")}
    return {**kept, **more}


@pytest.mark.slurm
@pytest.mark.mpi
@pytest.mark.slow
def test_the_three_files_of_the_readme_run_on_slurm(slurm, tmp_path):
    folder = tmp_path / "three files"
    folder.mkdir()
    for name in ("learners_file.py", "run_learner.py"):
        shutil.copy(EXAMPLES / name, folder)
    file = folder / "learners_file.py"  # fewer of the same learners
    file.write_text(file.read_text().replace("range(10)", f"range({LEARNERS})"))
    done = subprocess.run(
        [sys.executable, "-c", CELL], cwd=folder, env=environment(**slurm.env),
        capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    logs = "\n".join(p.read_text(errors="replace") for p in (folder / "logs").glob("*.out"))
    assert done.returncode == 0, done.stderr + logs
    rows = get_database(folder / "running.tinydb")
    assert [row["phase"] for row in rows] == ["done"] * LEARNERS
    assert slurm.run("squeue", "-h").stdout.strip() == ""
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
