"""Chromium without a window, started for a machine that does much else."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")
#: Milliseconds for anything that a page is asked for.
PATIENCE = 120_000
#: In a container /dev/shm is small, and a page that does not fit there dies.
ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage")


def launch(driver: Any) -> Any:
    """Start the browser of Debian or Ubuntu; skips by name where there is none."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    return driver.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS), timeout=PATIENCE)
