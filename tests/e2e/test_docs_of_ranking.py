"""The programs in docs/ranked.md, as a reader runs them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.e2e.test_docs_of_tasks import run

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "ranked.md").read_text()


def test_the_programs_of_the_page_run_one_after_the_other(tmp_path: Path) -> None:
    blocks = re.findall(r"<!-- run -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "page.py").write_text("".join(blocks))
    with_runner, by_hand = run([sys.executable, "page.py"], tmp_path).splitlines()
    assert with_runner.startswith("goal True ({'x0': ")
    assert by_hand == "200 True"
