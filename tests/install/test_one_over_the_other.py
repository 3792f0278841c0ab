"""Upstream over ours, ours over upstream, ours over its former name: a working package or none, never a mixture."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.install.test_wheel import RETRIES, ROOT, run

pytestmark = pytest.mark.timeout(1500)  # the index may be slow, and the machine busy

VERSIONS = {"ours": "3.0.0", "upstream": "2.17.2"}
UPSTREAM = f"adaptive-scheduler=={VERSIONS['upstream']}"


#: The commit of its release, by the former name.
FORMER = "aec738ea"


def build(source: Path, folder: Path) -> Path:
    """The wheel of a source folder."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source], source, 400)
    (wheel,) = folder.glob("*.whl")
    return wheel


def copy_sources(folder: Path) -> Path:
    """Ours, as it lies here."""
    source = folder / "source"
    shutil.copytree(ROOT / "adaptive_scheduler", source / "adaptive_scheduler")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    return source


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Ours, and upstream's from the package index, which may be slow."""
    folder = tmp_path_factory.mktemp("wheels of both")
    download = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *RETRIES]
    run([*download, "download", "--no-deps", "-d", folder, UPSTREAM], folder, 400)
    (upstream,) = folder.glob("*.whl")
    return {"ours": build(copy_sources(folder), folder / "ours"), "upstream": upstream}


@pytest.fixture(scope="module")
def renamed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel by our former name, wherever the tests run: its files are ours, and one of its own."""
    folder = tmp_path_factory.mktemp("renamed")
    source = copy_sources(folder)
    text = (source / "pyproject.toml").read_text()
    for now, before in (
        ('name = "adaptive-scheduler"', 'name = "adaptive-scheduler-mpi"'),
        ('version = "3.0.0"', 'version = "0.2.0"'),
    ):
        assert now in text
        text = text.replace(now, before)
    (source / "pyproject.toml").write_text(text)
    init = source / "adaptive_scheduler" / "__init__.py"
    init.write_text('"""The package by its former name."""\n__version__ = "0.2.0"\n')
    (source / "adaptive_scheduler" / "only_there.py").write_text('"""Gone since."""\n')
    return build(source, folder)


@pytest.fixture(scope="module")
def from_history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The former distribution itself, from this repository's history; a shallow clone has none."""
    folder = tmp_path_factory.mktemp("from history")
    packed = subprocess.run(
        ["git", "archive", "--format=tar", FORMER], cwd=ROOT, capture_output=True, check=False
    )
    if packed.returncode:
        pytest.skip(f"commit {FORMER} is not in this clone: {packed.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder / "source", filter="data")
    return build(folder / "source", folder)


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
    """The distributions of either name, as pip lists them, their names normalised."""
    lines = pip(environment, "list", "--format=freeze").splitlines()
    names = [line.lower().replace("_", "-") for line in lines]
    return [name for name in names if name.startswith("adaptive-scheduler")]


def imported(environment: Path) -> str:
    """The version that the package says of itself when it is imported."""
    code = "import adaptive_scheduler as a; print(a.__version__)"
    return run([environment / "bin" / "python", "-c", code], environment, 400).strip()


@pytest.mark.parametrize(("first", "second"), [("ours", "upstream"), ("upstream", "ours")])
def test_one_replaces_the_other_and_leaves_nothing(
    wheels: dict[str, Path], environment: Path, first: str, second: str
) -> None:
    pip(environment, "install", "--no-deps", wheels[first])
    assert files(environment) == files_in(wheels[first])
    pip(environment, "install", "--no-deps", wheels[second])
    assert files(environment) == files_in(wheels[second])
    assert installed(environment) == [f"adaptive-scheduler=={VERSIONS[second]}"]
    if second == "ours":  # upstream's cannot be imported without what it needs
        assert imported(environment) == VERSIONS["ours"]
    pip(environment, "uninstall", "-y", "adaptive-scheduler")
    assert files(environment) == set()
    assert installed(environment) == []


@pytest.mark.parametrize("made", ["renamed", "from_history"])
def test_over_its_former_name_it_refuses_and_says_what_to_do(
    wheels: dict[str, Path], environment: Path, request: pytest.FixtureRequest, made: str
) -> None:
    former = request.getfixturevalue(made)
    assert former.name == "adaptive_scheduler_mpi-0.2.0-py3-none-any.whl"
    python = environment / "bin" / "python"
    pip(environment, "install", "--no-deps", former)
    assert files(environment) == files_in(former)
    pip(environment, "install", "--no-deps", wheels["ours"])
    assert files_in(former) - files_in(wheels["ours"]) <= files(environment)  # what pip leaves
    done = subprocess.run(
        [python, "-c", "import adaptive_scheduler"], cwd=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "pip uninstall -y adaptive-scheduler-mpi adaptive-scheduler" in done.stderr
    pip(environment, "uninstall", "-y", "adaptive-scheduler-mpi", "adaptive-scheduler")
    assert files(environment) == set()
    assert installed(environment) == []
    pip(environment, "install", "--no-deps", wheels["ours"])
    assert files(environment) == files_in(wheels["ours"])
    assert imported(environment) == "3.0.0"


def test_version_is_what_pipefunc_asks_for(wheels: dict[str, Path], environment: Path) -> None:
    pip(environment, "install", "--no-deps", wheels["ours"])
    code = "from importlib.metadata import version; print(version('adaptive_scheduler'))"
    printed = run([environment / "bin" / "python", "-c", code], environment, 400)
    assert tuple(map(int, printed.strip().split("."))) >= (2, 14, 0)
