"""The commands about tasks, as a person types them: while a run goes on, after it, without its manager."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adaptive_scheduler import Command, Executor, TaskResources, float_file
from adaptive_scheduler.cli import app
from adaptive_scheduler.commandline.output.terminal import console
from adaptive_scheduler.core.config import RunConfig, Timing
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.disk.lock import holder
from adaptive_scheduler.io.storage import database
from adaptive_scheduler.io.storage.row_codec import new_tables
from adaptive_scheduler.io.storage.run_config import write_config
from adaptive_scheduler.runs.driver.start_run import start_run
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.runs.run_manager import run_folder
from adaptive_scheduler.scheduler import Here, LocalScheduler
from tests.unit.test_json import check

PATIENCE = 180.0
#: As a person may call a folder and a task.
NAME = "two $HOME `x` 'y'"


def typed(*words: object, code: int = 0) -> str:
    """Run a command in this process; returns what it printed, on one line."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


def read(*words: object, code: int = 0) -> list[dict[str, Any]]:
    """Run a command with ``--json``; returns its lines, each as its schema says."""
    given = [str(word) for word in words]
    done = CliRunner().invoke(app, [*given, "--json"])
    assert done.exit_code == code, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for line in lines:
        check(" ".join(given[:2]) if given[0] == "pool" else given[0], line)
    return lines


def until(is_so: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    end = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < end, f"not within {seconds:g} s"
        time.sleep(0.05)
    return found


def start(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "adaptive_scheduler.cli", *map(str, words)], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, process_group=0,
    )  # fmt: skip


def are_done(tasks: list[dict[str, Any]]) -> bool:
    """Whether all are done; a failed one fails the test at once."""
    assert not [one for one in tasks if one["state"] == "failed"]
    return all(one["state"] == "done" for one in tasks)


def root(x: float) -> float:
    if x < 0:
        raise ValueError(f"{x} has no root")
    return float(x**0.5)


def wait_for(path: str) -> str:
    while not Path(path).exists():
        time.sleep(0.02)
    return "there"


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "width", 250)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that is over: 12 roots, the one of -1 among them, three commands, a sleep too long."""
    folder = tmp_path_factory.mktemp("my runs") / NAME
    with Executor(Here(slots=2), folder=folder) as executor:
        executor.options(tag="roots", name=NAME).submit_many(root, [4, -1, *range(10)])
        for x in (0, 3):
            executor.options(tag="shell", key=f"x={x}").submit(
                Command("echo hello {x}; exit {x}"), x=x
            )
        executor.options(timeout=0.2).submit(time.sleep, 100)
        executor.submit(Command("echo 2.5 > f", value=float_file("f")))
    found = run_folder(folder, "")
    until(lambda: not found.manager.exists())
    return found


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Executor]:
    """A run on one core that waits: its first task ends when the file ``go`` is there."""
    with Executor(Here(slots=1), folder=tmp_path / NAME) as executor:
        executor.options(tag="wait").submit(wait_for, str(tmp_path / "go"))
        other = TaskResources(walltime=60.0)  # so that none waits in the head behind the first
        executor.options(tag="later", resources=other).submit_many(root, range(10))
        until(lambda: [row["state"] for row in executor.tasks()][:1] == ["running"])
        yield executor
        (tmp_path / "go").touch()


# ----------------------------------------------------------------------- what is shown


def test_tasks_are_listed_by_state_and_tag(ended: RunFolder) -> None:
    text = typed("tasks", ended.home)
    assert "16 tasks: 13 done, 3 failed." in text
    assert NAME in text
    assert [row["task"] for row in read("tasks", ended.home, "--state", "failed")] == [1, 13, 14]
    assert [row["task"] for row in read("tasks", ended.home, "--tag", "shell")] == [12, 13]
    assert "the first 3 of 16" in typed("tasks", ended.home, "--limit", "3")
    assert "None is queued. 16 tasks" in typed("tasks", ended.home, "--state", "queued")


def test_all_of_one_task_is_shown(ended: RunFolder) -> None:
    text = typed("task", ended.home, "0")
    assert f"task 0 done {NAME}" in text
    assert "what root(4)" in text
    assert "value 2.0" in text
    text = typed("task", ended.home, "1")
    assert "-1 has no root" in text
    assert "Traceback (most recent call last)" in text
    assert "To run it again: adaptive-scheduler retry" in text
    assert re.search(r"submitted \S+, handed out \S+, begun \S+, ended \S+, told to a driver", text)
    text = typed("task", ended.home, "15")
    assert "value 2.5" in text
    assert "files f, params.json" in text
    assert "why it ran for longer than its timeout of 0.2 s" in typed("task", ended.home, "14")
    text = typed("logs", ended.home, "x=3")  # by its key
    assert "exit code 3" in text
    assert "The end of its output: hello 3" in text
    (found,) = read("task", ended.home, "13")
    assert (found["state"], found["code"], found["output_tail"]) == ("failed", 3, "hello 3")
    assert Path(found["log"]).read_text() == "hello 3\n"


def test_json_of_real_tasks_is_as_its_schema_says(ended: RunFolder) -> None:
    for number in (0, 1, 12, 13, 14, 15):
        (found,) = read("task", ended.home, number)
        assert found["task"] == number
        (found,) = read("logs", ended.home, number)
        assert found["task"] == number
    assert len(read("tasks", ended.home)) == 16
    assert read("status", ended.home, code=1)[0]["total"] == 16
    assert read("report", ended.home)[0]["run"]["total"] == 16
    assert read("explain", ended.home, "13")[0]["cause"] == "failed"
    (found,) = read("cancel", ended.home, "3-4")
    assert (found["cancelled"], found["ended_before"]) == (0, 2)


def test_a_run_that_is_over(ended: RunFolder) -> None:
    text = typed("status", ended.home, code=1)
    assert "13/16" in text
    assert "task 13: ended with status 3" in text
    assert f"task 1 {NAME}: ValueError: -1 has no root" in text
    assert "learner" not in text
    (found,) = read("status", ended.home, code=1)
    assert (found["kind"], found["over"], found["jobs"]) == ("task", True, [])
    for command in ("cancel", "resume"):
        text = typed(command, ended.home)
        assert f"Nothing to {command}: all 16 tasks have ended: 13 done, 3 failed." in text
    assert "0 tasks cancelled; 2 had ended before." in typed("cancel", ended.home, "3-4")
    assert "0 tasks have priority -2; 1 had ended before." in typed(
        "prioritise", ended.home, "3", "-2"
    )
    assert "No pools" in typed("pool", "list", ended.home) == typed("pool", ended.home)
    (pools,) = read("pool", "list", ended.home)
    assert (pools["pools"], pools["joined"]) == ([], [])
    assert "No such command 'lsit'" in typed("pool", "lsit", ended.home, code=2)
    assert "nowhere is no run" in typed("pool", "nowhere", code=2)
    assert "has ended" in typed("pool", "join", ended.home, code=2)


@pytest.mark.parametrize(
    ("words", "told"),
    [(("tasks", "--state", "fialed"), "Did you mean failed?"),
     (("tasks", "--tag", "shel"), "Did you mean shell? Tags of this run: roots, shell."),
     (("task", "99"), "There is no task 99"),
     (("task", "0-3"), "stands for 4 tasks"),
     (("task", "x=4"), "Did you mean x=3 or x=0?"),
     (("task",), "Which of its tasks?"),
     (("cancel", "5-99"), "its ids are 0 to 15"),
     (("cancel", "9-5"), "from a smaller id to a larger one"),
     (("cancel", "3", "--tag", "shell"), "not both"),
     (("prioritise", "3"), "tasks and the priority"),
     (("prioritise",), "Give tasks and the priority"),
     (("prioritise", "--priority", "3"), "or --tag and the priority"),
     (("prioritise", "3", "--priority", "high"), "high is no priority"),
     (("prioritise", "3", "high"), "high is no priority"),
     (("prioritise", "3", "nan"), "nan is no priority"),
     (("retry", "--goal", "5"), "this is a run of tasks"),
     (("pool", "add", "big", "--cores", "2"), "adaptive-scheduler pool join"),
     (("pool", "remove", "big"), "has no pools")],
)  # fmt: skip
def test_what_was_typed_wrong_is_named(ended: RunFolder, words: tuple[str, ...], told: str) -> None:
    at = 2 if words[0] == "pool" else 1
    assert told in typed(*words[:at], ended.home, *words[at:], code=2)


def test_a_run_of_learners_has_no_tasks(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "study")
    files.private_folder(folder.home)
    files.private_folder(folder.folder)
    write_config(folder, RunConfig("ab", [Resources()], ["study"], str(folder.logs)))
    database.create(folder.database, new_tables([Item(0, "a", Phase.QUEUED)], None))
    for words in (("tasks",), ("task", "3"), ("prioritise", "3", "1")):
        text = typed(words[0], folder.home, *words[1:], code=2)
        assert "is a run of learners" in text
    assert "is a run of learners" in typed("pool", "list", folder.home, code=2)
    assert "only tasks have tags" in typed("cancel", folder.home, "--tag", "x", code=2)
    assert "only tasks have tags" in typed("retry", folder.home, "--tag", "x", code=2)
    assert "1 learner cancelled" in typed("cancel", folder.home, "0")
    assert "0 learners cancelled; 1 had ended before" in typed("cancel", folder.home, "a")


def test_a_run_without_tasks(tmp_path: Path) -> None:
    with Executor(Here(slots=1), folder=tmp_path / "empty"):
        assert "No tasks yet." in typed("tasks", tmp_path / "empty")
        assert "no tasks yet" in typed("task", tmp_path / "empty", "0", code=2)
        assert "no tasks yet" in typed("cancel", tmp_path / "empty", "0", code=2)
        assert "more tasks may come" in typed("status", tmp_path / "empty")
        assert "last jobs end" in typed("cancel", tmp_path / "empty")
    assert read("tasks", tmp_path / "empty") == []


# ----------------------------------------------------------------------- while it runs


def test_a_run_is_watched_joined_and_changed(live: Executor, tmp_path: Path) -> None:
    home = live.folder.home
    (found,) = read("status", home)
    assert sum(job["used"] for job in found["jobs"]) == 1
    assert "1 of 1 cores in use" in typed("status", home)
    assert "2 tasks cancelled." in typed("cancel", home, "3", "4")
    assert "8 tasks have priority -2.5; 2 had ended before." in typed(
        "prioritise", home, "--tag", "later", "-2.5"
    )
    assert [row["priority"] for row in read("tasks", home)][5] == -2.5
    assert "1 task has priority -3." in typed("prioritise", home, "5", "--priority", "-3")
    assert "8 tasks have priority 2" in typed("prioritise", home, "--tag", "later", "--priority=2")
    text = typed("task", home, "5")
    assert "Why it waits: 2 tasks go first: they are older" in text
    assert "is in use: 1 core more must become free" in text
    assert "2 tasks queued again." in typed("retry", home, "3-4")
    assert "it has not ended yet" in typed("retry", home, "0")

    watching = start("status", home, "--watch")
    until(lambda: watching.stdout is not None and "done" in watching.stdout.readline())
    watching.send_signal(signal.SIGINT)
    text, _ = watching.communicate(timeout=PATIENCE)
    assert watching.returncode == 130
    assert "The run goes on" in text

    (found,) = read("pool", "join", home, "--slots", "1", "--dry-run")
    assert (found["slots"], found["dry_run"]) == (1, True)
    (own,) = read("pool", "list", home)[0]["joined"]  # that of the driver on this machine
    joined = start("pool", "join", home, "--slots", "1")
    try:
        until(lambda: are_done(live.tasks(tag="later")))
        assert "joined by hand" in typed("pool", "list", home)
        joined_now = read("pool", "list", home)[0]["joined"]
        (machine,) = [one for one in joined_now if one["id"] != own["id"]]
        assert machine["cores"] == 1
        assert machine["host"]
        assert [row["state"] for row in live.tasks(tag="wait")] == ["running"]
    finally:
        joined.send_signal(signal.SIGINT)
        text, _ = joined.communicate(timeout=PATIENCE)
    assert joined.returncode == 130, text
    assert "Traceback" not in text


def test_a_run_whose_manager_is_dead(live: Executor) -> None:
    home = live.folder.home
    lock = holder(live.folder.lock)
    assert lock is not None
    os.kill(lock.pid, signal.SIGKILL)
    with ManagerClient(live.folder) as client:
        until(lambda: not client.lives())
    assert "no manager runs" in typed("status", home, code=3)
    assert "11 tasks" in typed("tasks", home)
    assert "1 task cancelled." in typed("cancel", home, "5")
    assert "1 task has priority 3." in typed("prioritise", home, "6", "3")
    assert "has no manager" in typed("pool", "join", home, code=2)
    assert "The run goes on: 10 tasks to do" in typed("resume", home)
    assert [row["priority"] for row in live.tasks()][6] == 3.0
    with ManagerClient(live.folder) as client:
        until(client.lives)


# ----------------------------------------------------------------------- pools


def test_pools_are_added_and_removed(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / NAME, "pools")
    scheduler = LocalScheduler(cores=1, max_cores=2, kill_wait=5, state=tmp_path / "batch")
    start_run(folder, "pools", scheduler, Timing(beat=0.5, lease=30.0, interval=0.5, grace=3.0))
    executor = Executor.attach(folder.home)
    try:
        assert "--cores is missing" in typed("pool", "add", folder.home, "big", code=2)
        text = typed("pool", "add", folder.home, "big", "--cores", "2", "--max-jobs", "3")
        assert "Pool big (2 cores) added: at most 3 jobs at a time." in text
        text = typed("pool", "add", folder.home, "big", "--cores", "2", "--idle", "90s")
        assert "changed: at most 1 job at a time." in text
        assert "have other resources" in typed(
            "pool", "add", folder.home, "big", "--cores", "1", code=3
        )
        assert "letters, digits" in typed("pool", "add", folder.home, "a b", "--cores", "1", code=3)
        (found,) = read("pool", "list", folder.home)
        pools = [(one["pool"]["name"], one["pool"]["idle"]) for one in found["pools"]]
        assert pools == [("big", 90.0)]
        (found,) = read("pool", "add", folder.home, "big", "--cores", "2", "--idle", "90s")
        assert (found["is_new"], found["pool"]["idle"]) == (False, 90.0)
        assert executor.submit(root, 9).result(PATIENCE) == 3.0
        # its head may have come before the job is listed as one that runs
        until(lambda: "big 1 0 1 2 0 0 2 cores" in typed("status", folder.home))
        assert "Did you mean big?" in typed("pool", "remove", folder.home, "bg", code=2)
        text = typed("pool", "remove", folder.home, "big")
        assert "Pool big removed; its 1 job ends when what runs in them has ended." in text
        until(lambda: not read("status", folder.home)[0]["jobs"])
    finally:
        executor.shutdown()
        typed("cancel", folder.home)
