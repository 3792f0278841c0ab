"""The site of the documentation: built strictly, complete, and read from the disk without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from docs import public_api, site_pages
from tests.faces.browsers import launch, new_context, new_page, until_true
from tests.faces.layout import expect_shade

ROOT = Path(__file__).resolve().parents[2]
#: What a browser fetches by itself, as far as this element and attribute say it.
FETCHED = {
    ("link", "href"),
    ("script", "src"),
    ("img", "src"),
    ("iframe", "src"),
    ("source", "src"),
}


class Page(HTMLParser):
    """Links, what is fetched, and anchors of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.fetched: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        self.links |= {given["href"]} if tag == "a" and "href" in given else set()
        self.fetched |= {value for name, value in given.items() if (tag, name) in FETCHED}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built in a path with a blank."""
    folder = tmp_path_factory.mktemp("a site") / "of the documentation"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    done = subprocess.run(
        [str(word) for word in command], cwd=ROOT, timeout=1200, check=False, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "WARNING" not in done.stdout
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    """Each page of the site but that for a missing one, whose links begin at the root of a server."""
    return {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}


def test_nothing_is_fetched_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    elsewhere = {one for page in pages.values() for one in page.fetched if urlsplit(one).netloc}
    assert elsewhere == set()
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert [one for one in re.findall(r"url\(([^)]*)\)", styles) if "//" in one[:9]] == []
    assert "@import" not in styles


def test_no_link_inside_is_broken(pages: dict[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        for link in page.links | page.fetched:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if not target.exists() or (
                anchor and target in pages and anchor not in pages[target].anchors
            ):
                broken.append((path.name, link))
    assert broken == []


def test_all_public_names_are_in_the_reference(pages: dict[Path, Page]) -> None:
    own = [page for path, page in pages.items() if path.parent.name == "reference"]
    anchors = {anchor for page in own for anchor in page.anchors}
    for name in site_pages.MODULES:
        assert set(site_pages.public_names(name).values()) <= anchors
    # members, wherever they are inherited from; fields of records are in the lists of their classes
    named = {anchor.rpartition(".")[2] for anchor in anchors}
    members = [name for name, what in public_api.describe().items() if what != public_api.VALUE]
    absent = [name for name in members if name.rpartition(".")[2] not in named]
    assert [one for one in absent if not one.endswith(".queue")] == []  # made when it is asked for


def test_each_page_of_the_folder_is_in_the_site(site: Path) -> None:
    written = {
        path.relative_to(ROOT / "docs").with_suffix(".html")
        for path in (ROOT / "docs").rglob("*.md")
        if "option_examples" not in path.parts
    }
    assert [str(one) for one in written if not (site / one).exists()] == []


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """A browser without a window."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        started = launch(driver)
        yield started
        started.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_read_from_the_disk(
    scheme: str, site: Path, browser: object, tmp_path: Path
) -> None:
    context = new_context(browser, viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    asked: list[str] = []
    faults: list[str] = []
    page = new_page(context)
    page.on("request", lambda request: asked.append(request.url))
    page.on("requestfailed", lambda request: faults.append(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    for name in (
        "index",
        "options",
        "errors",
        "tutorials/learners",
        "reference/adaptive_scheduler",
    ):
        # what is still fetched when the next page is opened would fail
        page.goto((site / f"{name}.html").as_uri(), wait_until="networkidle")
        page.wait_for_selector("article h1")
        until_true(page, "() => document.documentElement.scrollWidth <= innerWidth")
        page.screenshot(path=tmp_path / f"{name.replace('/', '_')}_{scheme}.png")
    expect_shade(page, scheme)
    assert [one for one in asked if not one.startswith("file:")] == []
    assert faults == []
    context.close()


def test_the_search_works_without_a_server(site: Path, browser: object) -> None:
    page = new_page(new_context(browser))
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.goto((site / "tutorials" / "sweep.html").as_uri())
    for word in ("check_goal_on_start", "PermissionsError", "exclusive"):
        page.click(".md-search__input", click_count=3)
        page.keyboard.type(word)
        page.wait_for_function(
            "word => [...document.querySelectorAll('.md-search-result__item')].some(one => one.innerText.includes(word))",
            arg=word,
        )  # fmt: skip
    assert faults == []
    page.close()
