"""A run's view in a real JupyterLab in headless Chromium: `example.ipynb`, as a newcomer runs it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from adaptive_scheduler.commandline.input.find_run import runs_below
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

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

ROOT = Path(__file__).resolve().parents[2]
ATTACH = 'import adaptive_scheduler\nadaptive_scheduler.RunManager.attach("notebook run").info()'

pytestmark = pytest.mark.mpi


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """A JupyterLab in a folder with the example; its functions take so long that no learner ends before it is cancelled."""
    folder = tmp_path / "a notebook"
    folder.mkdir()
    text = (ROOT / "example.ipynb").read_text()
    slow = text.replace("time.sleep(0.01)", "time.sleep(2.0)").replace("sleep(0.002)", "sleep(2.0)")
    assert slow.count("sleep(2.0)") == 2
    (folder / "example.ipynb").write_text(slow)
    state = tmp_path / "jupyter"
    environment = {
        **os.environ,
        "ADAPTIVE_SCHEDULER_LOCALBATCH": str(tmp_path / "batch system"),
        "ADAPTIVE_SCHEDULER_LOCALBATCH_IDLE": "1",
        **{f"JUPYTER_{name}_DIR": str(state / name) for name in ("CONFIG", "RUNTIME")},
        **{f"JUPYTERLAB_{name}_DIR": str(state / name) for name in ("SETTINGS", "WORKSPACES")},
    }
    settings = {"LabApp": {"news_url": None, "expose_app_in_browser": True}}
    (state / "CONFIG").mkdir(parents=True)
    (state / "CONFIG" / "jupyter_lab_config.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0",
               "--IdentityProvider.token=secret"]  # fmt: skip
    with (tmp_path / "lab.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        found = state / "RUNTIME" / f"jpserver-{server.pid}.json"
        wait_until(lambda: found.exists() and found.read_text().endswith("}"))
        yield json.loads(found.read_text())["url"]
    finally:
        server.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.wait(60)
        server.kill()
        server.wait()
        cancel_runs(folder, environment)


def cancel_runs(folder: Path, environment: dict[str, str]) -> None:
    """A test that fails leaves a run, which would go on."""
    for run in runs_below(folder).runs:
        words = [sys.executable, "-m", "adaptive_scheduler.cli", "cancel", str(run.home)]
        subprocess.run(
            words, env=environment, check=True, timeout=PATIENCE / 1000, stdout=subprocess.DEVNULL
        )


def wait_until(is_so: Callable[[], object], seconds: float = PATIENCE / 1000) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


@pytest.fixture
def page(pictures: Path) -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = launch(driver)
        page = new_page(new_context(browser, viewport={"width": 1280, "height": 900}))
        try:
            yield page
        finally:
            page.screenshot(path=pictures / "jupyterlab-at-the-end.png")
            browser.close()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder that stays, to be looked at: its path is printed."""
    chosen = os.environ.get("ADAPTIVE_SCHEDULER_PICTURES")
    folder = Path(chosen) if chosen else tmp_path / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    print(f"screenshots: {folder}")
    return folder


#: Runs the first cells, one after the other, once the kernel is there: keys would be lost before.
_RUN = """async (cells) => {
  const notebook = jupyterapp.shell.currentWidget;
  await notebook.context.ready;
  await notebook.sessionContext.ready;
  await notebook.sessionContext.session.kernel.info;
  notebook.content.activeCellIndex = 0;
  for (let n = 0; n < cells; n += 1) await jupyterapp.commands.execute("notebook:run-cell-and-select-next");
}"""


#: Runs some code in a new cell. It is not typed: who types sees when the cell is there.
_RUN_BELOW = """async (code) => {
  const notebook = jupyterapp.shell.currentWidget;
  await jupyterapp.commands.execute("notebook:insert-cell-below");
  notebook.content.activeCell.model.sharedModel.setSource(code);
  await jupyterapp.commands.execute("notebook:run-cell");
}"""


def run_first_cells(page: Any, url: str, cells: int) -> None:
    page.goto(f"{url}lab/tree/example.ipynb?token=secret")
    page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    page.wait_for_function("window.jupyterapp?.shell.currentWidget?.sessionContext")
    page.evaluate(_RUN, cells)


def command(page: Any, name: str, arguments: str = "{}") -> None:
    """Start a command of JupyterLab; it is not waited for: some end when a dialog is answered."""
    page.evaluate(f"() => {{ jupyterapp.commands.execute('{name}', {arguments}); }}")


def restart_kernel(page: Any) -> None:
    """Restart it, and wait until JupyterLab has: it forgets the widgets of a cell that runs meanwhile."""
    page.evaluate(
        "() => { window.restart = jupyterapp.commands.execute('notebook:restart-kernel'); }"
    )
    page.locator(".jp-Dialog .jp-mod-accept").click()
    page.evaluate("() => window.restart")
    page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.info")


def view_below(page: Any, code: str) -> Any:
    """The view below the first cell of code that has this text."""
    cell = page.locator(".jp-CodeCell").filter(has=page.locator(".cm-content", has_text=code)).first
    return cell.locator(".adaptive-scheduler")


def do(page: Any, view: Any, action: str) -> None:
    """Press a button of the view, and answer yes."""
    view.locator(f"[data-action={action}]").first.click()
    view.locator(".as-question .as-yes").click()


def test_a_run_is_watched_cancelled_and_found_again(lab: str, page: Any, pictures: Path) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    run_first_cells(page, lab, 9)
    view = view_below(page, "run_manager.info()")
    expect(view.locator(".as-sentence")).to_contain_text("Running")

    rows = view.locator(".as-spacer .as-tr")
    expect(rows).to_have_count(5)
    running = rows.filter(has_text="running").first
    points = running.locator(".as-td").nth(3)
    expect(points).not_to_have_text("0")
    expect(points).not_to_have_text(shown_text(points))  # progress moves

    running.focus()
    page.keyboard.press("Enter")  # by keyboard
    detail = view.locator(".as-detail")
    expect(detail.locator(".as-data canvas").first).to_be_visible(timeout=PATIENCE)
    caption = detail.locator(".as-caption")
    expect(caption).to_contain_text("point")
    # updated while it runs
    expect(caption).not_to_have_text(shown_text(caption), timeout=DRAWN_AGAIN)
    # of a log with a line each two seconds the end is shown, which may not reach to the first one
    expect(detail.locator(".as-log")).to_contain_text(re.compile("item_claimed|progress_made"))
    photograph(page, view, pictures, "running")

    rows.filter(has_text="ring").click()
    do(page, view, "cancel_run")
    expect(view.locator(".as-result")).to_contain_text("cancelled")
    expect(view.locator(".as-sentence")).to_contain_text("5 cancelled")

    other = view_below(page, "run_manager.start()")  # the run as the last line of a cell
    expect(other.locator(".as-sentence")).to_contain_text("5 cancelled")

    restart_kernel(page)
    page.evaluate(_RUN_BELOW, ATTACH)
    again = view_below(page, "attach(")
    expect(again.locator(".as-sentence")).to_contain_text("5 cancelled")
    do(page, again, "resume")
    expect(again.locator(".as-sentence")).to_contain_text("Running")
    do(page, again, "cancel_run")
    expect(again.locator(".as-result")).to_contain_text("cancelled")
    assert errors == []


def photograph(page: Any, view: Any, pictures: Path, name: str) -> None:
    """Keep pictures in both themes and two widths; nothing is cut, nothing overlaps."""
    for theme in ("Light", "Dark"):
        command(page, "apputils:change-theme", f"{{theme: 'JupyterLab {theme}'}}")
        expect(view).to_have_attribute("data-theme", theme.lower())
        for width in (1280, 1920):
            page.set_viewport_size({"width": width, "height": 2400})
            expect_good_layout(page, view)
            view.screenshot(path=pictures / f"jupyterlab-{name}-{theme.lower()}-{width}.png")
    page.set_viewport_size({"width": 1280, "height": 900})
