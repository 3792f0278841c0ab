"""The command line, as a person types it, on the LocalScheduler."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

import adaptive_scheduler
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.runs.manager_client import ManagerClient
from tests.clusters.slurm import PrivateSlurm
from tests.unit.test_json import check

LEARNERS = """
import time
from functools import partial
import adaptive

def h(x, offset):
    time.sleep(0.005)
    if offset in BAD:
        raise ValueError("no such offset")
    return x + offset

BAD = {bad}
learners = [adaptive.Learner1D(partial(h, offset=n), bounds=(-1, 1)) for n in range(3)]
fnames = [f"data/{{n}}" for n in range(3)]

def enough(learner):
    return learner.npoints >= 40
"""
LOCAL = ("--scheduler", "local", "--cores", "1", "--max-cores", "2", "--executor", "process-pool")


class Terminal:
    """A folder with a blank, and a batch system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "my runs"
        self.state = folder / "batch system"
        (folder / "home").mkdir()
        self.folder.mkdir()
        self.environ = os.environ | {
            "HOME": str(folder / "home"),
            "ADAPTIVE_SCHEDULER_LOCALBATCH": str(self.state),
            "ADAPTIVE_SCHEDULER_LOCALBATCH_IDLE": "1",
            "COLUMNS": "160",
        }

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "adaptive_scheduler.cli", *words]

    def run(self, *words: str, code: int | None = 0) -> str:
        done = subprocess.run(
            self.argv(*words), cwd=self.folder, env=self.environ, timeout=300,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert code is None or done.returncode == code, done.stdout
        return done.stdout

    def read(self, *words: str) -> list[dict[str, Any]]:
        """Run a command with ``--json``; returns its lines, each as its schema says."""
        argv = self.argv(*words, "--json")
        done = subprocess.run(
            argv,
            cwd=self.folder,
            env=self.environ,
            timeout=300,
            capture_output=True,
            text=True,
            check=True,
        )
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        for line in lines:
            check(words[0], line)
        return lines

    def start(self, *words: str, output: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.argv(*words), cwd=self.folder, env=self.environ, stdout=output)

    def learners_file(self, bad: set[int] = frozenset()) -> str:  # type: ignore[assignment]
        (self.folder / "study.py").write_text(LEARNERS.format(bad=set(bad) or "set()"))
        return "study.py"

    def fake_slurm(self) -> None:
        """Put a Slurm on PATH that refuses everything."""
        programs = self.folder.parent / "programs"
        programs.mkdir()
        for name in ("sbatch", "squeue", "scancel"):
            (programs / name).write_text("#!/bin/sh\nexit 1\n")
            (programs / name).chmod(0o755)
        self.environ["PATH"] = f"{programs}:{self.environ['PATH']}"

    def status(self) -> dict[str, object]:
        text = self.run("status", "study", "--json", code=None)
        return json.loads(text)  # type: ignore[no-any-return]

    def until(self, is_so: Callable[[Snapshot], bool], seconds: float = 180.0) -> None:
        """Wait for a state of the run; a command would take half a second of a processor each time."""
        end = time.monotonic() + seconds
        with ManagerClient(RunFolder(self.folder / "study")) as client:
            while not is_so(snapshot := client.snapshot("none")):
                assert time.monotonic() < end, snapshot
                time.sleep(0.1)

    def queue(self) -> list[str]:
        argv = [sys.executable, "-m", "adaptive_scheduler.localbatch", "queue"]
        done = subprocess.run(argv, env=self.environ, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()[:-1]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path)
    yield terminal
    if (terminal.folder / "study" / "db.tinydb.run" / "run.json").exists():
        terminal.run("cancel", "study", code=None)
    end = time.monotonic() + 180  # a job that was cancelled completes for a moment
    while left := terminal.queue():
        assert time.monotonic() < end, left
        time.sleep(0.1)


@pytest.mark.parametrize("words", [["list"], ["list", "--json"]], ids=" ".join)
def test_a_full_disk_where_the_output_goes_is_told(tmp_path: Path, words: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "adaptive_scheduler.cli", *words],
            cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "Error: the output cannot be written: No space left on device. Make room, and run the command again."
    ]


def test_help_lists_commands_and_exit_codes_and_is_fast(terminal: Terminal) -> None:
    text = terminal.run("--help")
    for command in ("run", "status", "logs", "cancel", "resume", "retry", "doctor", "check", "manager",
                    "tasks", "task", "prioritise", "pool"):  # fmt: skip
        assert f" {command} " in text
    assert "Exit codes" in text
    before = os.times()
    terminal.run("run", "--help")
    after = os.times()
    spent = (
        after.children_user + after.children_system - before.children_user - before.children_system
    )
    assert spent < 2.0, "seconds of processor time; expected: 0.2"


def test_a_run_from_start_to_end(terminal: Terminal) -> None:
    (plan,) = terminal.read(
        "run", terminal.learners_file(), *LOCAL, "--goal", "enough", "--dry-run"
    )
    assert "adaptive_scheduler" in plan["job_script"]
    assert (plan["dry_run"], plan["learners"]) == (True, 3)
    assert not (terminal.folder / "study").exists()
    text = terminal.run("run", terminal.learners_file(), *LOCAL, "--goal", "enough")
    assert "3/3 done" in text
    assert terminal.status()["points"] >= 120  # type: ignore[operator]
    assert sorted(path.name for path in (terminal.folder / "data").iterdir()) == ["0", "1", "2"]
    assert "3/3" in terminal.run("status")  # the only run below this folder
    assert "learner_stopped" in terminal.run("logs", "study", "1")
    assert "jobs_submitted" in terminal.run("logs", "study")
    history = json.loads(terminal.run("logs", "study", "1", "--json"))
    assert "learner_stopped" in [entry["event"] for entry in history["entries"]]
    assert [learner["id"] for learner in history["learners"]] == [1]


def test_a_finished_run_has_nothing_to_resume_or_cancel_or_retry(terminal: Terminal) -> None:
    lines = terminal.read("run", terminal.learners_file(), *LOCAL, "--goal", "10")
    assert [line["phases"] for line in lines] == [{"done": 3}]
    for command in ("resume", "cancel"):
        text = terminal.run(command, "study")
        assert f"Nothing to {command}: all 3 learners have ended: 3 done." in text
    assert "Nothing to retry" in terminal.run("retry", "study")
    assert terminal.status()["alive"] is False
    assert "1 learner queued again" in terminal.run("retry", "study", "data/2")
    assert "3/3 done" in terminal.run("status", "study", "--watch")


def test_a_second_run_of_a_folder_stays_on_its_scheduler(terminal: Terminal) -> None:
    terminal.run("run", terminal.learners_file(), *LOCAL, "--goal", "10")
    terminal.fake_slurm()
    text = terminal.run("run", "study.py", "--goal", "20")
    assert "those of the last start (local)" in text
    assert "3/3 done" in text
    assert terminal.status()["points"] >= 60  # type: ignore[operator]


def test_a_goal_in_the_past_makes_no_failed_learner_done(terminal: Terminal) -> None:
    terminal.run("run", terminal.learners_file({1}), *LOCAL, "--goal", "10", code=1)
    text = terminal.run("run", "study.py", *LOCAL, "--goal", "2020-01-01", code=2)
    assert "has passed" in text
    assert terminal.status()["phases"] == {"done": 2, "failed": 1}


def test_a_dry_run_shows_what_would_be_submitted_and_writes_nothing(terminal: Terminal) -> None:
    words = ("run", terminal.learners_file(), *LOCAL, "--goal", "10", "--dry-run")
    text = terminal.run(*words)
    assert "#!/bin/bash -l" in text
    assert "Nothing is submitted. Without --dry-run: 3 learners" in text
    assert "local cannot be asked without submitting a job" in text
    assert sorted(path.name for path in terminal.folder.iterdir() if path.suffix != ".pyc") in (
        ["study.py"], ["__pycache__", "study.py"]
    )  # fmt: skip
    assert terminal.queue() == []


@pytest.mark.slurm
@pytest.mark.timeout(300)
def test_a_dry_run_asks_slurm_and_tells_what_it_would_never_run(
    terminal: Terminal, slurm: PrivateSlurm
) -> None:
    terminal.environ.update(slurm.env)
    words = ("run", terminal.learners_file(), "--scheduler", "slurm", "--goal", "10", "--dry-run",
             "--executor", "process-pool")  # fmt: skip
    text = terminal.run(*words, "--cores", "1")
    assert "The batch system would take jobs of 1 core" in text
    assert "to start at" in text
    refused = terminal.run(*words, "--cores", "64", code=4)
    assert "The batch system refuses jobs of 64 cores" in refused
    assert slurm.run("squeue", "--noheader").stdout.strip() == ""


def test_the_version_is_printed(terminal: Terminal) -> None:
    assert adaptive_scheduler.__version__ in terminal.run("--version")


def test_fault_27_failures_are_told_and_retried_with_mended_functions(terminal: Terminal) -> None:
    text = terminal.run("run", terminal.learners_file({1}), *LOCAL, "--goal", "40", code=1)
    assert "no such offset" in text
    history = terminal.run("logs", "study", "data/1")
    assert "Traceback" in history
    assert "4 failures" in history
    terminal.learners_file()
    terminal.run("retry", "study", "1", "--learners-file", "study.py")
    assert "3/3 done" in terminal.run("status", "study", "--watch")
    terminal.run("retry", "study", "--goal", "60")
    terminal.run("status", "study", "--watch")
    assert terminal.status()["points"] >= 180  # type: ignore[operator]


def test_what_is_asked_of_a_manager_that_ends_just_then_is_done_without_it(
    terminal: Terminal,
) -> None:
    terminal.run("run", terminal.learners_file(), *LOCAL, "--goal", "1h", "--detach")
    lock = terminal.folder / "study" / "db.tinydb.run" / "manager.lock"
    manager = json.loads(lock.read_text())["pid"]
    os.kill(manager, signal.SIGSTOP)  # as it takes its last moments
    asking = terminal.start("retry", "study", "0")
    time.sleep(2)
    os.kill(manager, signal.SIGKILL)
    assert asking.wait(180) == 0
    terminal.run("cancel", "study")


def test_a_detached_run_whose_manager_is_killed_is_resumed_and_cancelled(
    terminal: Terminal,
) -> None:
    terminal.run("run", terminal.learners_file(), *LOCAL, "--goal", "1h", "--detach")
    terminal.until(lambda snapshot: snapshot.phases.get("running", 0) == 2)
    assert "its manager runs on" in terminal.run("resume", "study", "--if-dead")
    lock = terminal.folder / "study" / "db.tinydb.run" / "manager.lock"
    os.kill(json.loads(lock.read_text())["pid"], signal.SIGKILL)
    terminal.until(lambda snapshot: not snapshot.alive)
    assert "no manager runs" in terminal.run("status", "study", code=3)
    terminal.run("resume", "study", "--if-dead")
    terminal.until(lambda snapshot: snapshot.alive and snapshot.points > 0)
    text = terminal.run("cancel", "study")
    assert "3 learners cancelled" in text
    assert "Nothing is left in the queue" in text
    assert terminal.queue() == []
    terminal.run("status", "study", code=1)


def test_ctrl_c_while_watching_leaves_the_run_alone(terminal: Terminal) -> None:
    terminal.run("run", terminal.learners_file(), *LOCAL, "--goal", "1h", "--detach")
    shown = terminal.folder / "shown"
    with shown.open("wb") as output:
        watching = terminal.start("status", "study", "--watch", output=output)
    terminal.until(
        lambda snapshot: snapshot.phases.get("running", 0) == 2 and shown.stat().st_size > 0
    )
    watching.send_signal(signal.SIGINT)
    assert watching.wait(180) == 130
    assert terminal.status()["alive"] is True
    assert "its manager runs on" in terminal.run("resume", "study")
    assert "they have not ended yet" in terminal.run("retry", "study", "0", "1", "2")


def test_fault_23_ctrl_c_leaves_nothing_behind(terminal: Terminal) -> None:
    process = terminal.start("run", terminal.learners_file(), *LOCAL, "--goal", "1h")
    database = RunFolder(terminal.folder / "study").database  # written last
    end = time.monotonic() + 180
    while not database.exists():
        assert time.monotonic() < end
        time.sleep(0.1)
    terminal.until(lambda snapshot: snapshot.phases.get("running", 0) > 0)
    process.send_signal(signal.SIGINT)
    assert process.wait(180) == 130
    assert terminal.queue() == []
    assert terminal.status()["alive"] is False


def test_the_manager_as_a_job_of_its_own(terminal: Terminal) -> None:
    one = (
        "--goal",
        "1h",
        "--max-jobs",
        "1",
        "--detach",
        "--point-retries",
        "5",
        "--max-fails",
        "7",
    )
    terminal.run("run", terminal.learners_file(), *LOCAL, *one)
    config = read_config(RunFolder(terminal.folder / "study"))
    assert (config.point_retries, config.limits.max_fails) == (5, 7)
    terminal.until(lambda snapshot: snapshot.phases.get("running", 0) == 1)
    assert "lives already" in terminal.run("manager", "study", "--as-job", code=2)
    lock = terminal.folder / "study" / "db.tinydb.run" / "manager.lock"
    os.kill(json.loads(lock.read_text())["pid"], signal.SIGKILL)
    terminal.until(lambda snapshot: not snapshot.alive)
    terminal.run("manager", "study", "--as-job", "--walltime", "10m")
    terminal.until(lambda snapshot: snapshot.alive and snapshot.points > 0)
    names = [json.loads(row)["name"] for row in terminal.queue()]
    assert sorted(names) == ["study", "study-manager"]
    terminal.run("cancel", "study")
    end = time.monotonic() + 180
    while terminal.queue():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_check_prints_what_works(terminal: Terminal) -> None:
    text = terminal.run("check", *LOCAL, "--timeout", "60s")
    for told in ("Python and packages", "MPI and workers", "way back", "run folder", "data folder"):
        assert told in text
    assert "Nothing is wrong" in text
    assert list(terminal.folder.glob("adaptive-scheduler-check*")) == []


def test_check_of_a_pool_prints_what_tasks_would_have(terminal: Terminal) -> None:
    words = ("--scheduler", "local", "--cores", "2", "--max-cores", "2", "--timeout", "60s")
    text = terminal.run("check", "--tasks", *words)
    assert "cores, GPUs and memory for tasks" in text
    assert "2 cores, not bound: the batch system binds no jobs; no GPU" in text
    assert "MPI" not in text
    assert "Nothing is wrong" in text


def test_check_prints_a_remedy_for_what_fails(terminal: Terminal) -> None:
    text = terminal.run("check", *LOCAL, "--python", "/no/such/python", "--timeout", "30s", code=1)
    assert "fault   running the job" in text
    assert "/no/such/python" in text


@pytest.mark.parametrize(
    ("words", "told"),
    [(("run", "none.py", *LOCAL), "is no file"),
     (("run", "study.py", *LOCAL, "--goal", "soon soon"), "--goal"),
     (("run", "study.py", *LOCAL), "No --goal means"),
     (("run", "study.py", "--scheduler", "lsf", "--cores", "2"), "no such scheduler"),
     (("run", "study.py", "--scheduler", "local"), "Give --cores, or --nodes"),
     (("run", "study.py", *LOCAL, "--goal", "5", "--folder", "study.py"), "--folder 'study.py' must"),
     (("run", "stduy.py", *LOCAL), "Did you mean study.py?"),
     (("run", "study.py", *LOCAL, "--save-interval", "often", "--goal", "5"), "--save-interval 'often'"),
     (("status", "nowhere"), "is no run"),
     (("status",), "no run below")],
)  # fmt: skip
def test_bad_input_is_named_and_exits_with_2(
    terminal: Terminal, words: tuple[str, ...], told: str
) -> None:
    terminal.learners_file()
    assert told in " ".join(terminal.run(*words, code=2).split())
