"""What holds for all tests of this folder."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

PROGRAMS = ("bash", "chromium", "fish", "ip", "mount", "nsenter", "unshare", "zsh")
PACKAGES = ("jsonschema", "jupyterlab", "mkdocs", "playwright", "pyte", "sklearn")
#: Seconds of one test. Some start ten processes in turn, and the machine may be busy.
TIMEOUT = 1800


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test of this folder its time."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.timeout(TIMEOUT), append=False)


@pytest.fixture(scope="session", autouse=True)
def _all_is_there_in_ci() -> None:
    """Where CI=true, a test that cannot run for want of a program or package is a failure."""
    if os.environ.get("CI") != "true":
        return
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    absent += [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    assert absent == [], "CI=true: these are missing"
