"""What the README must tell whoever installs the package."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def section(page: str) -> str:
    found = re.search(r"^## Install$(.*?)^## ", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_the_install_section_warns_of_the_package_with_the_same_import_name() -> None:
    told = section("README.md")
    assert "same import name" in told
    assert "pip uninstall adaptive-scheduler-mpi" in told
    assert "docs/migrating.md#install" in told


def test_there_is_a_way_out_of_a_mixture() -> None:
    told = section("docs/migrating.md")
    # both go, and what the second one leaves of the first
    assert "pip uninstall -y adaptive-scheduler adaptive-scheduler-mpi" in told
    assert told.index("pip uninstall") < told.index("rm -r") < told.rindex("pip install")
