"""TAB in a real bash, zsh and fish, after ``--install-completion``: commands, runs, learners, tasks."""

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

PROGRAM = Path(sys.executable).with_name("adaptive-scheduler")
#: How each shell is started without the settings of this machine, and with those of the user.
BARE = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}
#: Where its settings are, and a prompt that is known.
SETTINGS = {
    "bash": (".bashrc", "PS1='> '"),
    "zsh": (".zshrc", "PROMPT='> '"),
    "fish": (
        ".config/fish/config.fish",
        "function fish_prompt; echo '> '; end\nset -g fish_greeting\nset -g fish_autosuggestion_enabled 0",
    ),
}


@pytest.fixture(params=BARE)
def shell(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[PseudoTerminal]:
    """A shell of a user who has installed the completion, in a folder with two runs."""
    name: str = request.param
    if shutil.which(name) is None:  # in CI conftest.py says so
        pytest.skip(f"there is no {name}")
    home = tmp_path / "home"
    home.mkdir()
    environ = {"HOME": str(home), "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}"}
    installing = [name, *BARE[name], "-c", "adaptive-scheduler --install-completion; true"]
    done = subprocess.run(
        installing,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert f"{name} completion installed" in done.stdout, done.stdout + done.stderr
    path, prompt = SETTINGS[name]
    with (home / path).open("a") as file:
        file.write(f"\n{prompt}\n")
    folder = tmp_path / "work"
    make_run(folder / "my $study", learners(30))
    names = ("train_0", "train_1", "score_2")
    rows = [TaskItem(n, "", Phase.DONE, name=name) for n, name in enumerate(names)]
    make_run(folder / "tasks_run", rows, "task", {"batches": {"a": {"items": [0, 1, 2]}}})
    options = ["--rcfile", str(home / path), "-i"] if name == "bash" else ["-i"]
    with PseudoTerminal([name, *options], 100, 30, folder, environ) as started:
        started.until_shown(">")
        yield started


def completed(shell: PseudoTerminal, typed: str, shown: str) -> None:
    assert shown.rstrip() not in typed
    shell.type("\x15")  # it empties the line
    shell.until(lambda text: shown.rstrip() not in text, "the line is not empty")
    shell.type(f"{typed}\t")
    shell.until_shown(shown.rstrip())


def test_commands_runs_learners_and_tasks(shell: PseudoTerminal) -> None:
    completed(shell, "adaptive-scheduler stat", "adaptive-scheduler status ")
    completed(shell, "adaptive-scheduler status my", "status my\\ \\$study ")
    completed(
        shell,
        "adaptive-scheduler logs my\\ \\$study alpha_4.142",
        "alpha_4.142857143_温度_29.pickle ",
    )
    completed(shell, "adaptive-scheduler cancel tasks_run sc", "cancel tasks_run score_2 ")
    completed(shell, "adaptive-scheduler cancel tasks_run tra", "cancel tasks_run train_")
    completed(shell, "adaptive-scheduler cancel --dry", "cancel --dry-run ")
    completed(shell, "adaptive-scheduler pool re", "pool remove ")
