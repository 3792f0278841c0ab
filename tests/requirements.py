"""What pyproject.toml asks for, as lists for pip: `python -m tests.requirements names|tools|newer PYTHON`."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = ROOT / "requirements.lock"

#: What runs the tests, but is not part of the product; import-linter wants a newer `rich` than we do.
TOOLS = (
    "hypothesis",
    "packaging",
    "pytest",
    "pytest-timeout",
    "pytest-xdist",
    "setuptools",
    "tabulate",
)


def of_users() -> list[Requirement]:
    """What users install: the dependencies, and the extras that are not for us."""
    extras = PROJECT["optional-dependencies"]
    texts = [*PROJECT["dependencies"]]
    texts += [text for name in extras if name not in ("dev", "demo") for text in extras[name]]
    return [Requirement(text) for text in texts]


def names() -> list[str]:
    """Everything, without versions."""
    ours = PROJECT["name"]
    of_dev = [Requirement(text) for text in PROJECT["optional-dependencies"]["dev"]]
    found = {requirement.name for requirement in [*of_users(), *of_dev]}
    return sorted(found - {ours})


def locked() -> dict[str, list[Version]]:
    """The versions of each package in the lock: one, or one for each range of Pythons."""
    found: dict[str, list[Version]] = {}
    for line in LOCK.read_text().splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            version = next(iter(requirement.specifier)).version
            found.setdefault(requirement.name, []).append(Version(version))
    return found


def newer(python: str) -> list[str]:
    """What is installed there and is newer than pyproject.toml admits."""
    import json

    listing = subprocess.run(
        [python, "-m", "pip", "list", "--format=json"], check=True, capture_output=True, text=True
    )
    versions = {row["name"].lower(): row["version"] for row in json.loads(listing.stdout)}
    return [
        f"{requirement.name} {versions[requirement.name]} is newer than {requirement.specifier}"
        for requirement in of_users()
        if not requirement.specifier.contains(versions[requirement.name], prereleases=True)
    ]


def main() -> None:
    """Print one list."""
    what, *rest = sys.argv[1:]
    if what == "names":
        lines = names()
    elif what == "tools":
        lines = [f"{name}=={max(locked()[name])}" for name in TOOLS]
    else:
        lines = newer(*rest) or ["Nothing is newer than pyproject.toml admits."]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
