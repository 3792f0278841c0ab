"""docs/sweep.md and examples/sweep, as a reader tries them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from typer.main import get_command

from adaptive_scheduler import sweeps
from adaptive_scheduler.cli import app
from adaptive_scheduler.core.sweeps.slots import read_resource
from adaptive_scheduler.core.sweeps.sweep_file import KEYS, check_file
from adaptive_scheduler.core.sweeps.templates import RESERVED

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "sweep.md").read_text()


def sweep(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "adaptive_scheduler.cli", *words], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=250, check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "ADAPTIVE_SCHEDULER_LOCALBATCH": str(folder / "batch")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_example_on_this_machine_then_in_jobs(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples" / "sweep", tmp_path / "examples" / "sweep")
    words = ["sweep", "-y", "examples/sweep/params.yaml"]
    assert "12 commands succeeded" in sweep(tmp_path, *words, "-t", "rates")
    printed = sweep(
        tmp_path,
        *words,
        "--scheduler",
        "local",
        "--max-cores",
        "2",
        "-r",
        "",
        "",
        "--max-jobs",
        "1",
    )
    assert "7 tasks: 2 commands to run, 12 have succeeded before" in printed
    frame = sweeps.results(tmp_path / "output", {"loss": r"loss=(\S+)", "error": r"error=(\S+)"})
    assert set(frame.columns) == {"data", "lr", "early-stop", "loss", "error"}
    assert frame["error"].between(0, 3).all()
    shown = sweep(tmp_path, "results", "output", "--metric", r"error=error=(\S+)", "--tsv")
    assert len(shown.splitlines()) == 8


def test_the_files_of_the_page_are_understood() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    whole = [list(yaml.safe_load_all(block)) for block in blocks if "---" in block]
    assert len(whole) == 1
    for documents in whole:
        assert check_file(documents, "page").templates
    for written in re.findall(r"^\| `(\[.*?\]|\{gpus_per.*?\})` \|", TEXT, re.MULTILINE):
        if not written.startswith("[lr"):
            assert read_resource(yaml.safe_load(written))


def test_the_page_names_all_keys_reserved_names_and_real_options() -> None:
    assert all(f"| `{key}` |" in TEXT for key in KEYS)
    assert all(f"{{{name}}}" in TEXT for name in RESERVED)
    commands = get_command(app).commands  # type: ignore[attr-defined]
    for line in re.findall(r"^adaptive-scheduler (.*)$", TEXT, re.MULTILINE):
        name, *words = line.split("   ")[0].split()
        if name not in ("sweep", "results"):
            continue
        known = {opt for parameter in commands[name].params for opt in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known, line
