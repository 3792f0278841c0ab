"""What users install: a wheel in an environment of its own, far from this folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(1500)  # the index may be slow, and the machine busy

ROOT = Path(__file__).resolve().parents[2]
#: Of pip: a package index may be slow or refuse once.
RETRIES = ("--retries", "8", "--timeout", "60")
#: The same of the pip that pip starts to fetch what builds a source distribution.
PATIENCE = {"PIP_RETRIES": "8", "PIP_TIMEOUT": "60"}

SCRIPT = """
import adaptive, adaptive_scheduler
from functools import partial

def h(x, offset=0):
    return x + 0.01**2 / (0.01**2 + (x - offset) ** 2)

if __name__ == "__main__":
    learners = [adaptive.Learner1D(partial(h, offset=o), bounds=(-1, 1)) for o in (0.1, 0.2)]
    fnames = ["data/a b", "data/$c"]
    scheduler = adaptive_scheduler.scheduler.LocalScheduler(cores=2)
    run_manager = adaptive_scheduler.server_support.RunManager(
        scheduler, learners, fnames, goal=20)
    run_manager.start()
    run_manager.wait()
    print(run_manager.status(), [learner.npoints >= 20 for learner in run_manager.load_learners()])
"""


def run(command: list[str | Path], cwd: Path, seconds: float) -> str:
    """What a command printed; fails with all of its words unless it ended with 0."""
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, timeout=seconds, capture_output=True, text=True,
        check=False, env={**os.environ, **PATIENCE},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing but the wheel and what it asks for, in a path with a blank."""
    folder = tmp_path_factory.mktemp("as it is installed")
    source = folder / "source"  # setuptools builds beside what it reads, and takes what lies there
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "adaptive_scheduler", source / "adaptive_scheduler")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source], folder, 400)
    (wheel,) = folder.glob("*.whl")
    run([sys.executable, "-m", "venv", folder / "venv"], folder, 400)
    python = folder / "venv" / "bin" / "python"
    run(
        [python, *pip[1:], *RETRIES, "install", "-c", ROOT / "requirements.lock", f"{wheel}[mpi]"],
        folder, 600,
    )  # fmt: skip
    return folder


def test_the_wheel_holds_the_package_and_nothing_else(environment: Path) -> None:
    (wheel,) = environment.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"adaptive_scheduler"}
    assert "adaptive_scheduler/py.typed" in names
    static = "adaptive_scheduler/runs/views/page/static"
    assert {
        f"{static}/{name}" for name in ("view.js", "view.css", "uplot.js", "uplot.LICENSE")
    } <= set(names)
    ours = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("adaptive_scheduler/**/*.py")}
    assert {name for name in names if name.endswith(".py")} == ours


def test_the_command_line_answers(environment: Path) -> None:
    command = environment / "venv" / "bin" / "adaptive-scheduler"
    assert "run" in run([command, "--help"], environment, 400)


def test_a_run_over_mpi_from_the_wheel_reaches_its_goal(environment: Path) -> None:
    python = environment / "venv" / "bin" / "python"
    (environment / "a script.py").write_text(SCRIPT)
    printed = run([python, "a script.py"], environment, 400)
    assert printed.split("\n")[-2] == "finished [True, True]"
