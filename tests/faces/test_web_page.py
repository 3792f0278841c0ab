"""`adaptive-scheduler web` in a real browser: headless Chromium, real runs on the LocalScheduler."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.io.disk.lock import holder
from adaptive_scheduler.runs.manager_client import ManagerClient
from tests.faces.browsers import (
    DRAWN_AGAIN,
    PATIENCE,
    expect,
    launch,
    new_context,
    new_page,
    shown_text,
)
from tests.faces.layout import expect_good_layout
from tests.integration.web_server import WebServer, make_run
from tests.run_folders import large_run

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

RUNNING = re.compile(r"^Running: \d of 4 learners done")
STUDY = """
import time
from functools import partial
import adaptive

def h(x, offset):
    time.sleep(0.2)
    return x * x + offset

learners = [adaptive.Learner1D(partial(h, offset=n), bounds=(-1, 1)) for n in range(4)]
fnames = [f"data/{n}" for n in range(4)]
"""


class Study:
    """A folder with runs, and a batch system of its own."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "my runs"
        self.home.mkdir()
        (self.home / "study.py").write_text(STUDY)
        self.environ = {
            "ADAPTIVE_SCHEDULER_LOCALBATCH": str(folder / "batch system"),
            "ADAPTIVE_SCHEDULER_LOCALBATCH_IDLE": "1",
        }
        self.run = RunFolder(self.home / "first run")

    def command(self, *words: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "adaptive_scheduler.cli", *words], cwd=self.home, check=True,
            env=os.environ | self.environ, timeout=PATIENCE / 1000, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def start(self) -> None:
        self.command(
            "run", "study.py", "--scheduler", "local", "--cores", "1", "--max-cores", "2",
            "--executor", "sequential", "--goal", "9000", "--folder", "first run", "--detach",
        )  # fmt: skip

    def kill_manager(self) -> None:
        """Kill -9, and wait until it is gone."""
        found = holder(self.run.lock)
        assert found is not None
        os.kill(found.pid, signal.SIGKILL)
        with ManagerClient(self.run) as client:
            wait_until(lambda: not client.lives())

    def cancel(self) -> None:
        if self.run.config.exists():
            self.command("cancel", str(self.run.home))


def wait_until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE / 1000
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def remove(folder: Path) -> None:
    """Remove a run; what was cancelled may still write there for a moment."""

    def is_gone() -> bool:
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()

    wait_until(is_gone)


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    one = Study(tmp_path)
    yield one
    one.cancel()


class Chromium:
    """A browser, and all that its console said."""

    def __init__(self, browser: Any) -> None:
        self.said: list[str] = []
        self.context = new_context(browser, viewport={"width": 1280, "height": 900})

    def page(self) -> Any:
        page = new_page(self.context)
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        return page


@pytest.fixture
def chromium() -> Iterator[Chromium]:
    with playwright.sync_playwright() as driver:
        browser = launch(driver)
        yield Chromium(browser)
        browser.close()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder that stays, to be looked at."""
    chosen = os.environ.get("ADAPTIVE_SCHEDULER_PICTURES")
    folder = Path(chosen) if chosen else tmp_path / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    print(f"screenshots: {folder}")
    return folder


def photograph(page: Any, shown: Any, pictures: Path, name: str) -> None:
    """Keep pictures in both themes and two widths; nothing is cut, nothing overlaps."""
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        for width in (1280, 1920):
            page.set_viewport_size({"width": width, "height": 1200})
            expect_good_layout(page, shown)
            page.screenshot(path=pictures / f"web-{name}-{theme}-{width}.png", full_page=True)


def do(page: Any, action: str) -> None:
    """Press a button, and answer yes."""
    page.locator(f"[data-action={action}]").first.click()
    page.locator(".as-question .as-yes").click()


def test_a_run_is_watched_and_a_read_only_page_changes_nothing(
    study: Study, chromium: Chromium, pictures: Path
) -> None:
    study.start()
    server = WebServer(str(study.home), **study.environ)
    page = chromium.page()
    try:
        page.goto(server.url)  # the only run: it is opened
        expect(page.locator(".as-sentence")).to_have_text(RUNNING)
        running = page.locator(".as-spacer .as-tr").filter(has_text="running").first
        points = running.locator(".as-td").nth(3)
        expect(points).not_to_have_text("0")
        expect(points).not_to_have_text(shown_text(points))  # progress moves
        names = page.locator(".as-spacer .as-tr .as-td:nth-child(2)")
        expect(names).to_have_text(["0", "1", "2", "3"])  # their folder is not in each row
        running.click(delay=1500)  # rows are drawn anew meanwhile: it is no click that is lost
        detail = page.locator(".as-detail")
        expect(detail.locator(".as-data canvas").first).to_be_visible()
        caption = detail.locator(".as-caption")
        # the plot grows with the data
        expect(caption).not_to_have_text(shown_text(caption), timeout=DRAWN_AGAIN)
        expect(page.locator("#mode")).to_have_text("read-only")
        expect(page.locator("[data-action=cancel_run]")).to_have_count(0)
        answers = page.evaluate(ASK_FOR_CHANGES)
        assert [one["type"] for one in answers] == ["error"] * len(answers)
        assert {one["text"] for one in answers} == {"This view may only look: nothing was changed."}
        photograph(page, page.locator(".adaptive-scheduler"), pictures, "run")
        with ManagerClient(study.run) as client:
            assert not client.snapshot("none").over
        assert chromium.said == []
    finally:
        server.kill()


#: A script of the page itself asks for changes, past all buttons.
ASK_FOR_CHANGES = """
() => new Promise((done) => {
  const key = document.getElementById("view").dataset.key;
  const path = location.pathname.split("/")[1];
  const socket = new WebSocket(`ws://${location.host}/${path}/socket/${key}`);
  const asked = ["cancel_run", "cancel", "retry", "retry_all", "resume"];
  const answers = [];
  socket.onopen = () => asked.forEach((action, n) => socket.send(JSON.stringify({ type: "do", request: n + 1, action, items: [0] })));
  socket.onmessage = (event) => {
    const answer = JSON.parse(event.data);
    if (answer.request) answers.push(answer);
    if (answers.length === asked.length) { socket.close(); done(answers); }
  };
})
"""


def test_a_page_that_may_change_cancels_and_outlives_manager_and_run(
    study: Study, chromium: Chromium
) -> None:
    study.start()
    server = WebServer(str(study.run.home), "--allow-changes", **study.environ)
    page = chromium.page()
    sentence = page.locator(".as-sentence")
    try:
        page.goto(server.url)
        expect(sentence).to_have_text(RUNNING)
        study.kill_manager()
        expect(sentence).to_contain_text("No manager runs")
        do(page, "resume")
        expect(sentence).to_have_text(RUNNING)
        study.kill_manager()
        expect(sentence).to_contain_text("No manager runs")
        study.command("resume", str(study.run.home))  # somebody else does it
        expect(sentence).to_have_text(RUNNING)
        do(page, "cancel_run")
        expect(page.locator(".as-result")).to_contain_text("cancelled")
        expect(sentence).to_contain_text("Ended")
        with ManagerClient(study.run) as client:
            wait_until(lambda: not client.lives())
        remove(study.run.home)
        expect(page.locator(".as-age")).to_contain_text("the run cannot be read")
        assert chromium.said == []
    finally:
        server.kill()


#: What waits half a minute for the release of the mouse waits for ever.
NO_HALF_MINUTE = """
const set = window.setTimeout;
window.setTimeout = (act, pause, ...more) => pause === 30000 ? 0 : set(act, pause, ...more);
"""


def test_rows_are_drawn_while_the_mouse_holds_the_scrollbar(tmp_path: Path) -> None:
    """Unlike while it is pressed on a row."""
    large_run(tmp_path / "a run", 2000)
    server = WebServer(str(tmp_path / "a run"))
    try:
        with playwright.sync_playwright() as driver:
            browser = launch(driver, ignore_default_args=["--hide-scrollbars"])
            page = new_page(new_context(browser, viewport={"width": 1280, "height": 1400}))
            page.add_init_script(NO_HALF_MINUTE)
            page.goto(server.url)
            rows = page.locator(".as-spacer .as-tr")
            expect(rows.filter(has_text="offset=0/").first).to_be_visible()
            box = page.locator(".as-body").evaluate(
                "(body) => body.getBoundingClientRect().toJSON()"
            )
            across, height = box["right"] - 5, box["bottom"] - box["top"]
            page.mouse.move(across, box["top"] + 0.7 * height)
            page.mouse.down()  # it goes on to there as long as it is pressed
            expect(rows.filter(has_text=re.compile(r"offset=\d{3,}/")).first).to_be_visible()
            page.mouse.up()
    finally:
        server.kill()


def test_the_index_follows_runs_and_the_server(
    tmp_path: Path, chromium: Chromium, pictures: Path
) -> None:
    home = tmp_path / "all runs"
    make_run(home / "a study with a long name of many words" / "first")
    server = WebServer(str(home))
    page = chromium.page()
    rows = page.locator("#runs tbody tr")
    try:
        page.goto(server.url)
        page.get_by_role("link", name="All runs").click()
        expect(rows).to_have_count(1)
        make_run(home / "second")
        expect(rows).to_have_count(2)
        expect(rows.first).to_contain_text("manager dead")
        photograph(page, page.locator("#runs"), pictures, "index")
        remove(home / "second")
        expect(rows).to_have_count(1)
        page.get_by_role("link", name="first").click()
        expect(page.locator(".as-sentence")).to_contain_text("No manager runs")
        assert chromium.said == []
        port = server.port
        server.end()
        expect(page.locator("#connection")).to_contain_text("No connection")
        server = WebServer(str(home), "--port", str(port))
        expect(page.locator("#connection")).to_contain_text("was started again")
        page.goto(server.url)
        expect(page.locator(".as-sentence")).to_contain_text("No manager runs")
    finally:
        server.kill()


class OtherSite(BaseHTTPRequestHandler):
    """A server of another user at another port of the same host."""

    cookies: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.cookies.append(self.headers.get("Cookie", ""))
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<p>Look here!</p>")

    def log_message(self, *_: object) -> None:
        pass


#: What a page of another site tries with a page that it knows; returns what came of each.
ATTACK = """
async ([base, key]) => {
  const socket = new WebSocket(`${base.replace("http", "ws")}socket/${key}`);
  const opened = await new Promise((done) => { socket.onopen = () => done("open"); socket.onerror = () => done("refused"); });
  const read = await fetch(`${base}runs.json`, { credentials: "include" }).then((answer) => answer.text(), () => "refused");
  const frame = document.createElement("iframe");
  frame.src = base;
  document.body.append(frame);
  await new Promise((done) => { frame.onload = done; });
  let framed = "refused";
  try { framed = frame.contentDocument ? "open" : "refused"; } catch { framed = "refused"; }
  const script = document.createElement("script");
  script.src = `${base}static/web.js`;
  const loaded = await new Promise((done) => { script.onload = () => done("open"); script.onerror = () => done("refused"); document.body.append(script); });
  return [opened, read, framed, loaded];
}
"""


def test_pages_of_other_sites_in_the_same_browser_get_nothing(
    tmp_path: Path, chromium: Chromium
) -> None:
    make_run(tmp_path / "first")
    server = WebServer(str(tmp_path / "first"))
    other = ThreadingHTTPServer(("127.0.0.1", 0), OtherSite)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    OtherSite.cookies.clear()
    try:
        page = chromium.page()
        page.goto(server.url)
        expect(page.locator(".as-sentence")).to_contain_text("No manager runs")
        key = page.locator("#view").evaluate("(view) => view.dataset.key")
        base = f"http://127.0.0.1:{server.port}{server.path}"
        for host in ("127.0.0.1", "localhost"):
            intruder = new_page(chromium.context)
            intruder.goto(f"http://{host}:{other.server_port}/")
            came = intruder.evaluate(ATTACK, [base, key])  # it waits for all four
            assert came == ["refused"] * 4
        assert OtherSite.cookies
        assert set(OtherSite.cookies) == {""}, "the cookie is not sent to other ports"
        page.reload()  # who is let in still is
        expect(page.locator(".as-sentence")).to_contain_text("No manager runs")
    finally:
        other.shutdown()
        other.server_close()
        server.kill()
