"""The front end as files: small, whole, and allowed by a strict Content-Security-Policy."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from adaptive_scheduler.runs.views.page import bundle

#: The most bytes of all files together.
MOST = 400_000
OWN = sorted(path for path in bundle.FOLDER.glob("*.js") if path.name != "uplot.js")


def test_all_files_together_are_small() -> None:
    assert sum(path.stat().st_size for path in bundle.FOLDER.iterdir()) <= MOST


def test_the_plot_library_is_pinned_with_its_licence() -> None:
    assert "(v1.6.32)" in (bundle.FOLDER / "uplot.js").read_text()
    assert "MIT License" in (bundle.FOLDER / "uplot.LICENSE").read_text()


def test_nothing_is_fetched_from_anywhere() -> None:
    for path in OWN:
        assert re.findall(r"https?://|\bfetch\(|XMLHttpRequest|import\(", path.read_text()) == []
    assert re.findall(r"@import|url\(", bundle.styles()) == []


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_a_strict_policy_allows_all_of_it(path: Path) -> None:
    text = path.read_text()
    assert (
        re.findall(r"\beval\(|new Function|innerHTML|insertAdjacentHTML|[\"']style[\"']", text)
        == []
    )


def test_the_joined_module_imports_and_exports_nothing_else() -> None:
    text = bundle.script()
    assert re.findall(r"^import ", text, re.MULTILINE) == []
    assert re.findall(r"^export .*", text, re.MULTILINE) == ["export default {"]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_joined_module_is_javascript(tmp_path: Path) -> None:
    file = tmp_path / "view.mjs"
    file.write_text(bundle.script())
    checked = subprocess.run(["node", "--check", file], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
