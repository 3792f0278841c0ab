"""The report as a person opens it: from a file, without a network, in light and dark, in two widths."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.runs.report.write import report_text, write_report
from docs import report_schema
from tests.faces.browsers import PATIENCE, launch
from tests.faces.layout import faults
from tests.run_folders import PastRun, large_run

playwright = pytest.importorskip("playwright.sync_api")
#: Learners of the large run.
MANY = 100_000
NASTY = ["</script><script>document.title='broken'</script>", "a $HOME <b>&amp;", "c" * 300]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        found = launch(started)
        yield found
        found.close()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return large_run(tmp_path_factory.mktemp("large") / "a run", MANY)


@pytest.fixture
def nasty(tmp_path: Path) -> RunFolder:
    run = PastRun(tmp_path / "my $run", NASTY)
    run.submit(["7"], 0)
    run.start("7", 10)
    run.finish(run.claim("7", 20), 40, 18.0)
    run.state.items.budget = type(run.state.items.budget)(0, 0)
    run.fail(run.claim("7", 40), 50, "your function raised <img src=x onerror=alert(1)>")
    run.release(run.claim("7", 50), 60, 9.0)
    run.leave("7", 62, "timeout")
    return run.close()


class Opened:
    """The page, and what went wrong in it."""

    def __init__(self, browser: Any, file: Path, scheme: str = "light", width: int = 1280) -> None:
        self._context = browser.new_context(
            offline=True, color_scheme=scheme, viewport={"width": width, "height": 900}
        )
        self._context.set_default_timeout(PATIENCE)
        self.page = self._context.new_page()
        self.errors: list[str] = []
        self.asked: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: said.type == "error" and self.errors.append(said.text))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(file.as_uri())
        self.page.wait_for_selector("text=Versions")
        self.page.wait_for_selector('[role="row"] >> nth=1')

    def close(self) -> None:
        outside = [url for url in self.asked if not url.startswith(("file:", "data:", "blob:"))]
        assert outside == []
        assert self.errors == []
        self._context.close()


@pytest.mark.parametrize("width", [1280, 1920])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_and_nothing_overlaps(
    browser: Any, nasty: RunFolder, tmp_path: Path, scheme: str, width: int
) -> None:
    opened = Opened(browser, write_report(nasty, tmp_path / "a report $.html"), scheme, width)
    assert faults(opened.page.locator(".as-report")) == []
    assert opened.page.evaluate("document.documentElement.scrollWidth - innerWidth") == 0
    background = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    shade = sum(int(part) for part in background.strip("rgb()").split(",")[:3])
    assert (shade < 200) == (scheme == "dark")
    target = os.environ.get("ADAPTIVE_SCHEDULER_SCREENSHOTS")
    folder = Path(target) if target else tmp_path
    opened.page.screenshot(path=folder / f"report-{scheme}-{width}.png", full_page=True)
    opened.close()


def test_texts_of_the_run_are_texts(browser: Any, nasty: RunFolder, tmp_path: Path) -> None:
    opened = Opened(browser, write_report(nasty, tmp_path / "report.html"))
    page = opened.page
    assert page.title() == "Report of my $run"
    text = page.inner_text("body")
    assert NASTY[0] in text
    assert "your function raised <img src=x onerror=alert(1)>" in text
    assert page.locator(".as-report img").count() == 0
    opened.close()


def test_the_chart_names_what_is_under_the_pointer(
    browser: Any, nasty: RunFolder, tmp_path: Path
) -> None:
    opened = Opened(browser, write_report(nasty, tmp_path / "report.html"))
    page = opened.page
    canvas = page.locator(".as-gantt canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    shown = []
    for share in (0.05, 0.5, 0.75, 0.9):
        page.mouse.move(box["x"] + 190 + share * (box["width"] - 202), box["y"] + 26 + 8)
        shown.append(page.inner_text(".as-tip"))
    assert "waited 10 s, ran" in shown[0]
    assert "learner 0: done, 20 s" in shown[1]
    assert "learner 1: failed, 10 s" in shown[2]
    assert "learner 2: out of walltime, 10 s" in shown[3]
    page.click("text=The same as a table")
    assert page.locator("details table tbody tr").filter(has_text="node7").count() == 1
    opened.close()


def test_a_hundred_thousand_learners(browser: Any, large: RunFolder, tmp_path: Path) -> None:
    begin = time.process_time()  # of a loaded machine only the processor's time counts
    path = write_report(large, tmp_path / "report.html")
    took = time.process_time() - begin
    assert took < 5 * 5.0, f"{took:.1f} s"
    assert path.stat().st_size < 5_000_000
    found = json.loads(report_text(large, "json"))
    jsonschema.validate(found, json.loads(report_schema.DOCUMENT.read_text()))
    assert found["retries"]["tries"] == MANY
    assert large.history.stat().st_size / (2 * MANY) < 100
    opened = Opened(browser, path)
    page = opened.page
    assert f"{MANY:,}" in page.inner_text("body")
    assert page.locator('[role="row"]').count() < 200
    page.fill('input[type="search"]', "offset=77777/")
    page.wait_for_function("() => document.querySelectorAll('[role=row]').length === 2")
    assert "offset=77777/" in page.locator('[role="row"]').nth(1).inner_text()
    opened.close()
