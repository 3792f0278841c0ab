"""`--json` of commands that stay: one line when they begin, for programs, and nothing else on stdout until their end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adaptive_scheduler import Executor
from adaptive_scheduler.scheduler import Here
from tests.integration.test_cli import LOCAL, Terminal
from tests.integration.test_cli import terminal as terminal  # noqa: PLC0414  a fixture
from tests.integration.test_cli_tasks import NAME, read, root, until
from tests.integration.web_server import make_run
from tests.unit.test_json import check

#: Seconds for an end; many times what it takes.
PATIENCE = 180


class Staying:
    """A command with ``--json``, which stays until it is told to end."""

    def __init__(self, errors: Path, *words: object) -> None:
        self._errors = errors
        with errors.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "adaptive_scheduler.cli", *map(str, words), "--json"],
                stdout=subprocess.PIPE, stderr=stderr, text=True, process_group=0,
            )  # fmt: skip

    def begun(self, command: str) -> dict[str, Any]:
        """Wait for its line; returns that, as its schema says."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.said()
        found: dict[str, Any] = json.loads(line)
        check(command, found)
        return found

    def ended(self, code: int) -> str:
        """Wait for its end, at which stdout has nothing more; returns what it told people."""
        rest, _ = self.process.communicate(timeout=PATIENCE)
        assert rest == ""
        assert self.process.returncode == code, self.said()
        assert "Traceback" not in self.said()
        return self.said()

    def said(self) -> str:
        return self._errors.read_text()


@contextmanager
def staying(errors: Path, *words: object) -> Iterator[Staying]:
    one = Staying(errors, *words)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate(timeout=PATIENCE)


def test_web(tmp_path: Path) -> None:
    make_run(tmp_path / NAME)
    with staying(tmp_path / "errors", "web", tmp_path / NAME) as page:
        found = page.begun("web")
        with urllib.request.urlopen(found["url"], timeout=PATIENCE) as answer:
            assert answer.status == 200
        assert f":{found['port']}/" in found["url"]
        page.process.send_signal(signal.SIGINT)
        said = page.ended(0)
    assert "Open in a browser" in said
    assert "Ended. Runs go on." in said


def test_pool_join_until_the_run_is_over_and_until_ctrl_c(tmp_path: Path) -> None:
    home = tmp_path / NAME
    with Executor(Here(slots=1), folder=home) as executor:
        with staying(tmp_path / "first", "pool", "join", home, "--slots", "1") as left:
            found = left.begun("pool join")
            assert (found["folder"], found["slots"], found["dry_run"]) == (str(home), 1, False)
            # beside the driver's own
            until(lambda: len(read("pool", "list", home)[0]["joined"]) == 2, PATIENCE)
            left.process.send_signal(signal.SIGINT)
            left.ended(130)
        with staying(tmp_path / "second", "pool", "join", home, "--slots", "1") as joined:
            joined.begun("pool join")
            assert list(executor.map(root, range(5))) == [root(x) for x in range(5)]
            executor.shutdown()
            joined.ended(0)


def test_a_manager_as_a_job(terminal: Terminal) -> None:
    one = ("--goal", "1h", "--max-jobs", "1", "--detach")
    terminal.run("run", terminal.learners_file(), *LOCAL, *one)
    terminal.until(lambda snapshot: snapshot.phases.get("running", 0) == 1)
    lock = terminal.folder / "study" / "db.tinydb.run" / "manager.lock"
    os.kill(json.loads(lock.read_text())["pid"], signal.SIGKILL)
    terminal.until(lambda snapshot: not snapshot.alive)
    (found,) = terminal.read("manager", "study", "--as-job", "--walltime", "10m")
    jobs = {row["name"]: str(row["id"]) for row in map(json.loads, terminal.queue())}
    assert found["job"] == jobs["study-manager"]
    assert (found["dry_run"], found["job_script"], found["trials"]) == (False, None, [])
    terminal.until(lambda snapshot: snapshot.alive and snapshot.points > 0)
    assert Path(found["log"]).exists()
    (ended,) = terminal.read("cancel", "study")
    assert ended["command"] == "cancel"
    terminal.until(lambda snapshot: not snapshot.alive)  # with the run its job ends
