"""The tutorials, and the page of all options: what they tell their reader to do is done."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from docs import options
from tests import pages

ROOT = Path(__file__).resolve().parents[2]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "a reader's folder"
    made.mkdir()
    return made


def test_there_is_a_tutorial_for_each_kind_of_user() -> None:
    names = {path.stem for path in TUTORIALS}
    assert names == {"functions", "learners", "ranked", "search", "sweep"}


@pytest.mark.parametrize("name", ["functions", "learners", "search", "sweep"])
def test_a_tutorial_does_what_it_says(name: str, folder: Path) -> None:
    assert pages.follow(ROOT / "docs" / "tutorials" / f"{name}.md", folder)


def test_the_tutorial_of_ranked_queues_does_what_it_says(folder: Path) -> None:
    pytest.importorskip("sklearn")
    assert pages.follow(ROOT / "docs" / "tutorials" / "ranked.md", folder)


def test_the_programs_on_the_page_of_options_run(folder: Path) -> None:
    pytest.importorskip("sklearn")
    found = [one for one in pages.blocks(options.DOCUMENT) if one.kind == "python" and not one.name]
    (folder / "page.py").write_text("".join(one.text for one in found))
    lines = pages.run([sys.executable, "page.py"], folder).splitlines()
    assert lines[-7:-2] == ["28.27431", "50.26544", "[2.0, 4.0]", "True", lines[-3]]
    assert lines[-3].startswith("8 ({'units': 25,")
    assert lines[-2:] == ["True", "30"]
    assert pages.follow(options.DOCUMENT, folder)
    assert (folder / "data" / "one").exists()


def test_the_blocks_of_the_page_of_runs_run_one_after_the_other(folder: Path) -> None:
    page = (ROOT / "docs" / "runs.md").read_text()
    code = re.findall(r"<!-- run -->\n```python\n(.*?)```", page, re.DOTALL)
    (folder / "page.py").write_text("".join(code))
    lines = [line for line in pages.run([sys.executable, "page.py"], folder).splitlines() if line]
    assert lines[-2:] == ["finished", "done done [True, True, True]"]
