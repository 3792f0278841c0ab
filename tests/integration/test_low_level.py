"""The three-file way: a database, two tasks in a notebook's loop, and a script on the nodes."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import adaptive
import pytest
import tinydb

from adaptive_scheduler import server_support
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import DatabaseError, InputError, RunError, UserCodeError
from adaptive_scheduler.io.system import commands
from adaptive_scheduler.manager import in_process
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.schedulers.local import LocalScheduler
from tests.effort import times

EXAMPLES = Path(__file__).parents[2] / "examples"
LEARNERS_FILE = """
import adaptive, time
from functools import partial
def h(x, offset=0):
    time.sleep(0.005)
    return x + offset
combos = adaptive.utils.named_product(offset=[0, 1, 2])
learners, fnames = [], []
for combo in combos:
    learners.append(adaptive.Learner1D(partial(h, offset=combo["offset"]), bounds=(-1, 1)))
    fnames.append(f"data/{combo}")
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with the three files, with its own batch system."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "learners_file.py").write_text(LEARNERS_FILE)
    shutil.copy(EXAMPLES / "run_learner.py", folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_LOCALBATCH", str(tmp_path / "localbatch"))
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_SYSTEM", "local")
    return folder


def names_of(n: int = 3) -> tuple[list[Any], list[str]]:
    combos = adaptive.utils.named_product(offset=list(range(n)))
    return combos, [f"data/{combo}" for combo in combos]


def names() -> list[str]:
    return [f"test-job-{n}" for n in range(2)]


async def both(seconds: float, jobs_first: bool = False, **options: Any) -> None:
    """What the notebook does, then wait for both tasks."""
    url = server_support.get_allowed_url()
    order = [
        lambda: server_support.manage_database(url, "running.tinydb"),
        lambda: server_support.manage_jobs(
            names(), db_fname="running.tinydb", ioloop=asyncio.get_running_loop(), interval=1,
            **{"run_script": "run_learner.py", **options},
        ),
    ]  # fmt: skip
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(start()) for start in (reversed(order) if jobs_first else order)]
    await asyncio.wait_for(asyncio.gather(*tasks), seconds)


def points(folder: Path, fnames: list[str]) -> list[int]:
    found = []
    for fname in fnames:
        learner = adaptive.Learner1D(None, bounds=(-1, 1))
        learner.load(str(folder / fname))
        found.append(learner.npoints)
    return found


@pytest.mark.mpi
@pytest.mark.parametrize("with_combos", [True, False][: times(1, 2)])
def test_three_files(here: Path, with_combos: bool) -> None:
    combos, fnames = names_of()
    server_support.create_empty_db("running.tinydb", fnames, combos if with_combos else None)
    asyncio.run(both(250, jobs_first=with_combos, cores=2, max_cores=4))
    assert min(points(here, fnames)) >= 200
    rows = server_support.get_database("running.tinydb")
    assert [row["phase"] for row in rows] == ["done"] * 3
    assert [row.get("combo") for row in rows] == (combos if with_combos else [None] * 3)
    with tinydb.TinyDB("running.tinydb") as plain:  # the file is exact after the end
        assert len(plain.search(tinydb.where("phase") == "done")) == 3
    told = {row["name"] for row in tinydb.TinyDB("running.tinydb").table("jobs").all()}
    assert told == set(names())
    queue = commands.run(LocalScheduler(1).queue_command(), 30)
    assert queue.stdout.strip() == '{"rows": 0}'


def test_jobs_with_a_script_of_the_users(here: Path) -> None:
    _, fnames = names_of()
    (here / "mine.py").write_text(
        "from adaptive_scheduler import client_support\n"
        "from learners_file import learners, fnames\n"
        "learner, fname = client_support.get_learner(None, learners, fnames)\n"
        "for x in range(7):\n    learner.tell(x / 10, x)\n"
        "client_support.is_done(None, fname)\n"
    )
    seen: list[dict[str, Any]] = []

    def text(name: str, cores: int, run_script: str, python_executable: str) -> str:
        seen.append({"name": name, "cores": cores, "run_script": run_script})
        return f"#!/bin/bash\n# mine\n{shlex.join([python_executable, run_script])}\n"

    server_support.create_empty_db("running.tinydb", fnames)
    asyncio.run(
        both(250, run_script="mine.py", job_script_function=text, scheduler=LocalScheduler(
            1, max_cores=2, executor_type="sequential"
        ))
    )  # fmt: skip
    assert points(here, fnames) == [7, 7, 7]
    assert seen[0] == {"name": "test-job-0", "cores": 1, "run_script": str(here / "mine.py")}


def test_a_script_function_that_raises(here: Path) -> None:
    def text(name: str) -> str:
        raise KeyError(name)

    async def main() -> None:
        server_support.create_empty_db("running.tinydb", ["a"])
        database = asyncio.create_task(server_support.manage_database(None, "running.tinydb"))
        with pytest.raises(UserCodeError, match="your job_script_function raised KeyError"):
            await server_support.manage_jobs(names(), "running.tinydb", job_script_function=text)
        database.cancel()
        await asyncio.wait([database])

    asyncio.run(main())


def test_a_busy_cell_does_not_hold_it_up_and_cancelling_ends_it(here: Path) -> None:
    async def main() -> None:
        server_support.create_empty_db("running.tinydb", ["a", "b"])
        task = asyncio.create_task(
            server_support.manage_database(server_support.get_allowed_url(), "running.tinydb")
        )
        engine = await in_process.find_engine(RunFolder("running.tinydb"))
        with ManagerClient("running.tinydb") as viewer:
            # no await from here on: the loop is busy, and only the manager answers
            assert viewer.snapshot().phases == {"queued": 2}
        with pytest.raises(RunError, match="the manager of this run is process"):
            await server_support.manage_database(None, "running.tinydb")
        with pytest.raises(RunError, match="the manager of this run"):
            server_support.create_empty_db("running.tinydb", ["a"])
        task.cancel()
        await asyncio.wait([task])
        assert engine.ended.is_set()
        assert not ManagerClient("running.tinydb").lives()
        assert ManagerClient("running.tinydb").snapshot("all").items[1].fname == str(here / "b")

    asyncio.run(main())


def test_jobs_without_a_database(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_process, "PATIENCE", 0.2)
    with pytest.raises(RunError, match=r"found no database manager of .*running\.tinydb in this"):
        asyncio.run(server_support.manage_jobs(names(), "running.tinydb"))
    with pytest.raises(DatabaseError, match="Make it with create_empty_db"):
        asyncio.run(server_support.manage_database(None, "running.tinydb"))


@pytest.mark.parametrize(
    ("job_names", "options", "words"),
    [
        ([], {}, r"job_names=\[\]"),
        (["a", "a"], {}, "'a' is there twice"),
        (["a"], {"run_script": "no.py"}, "run_script='no.py' is no file"),
        (["a"], {"interval": 0}, "interval=0"),
        (["a"], {"cores": (1, 2)}, "use RunManager"),
        (["a"], {"colour": "red"}, "unknown argument 'colour'"),
    ],
)
def test_bad_jobs(here: Path, job_names: list[str], options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        asyncio.run(server_support.manage_jobs(job_names, "running.tinydb", **options))


def test_no_batch_system(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADAPTIVE_SCHEDULER_SYSTEM")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    with pytest.raises(InputError, match="LocalScheduler"):
        asyncio.run(server_support.manage_jobs(["a"], "running.tinydb"))


def test_log_files_with_a_torn_line(tmp_path: Path) -> None:
    (tmp_path / "7.log").write_bytes(
        b'{"event": "b", "timestamp": "2026-01-02T00:00:00Z"}\n\xff{torn'
    )
    (tmp_path / "8.log").write_text('{"event": "a", "timestamp": "2026-01-01T00:00:00Z"}\n')
    frame = server_support.parse_log_files(tmp_path)
    assert list(frame["event"]) == ["a", "b", "unreadable"]
    assert list(frame["job"]) == ["8", "7", "7"]
    assert len(server_support.parse_log_files([tmp_path / "8.log"])) == 1
    with pytest.raises(InputError, match="neither a log file nor a folder"):
        server_support.parse_log_files(tmp_path / "no")
