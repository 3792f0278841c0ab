"""A run in a folder with a learners file: ``ends_driver FOLDER notebook|low-level OPTIONS``."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from adaptive_scheduler import scheduler, server_support

LEARNERS_FILE = """
import os
import time
from functools import partial

import adaptive

HERE = {folder!r}


def slow(ledger, x):
    time.sleep({seconds})
    fd = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, f"{{x!r}}\\n".encode())
    os.close(fd)
    return x


learners = [
    adaptive.SequenceLearner(partial(slow, f"{{HERE}}/ledger{{n}}"), [float(x) for x in range({points})])
    for n in range({learners})
]
fnames = [f"{{HERE}}/data/{{n}}" for n in range({learners})]
"""
RUN_SCRIPT = """
import sys

sys.path.insert(0, {folder!r})
from adaptive_scheduler import client_support
from learners_file import fnames, learners

if __name__ == "__main__":
    client_support.run(None, learners, fnames, goal=None)
"""


def make_scheduler(options: dict[str, Any]) -> Any:
    kind = {"local": scheduler.LocalScheduler, "slurm": scheduler.SLURM}[options["system"]]
    return kind(python_executable=sys.executable, **options["scheduler"])


def notebook(folder: Path, options: dict[str, Any]) -> None:
    """What a notebook does, or a script."""
    from learners_file import fnames, learners

    run = server_support.RunManager(
        make_scheduler(options), learners, fnames, folder=folder / "run",
        max_jobs=options["jobs"], client_patience=options["patience"],
        interval=1,
    )  # fmt: skip
    run.start()
    run.wait()


async def low_level(folder: Path, options: dict[str, Any]) -> None:
    """The manager is a thread of this process, and dies with it."""
    from learners_file import fnames

    database = folder / "running.tinydb"
    server_support.create_empty_db(database, fnames)
    names = [f"job{n}" for n in range(options["jobs"])]
    await asyncio.gather(
        server_support.manage_database(server_support.get_allowed_url(), database),
        server_support.manage_jobs(
            names, database, interval=1, run_script=folder / "run_learner.py",
            scheduler=make_scheduler(options), client_patience=options["patience"],
        ),
    )  # fmt: skip


def write(folder: Path, learners: int, points: int, seconds: float) -> None:
    """Write the files of a case."""
    folder.mkdir(parents=True)
    text = LEARNERS_FILE.format(
        folder=str(folder), learners=learners, points=points, seconds=seconds
    )
    (folder / "learners_file.py").write_text(text)
    (folder / "run_learner.py").write_text(RUN_SCRIPT.format(folder=str(folder)))


if __name__ == "__main__":
    here = Path(sys.argv[1])
    sys.path.insert(0, str(here))
    given = json.loads(sys.argv[3])
    if sys.argv[2] == "notebook":
        notebook(here, given)
    else:
        asyncio.run(low_level(here, given))
