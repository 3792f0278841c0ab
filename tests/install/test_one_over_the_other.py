"""Upstream over ours, ours over upstream, ours over its former name: a working package or none, never a mixture."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.install.test_wheel import ROOT, run

UPSTREAM = "adaptive-scheduler==2.17.2"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Ours, upstream's, and one by our former name: its files are ours, and one that only it has."""
    folder = tmp_path_factory.mktemp("wheels of both")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "adaptive_scheduler", source / "adaptive_scheduler")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w"]
    run([*build, folder / "ours", source], folder, 400)
    text = (source / "pyproject.toml").read_text()
    text = text.replace('name = "adaptive-scheduler"', 'name = "adaptive-scheduler-mpi"')
    text = text.replace('version = "3.0.0"', 'version = "0.2.0"')
    (source / "pyproject.toml").write_text(text)
    init = source / "adaptive_scheduler" / "__init__.py"
    init.write_text('"""The package by its former name."""\n__version__ = "0.2.0"\n')
    (source / "adaptive_scheduler" / "only_there.py").write_text('"""Gone since."""\n')
    run([*build, folder / "former", source], folder, 400)
    run([*pip, "download", "--no-deps", "-d", folder / "upstream", UPSTREAM], folder, 400)
    return {name: next((folder / name).glob("*.whl")) for name in ("ours", "former", "upstream")}


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    folder = tmp_path / "an environment"
    run([sys.executable, "-m", "venv", folder], tmp_path, 400)
    return folder


def pip(environment: Path, *words: str | Path) -> str:
    command = [environment / "bin" / "python", "-m", "pip", "--disable-pip-version-check", *words]
    return run(command, environment, 400)


def files(environment: Path) -> set[str]:
    """Source files of the package that are installed."""
    (site,) = environment.glob("lib/python*/site-packages")
    found = (site / "adaptive_scheduler").rglob("*.py")
    return {path.relative_to(site).as_posix() for path in found}


def files_in(wheel: Path) -> set[str]:
    names = zipfile.ZipFile(wheel).namelist()
    return {name for name in names if name.endswith(".py") and ".dist-info/" not in name}


def installed(environment: Path) -> list[str]:
    lines = pip(environment, "list", "--format=freeze").splitlines()
    return [
        line for line in lines if line.lower().replace("_", "-").startswith("adaptive-scheduler")
    ]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("first", "second"), [("ours", "upstream"), ("upstream", "ours")])
def test_one_replaces_the_other_and_leaves_nothing(
    wheels: dict[str, Path], environment: Path, first: str, second: str
) -> None:
    pip(environment, "install", "--no-deps", wheels[first])
    assert files(environment) == files_in(wheels[first])
    pip(environment, "install", "--no-deps", wheels[second])
    assert files(environment) == files_in(wheels[second])
    assert len(installed(environment)) == 1
    pip(environment, "uninstall", "-y", "adaptive-scheduler")
    assert files(environment) == set()
    assert installed(environment) == []


@pytest.mark.timeout(900)
def test_over_its_former_name_it_refuses_and_says_what_to_do(
    wheels: dict[str, Path], environment: Path
) -> None:
    python = environment / "bin" / "python"
    pip(environment, "install", "--no-deps", wheels["former"])
    pip(environment, "install", "--no-deps", wheels["ours"])
    done = subprocess.run(
        [python, "-c", "import adaptive_scheduler"], cwd=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "pip uninstall -y adaptive-scheduler-mpi adaptive-scheduler" in done.stderr
    pip(environment, "uninstall", "-y", "adaptive-scheduler-mpi", "adaptive-scheduler")
    assert files(environment) == set()
    pip(environment, "install", "--no-deps", wheels["ours"])
    printed = run(
        [python, "-c", "import adaptive_scheduler as a; print(a.__version__)"], environment, 120
    )
    assert printed.strip() == "3.0.0"


@pytest.mark.timeout(900)
def test_version_is_what_pipefunc_asks_for(wheels: dict[str, Path], environment: Path) -> None:
    pip(environment, "install", "--no-deps", wheels["ours"])
    code = "from importlib.metadata import version; print(version('adaptive_scheduler'))"
    printed = run([environment / "bin" / "python", "-c", code], environment, 120)
    assert tuple(map(int, printed.strip().split("."))) >= (2, 14, 0)
