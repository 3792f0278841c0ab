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
from tests.faces.browsers import expect, launch, new_context, new_page, until, until_true
from tests.faces.layout import expect_good_layout, expect_shade
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


#: They are drawn when their width is known.
_CHARTS_ARE_DRAWN = """() => [...document.querySelectorAll("canvas[aria-label*='over time']")]
  .every((one) => one.style.width === `${Math.floor(one.parentElement.clientWidth)}px`)"""


class Opened:
    """The page, and what went wrong in it."""

    def __init__(self, browser: Any, file: Path, scheme: str = "light", width: int = 1280) -> None:
        self._context = new_context(
            browser, offline=True, color_scheme=scheme, viewport={"width": width, "height": 900}
        )
        self.page = new_page(self._context)
        self.errors: list[str] = []
        self.asked: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: said.type == "error" and self.errors.append(said.text))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(file.as_uri())
        self.page.wait_for_selector("text=Versions")
        self.page.wait_for_selector('[role="row"] >> nth=1')
        until_true(self.page, _CHARTS_ARE_DRAWN)

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
    expect_good_layout(opened.page, opened.page.locator(".as-report"))
    expect_shade(opened.page, scheme)
    target = os.environ.get("ADAPTIVE_SCHEDULER_SCREENSHOTS")
    folder = Path(target) if target else tmp_path
    opened.page.screenshot(path=folder / f"report-{scheme}-{width}.png", full_page=True)
    opened.close()


def test_texts_of_the_run_are_texts(browser: Any, nasty: RunFolder, tmp_path: Path) -> None:
    opened = Opened(browser, write_report(nasty, tmp_path / "report.html"))
    page = opened.page
    text = page.locator("body")
    expect(text).to_contain_text(NASTY[0])
    expect(text).to_contain_text("your function raised <img src=x onerror=alert(1)>")
    expect(page.locator(".as-report img")).to_have_count(0)
    expect(page).to_have_title("Report of my $run")  # no text of the run was a script
    opened.close()


def point_at(page: Any, share: float, words: str) -> None:
    """Move the mouse to a part of the first job's line until its words are shown: a chart may be drawn again."""
    canvas = page.locator(".as-gantt canvas")

    def is_named() -> bool:
        width = canvas.evaluate("(one) => one.clientWidth")
        page.mouse.move(1, 1)
        canvas.hover(position={"x": 190 + share * (width - 202), "y": 26 + 8})
        said: str = page.locator(".as-tip").evaluate("(one) => one.innerText")
        return words in said

    until(page, is_named, f"the chart does not say {words!r}")


def test_the_chart_names_what_is_under_the_pointer(
    browser: Any, nasty: RunFolder, tmp_path: Path
) -> None:
    opened = Opened(browser, write_report(nasty, tmp_path / "report.html"))
    page = opened.page
    for share, words in (
        (0.05, "waited 10 s, ran"),
        (0.5, "learner 0: done, 20 s"),
        (0.75, "learner 1: failed, 10 s"),
        (0.9, "learner 2: out of walltime, 10 s"),
    ):
        point_at(page, share, words)
    page.click("text=The same as a table")
    row = page.locator("details table tbody tr").filter(has_text="node7")
    expect(row).to_have_count(1)
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
    expect(page.locator("body")).to_contain_text(f"{MANY:,}")
    until_true(page, "() => document.querySelectorAll('[role=row]').length < 200")
    page.fill('input[type="search"]', "offset=77777/")
    rows = page.locator('[role="row"]')
    expect(rows).to_have_count(2)
    expect(rows.nth(1)).to_contain_text("offset=77777/")
    opened.close()
