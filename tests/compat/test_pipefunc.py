"""pipefunc, which drives adaptive-scheduler 2, drives this package: a pipeline on Slurm, and its own tests."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import pytest

from tests.install.test_wheel import RETRIES, ROOT, run

VERSION = "0.93.2"
#: With it what it needs; everything else is that of this environment.
PACKAGES = (f"pipefunc=={VERSION}", "networkx==3.6.1", "pytest-asyncio==1.5.0", "xarray==2026.9.0")
#: Its tests that use adaptive_scheduler; nine of them run jobs, which took four to seven minutes on two busy cores.
FILES = (
    "map/test_adaptive_slurm_executor.py",
    "map/test_adaptive_scheduler.py",
    "test_helpers.py",
    "test_utils.py",
    "integration/map/test_error_handling_potential_issues.py",
)
#: That pass with adaptive-scheduler 2.17.2 (docs/migrating.md has the table).
PASS_THERE = 102

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(2000)]


def link(source: str, target: str) -> None:
    """Make the file there, too; where that is another disk, a copy."""
    if Path(target).exists():
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python in an environment of its own: what is installed here, and pipefunc."""
    folder = tmp_path_factory.mktemp("with pipefunc")
    run([sys.executable, "-m", "venv", folder], folder, 300)
    found = folder / "bin" / "python"
    pip = [found, "-m", "pip", "--quiet", "--disable-pip-version-check", *RETRIES]
    (site,) = folder.glob("lib/python*/site-packages")
    shutil.copytree(sysconfig.get_path("purelib"), site, copy_function=link, dirs_exist_ok=True)
    run([*pip, "install", "--no-deps", *PACKAGES], folder, 300)
    return found


@pytest.fixture(scope="module")
def its_tests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tests of its source distribution, without its sources: it is imported as it is installed."""
    folder = tmp_path_factory.mktemp("sources")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *RETRIES]
    only = ["--no-deps", "--no-binary", "pipefunc", "-d", folder]
    run([*pip, "download", *only, f"pipefunc=={VERSION}"], folder, 300)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    shutil.move(next(folder.glob("*/tests")), folder / "tests")
    first = folder / "conftest.py"
    first.write_text('"""Ours is imported before pipefunc."""\nimport adaptive_scheduler\n')
    return folder


def results(python: Path, folder: Path, *words: str, seconds: float) -> dict[str, int]:
    """How many of its tests ended how; fails with what they printed if one failed."""
    options = ["-q", "-p", "no:cacheprovider", "-o", "addopts=", "-o", "asyncio_mode=strict"]
    done = subprocess.run(
        [str(python), "-m", "pytest", *options, *words], cwd=folder, timeout=seconds,
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": "", "PYTHONHASHSEED": "0"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    return {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|skipped)", done.stdout)}


def test_a_pipeline_runs_in_jobs(python: Path, in_slurm: Path) -> None:
    printed = run([python, ROOT / "tests/compat/pipefunc_pipeline.py"], in_slurm, 400)
    assert printed.splitlines()[-1] == "total 16"


def test_its_tests_of_slurm_pass(python: Path, its_tests: Path, in_slurm: Path) -> None:
    del in_slurm
    found = results(python, its_tests, *(f"tests/{name}" for name in FILES), seconds=1200)
    assert found["passed"] >= PASS_THERE
    assert "failed" not in found


def test_its_map_tests_pass_beside_ours(python: Path, its_tests: Path) -> None:
    others = [f"--ignore=tests/{name}" for name in FILES]
    found = results(python, its_tests, "tests/map", *others, "-n", "2", seconds=900)
    assert found["passed"] >= 300
    assert "failed" not in found
