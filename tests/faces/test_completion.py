"""TAB in a real bash, after ``--install-completion``: commands, runs, learners, tasks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from adaptive_scheduler.core.rows.row import Phase, TaskItem
from tests.faces.terminals import PseudoTerminal
from tests.made_runs import learners, make_run

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
PROGRAM = Path(sys.executable).with_name("adaptive-scheduler")


@pytest.fixture
def bash(tmp_path: Path) -> Iterator[PseudoTerminal]:
    """A bash of a user who has installed the completion, in a folder with two runs."""
    home = tmp_path / "home"
    home.mkdir()
    environ = {"HOME": str(home), "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}"}
    installing = ["bash", "--norc", "-c", "adaptive-scheduler --install-completion; true"]
    done = subprocess.run(
        installing,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert "bash completion installed" in done.stdout, done.stdout + done.stderr
    with (home / ".bashrc").open("a") as file:
        file.write("\nPS1='> '\n")
    folder = tmp_path / "work"
    make_run(folder / "my $study", learners(30))
    rows = [TaskItem(n, "", Phase.DONE, name=f"train_{n}") for n in range(3)]
    make_run(folder / "tasks_run", rows, "task", {"batches": {"a": {"items": [0, 1, 2]}}})
    with PseudoTerminal(
        ["bash", "--rcfile", str(home / ".bashrc"), "-i"], 100, 30, folder, environ
    ) as shell:
        shell.until_shown(">")
        yield shell


def completed(shell: PseudoTerminal, typed: str, shown: str) -> None:
    shell.type(f"\x15{typed}\t")  # \x15 empties the line
    shell.until_shown(shown.rstrip())


def test_commands_runs_learners_and_tasks(bash: PseudoTerminal) -> None:
    completed(bash, "adaptive-scheduler stat", "adaptive-scheduler status ")
    completed(bash, "adaptive-scheduler status my", "status my\\ \\$study ")
    completed(
        bash,
        "adaptive-scheduler logs my\\ \\$study alpha_4.142",
        "alpha_4.142857143_温度_29.pickle ",
    )
    completed(bash, "adaptive-scheduler cancel tasks_run train_2", "cancel tasks_run train_2 ")
    completed(bash, "adaptive-scheduler cancel tasks_run tra", "cancel tasks_run train_")
    completed(bash, "adaptive-scheduler cancel --dry", "cancel --dry-run ")
