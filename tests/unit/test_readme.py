"""What the README must tell whoever installs the package."""

from __future__ import annotations

import re
from pathlib import Path

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


def test_the_install_section_warns_of_the_package_with_the_same_import_name() -> None:
    found = re.search(r"^## Install$(.*?)^## ", README, re.MULTILINE | re.DOTALL)
    assert found is not None
    section = found[1]
    assert "same import name" in section
    # out of a mixture: both go, and what the second one leaves of the first
    assert "pip uninstall -y adaptive-scheduler adaptive-scheduler-mpi" in section
    assert section.index("pip uninstall") < section.index("rm -r") < section.rindex("pip install")
