"""What users install was tested: bounds of pyproject.toml beside the versions of requirements.lock."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.requirements import LOCK, ROOT, locked, names, of_users


def next_series(version: Version) -> Version:
    """The first version that may break what worked: the next major one, or minor one before 1.0."""
    return Version(f"{version.major + 1}") if version.major else Version(f"0.{version.minor + 1}")


@pytest.mark.parametrize("requirement", of_users(), ids=str)
def test_what_users_install_has_a_lower_and_a_tested_upper_bound(requirement: Requirement) -> None:
    bounds = {spec.operator: Version(spec.version) for spec in requirement.specifier}
    assert set(bounds) == {">=", "<"}, f"{requirement}: give both bounds"
    newest = max(locked()[requirement.name])
    assert requirement.specifier.contains(newest), f"{newest} is locked: run `make lock`"
    assert bounds["<"] <= next_series(newest), (
        f"{requirement}: only {newest} was tested; `make lock` takes a newer one if there is one"
    )


def test_everything_that_tests_install_is_locked() -> None:
    assert set(names()) - set(locked()) == set(), "run: make lock"


def test_the_lock_names_no_host_and_no_path() -> None:
    text = LOCK.read_text() + (ROOT / "benchmarks/peer/requirements.txt").read_text()
    assert re.findall(r"https?:|file:|--.*index|@", text) == []
