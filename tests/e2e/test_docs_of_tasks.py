"""The programs in docs/tasks.md, and the examples of tasks, as a reader runs them."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

import adaptive_scheduler
from adaptive_scheduler.cli import app
from tests.clusters.slurm import PrivateSlurm
from tests.clusters.sshd import PrivateSshd

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
TEXT = (ROOT / "docs" / "tasks.md").read_text()
BLOCKS = re.findall(r"(<!-- run -->\n)?```python\n(.*?)```", TEXT, re.DOTALL)


def run(program: list[str], folder: Path, **environ: str) -> str:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ADAPTIVE_SCHEDULER")}
    done = subprocess.run(
        program, cwd=folder, capture_output=True, text=True, timeout=250, check=False,
        env={**kept, **environ},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_the_blocks_of_the_page_run_one_after_the_other(tmp_path: Path) -> None:
    folder = tmp_path / "a reader's folder"
    folder.mkdir()
    (folder / "page.py").write_text("".join(code for mark, code in BLOCKS if mark))
    lines = run([sys.executable, "page.py"], folder).splitlines()
    assert sorted(lines[:10])[3] == "3 28.27431"
    assert lines[10].startswith("3.14159 init ")
    assert lines[11:14] == ["[2.0, 4.0, 6.0]", "0.25", "12.56636"]
    assert lines[14:16] == ["21", "0"]
    assert sorted(lines[16:18]) == ["rank 0 of 2", "rank 1 of 2"]
    assert lines[19] == "10 have ended, 90 are left in the list"
    assert lines[20:] == ["[3.14159] 108 tasks are done"]


def test_the_block_about_one_learner_runs(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "one-learner.md").read_text()
    (code,) = re.findall(r"<!-- run -->\n```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "page.py").write_text(code)
    assert run([sys.executable, "page.py"], tmp_path).splitlines() == ["50 goal"]


def test_the_other_blocks_name_what_exists(tmp_path: Path) -> None:
    others = [code for mark, code in BLOCKS if not mark]
    assert others
    called = {
        node.attr
        for code in others
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "executor"
    }
    assert all(hasattr(adaptive_scheduler.Executor, name) for name in called), called
    for line in re.findall(r"^adaptive-scheduler (.*)$", TEXT, re.MULTILINE):
        command = get_command(app)
        words = line.replace("pool RUN", "pool list").split()
        for word in words[: 1 + line.startswith("pool ")]:
            command = command.commands[word]  # type: ignore[attr-defined]
        for option in re.findall(r"(--[a-z-]+)", line.split("   ")[0]):
            assert any(option in parameter.opts for parameter in command.params), line


def test_the_blocks_about_a_laptop_run(sshd: PrivateSshd, tmp_path: Path) -> None:
    """With another cluster, and another name of it."""
    page = (ROOT / "docs" / "remote.md").read_text()
    blocks = re.findall(r"<!-- run -->\n```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 2
    code = "".join(blocks)
    for old, new in (
        (
            'scheduler.SLURM(cores=32, walltime="1h")',
            "scheduler.LocalScheduler(cores=2, max_cores=8)",
        ),
        ("ssh://me@login.cluster.org/scratch/me/areas", sshd.url(sshd.home / "areas")),
        ("/home/me/venv/bin/python", str(sshd.python)),
    ):
        assert old in code
        code = code.replace(old, new)
    (tmp_path / "page.py").write_text(code)
    ssh = {"ADAPTIVE_SCHEDULER_SSH": sshd.ssh}
    lines = run([sys.executable, "page.py"], tmp_path, **ssh).splitlines()
    assert sorted(lines[:10])[3] == "3 28.27431"
    assert float(lines[10]) == pytest.approx(3.14159 * 285)


def test_the_first_example_prints_ten_areas(tmp_path: Path) -> None:
    text = run([sys.executable, str(ROOT / "examples" / "functions.py")], tmp_path)
    assert len(text.splitlines()) == 10
    assert "2 12.56636" in text


def test_a_learner_runs_over_jobs_that_come_and_go(tmp_path: Path) -> None:
    text = (ROOT / "examples" / "elastic_learner.py").read_text()
    # the other jobs may come late: it goes on until they are there, however many points it has by then
    for old, new in (
        ("goal=100)", "goal=lambda one: one.npoints >= 100 and max(seen) > 2)"),
        ("now = runner.status()", "now = runner.status(); seen.append(now['slots'])"),
    ):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "program.py").write_text(f"seen = [0]\n{text}")
    program = [sys.executable, "program.py"]
    batch = {"ADAPTIVE_SCHEDULER_LOCALBATCH": str(tmp_path / "batch")}
    lines = run(program, tmp_path, **batch, ADAPTIVE_SCHEDULER_LOCALBATCH_IDLE="1").splitlines()
    points = re.fullmatch(r"(\d+) points, loss 0\.\d{3}", lines[-1])
    assert points is not None
    assert int(points[1]) >= 100
    slots = {int(line.split()[0]) for line in lines[:-1]}
    assert slots >= {2}
    assert max(slots) > 2


def test_the_program_of_the_readme_runs(tmp_path: Path) -> None:
    section = README.split("## Single calls and shell commands")[1]
    (code,) = re.findall(r"```python\n(.*?)```", section.split("\n## ")[0], re.DOTALL)
    code = code.replace('scheduler.SLURM(cores=32, walltime="1h")', "scheduler.Here()")
    code = code.replace(", max_jobs=4", "")
    assert "Here" in code
    (tmp_path / "program.py").write_text(f"{code}\nprint(energies)\n")
    (tmp_path / "simulate").write_text('#!/bin/sh\nexpr "$2" "*" 10\n')
    (tmp_path / "simulate").chmod(0o755)
    lines = run([sys.executable, "program.py"], tmp_path).splitlines()
    assert len(lines) == 1001
    assert lines[-1] == "[10.0, 20.0, 30.0]"


@pytest.mark.slurm
def test_the_example_of_commands_runs_on_slurm(slurm: PrivateSlurm, tmp_path: Path) -> None:
    text = run([sys.executable, str(ROOT / "examples" / "commands.py")], tmp_path, **slurm.env)
    assert len(text.splitlines()) == 25
    assert text.splitlines()[-1] == "{'width': 5, 'height': 5} 25.0"
