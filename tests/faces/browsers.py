"""Chromium without a window, started for a machine that does much else.

The state of a page is never read right after something was done, or after it was loaded: a page that is slow shows it
later. `expect(locator)` waits until what is expected is so, `until(page, ...)` for all else. `shown_text` is what was
there at some time, to be compared with what comes later. `tests/test_architecture.py` holds this.

``ADAPTIVE_SCHEDULER_SLOW_BROWSER=8`` makes each page as slow as on a processor eight times slower, and lets what comes
by itself (answers, messages, frames, sizes, events of elements) come 300 ms late: all tests must pass then, too.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")
#: Milliseconds for anything that a page is asked for.
PATIENCE = 300_000
#: Milliseconds: a plot whose drawing takes long is drawn again after ten minutes at the latest.
DRAWN_AGAIN = 900_000
#: In a container /dev/shm is small, and a page that does not fit there dies.
ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage")
#: How many times slower a page's processor is.
SLOWER = float(os.environ.get("ADAPTIVE_SCHEDULER_SLOW_BROWSER") or 1)

#: Runs in each page before its own scripts.
_LATE = """
(() => {
  const LATE = 300;
  const later = (act) => setTimeout(act, LATE);
  const add = EventTarget.prototype.addEventListener;
  EventTarget.prototype.addEventListener = function (type, listener, ...more) {
    const isLate = type === "toggle" || (this instanceof WebSocket && ["open", "message", "close"].includes(type));
    if (!isLate || typeof listener !== "function") return add.call(this, type, listener, ...more);
    return add.call(this, type, function (event) { later(() => listener.call(this, event)); }, ...more);
  };
  for (const name of ["onopen", "onmessage", "onclose"]) {
    const found = Object.getOwnPropertyDescriptor(WebSocket.prototype, name);
    Object.defineProperty(WebSocket.prototype, name, { ...found, set(act) {
      found.set.call(this, act && function (event) { later(() => act.call(this, event)); });
    } });
  }
  const fetched = window.fetch;
  window.fetch = async (...given) => {
    const answer = await fetched(...given);
    await new Promise(later);
    return answer;
  };
  const json = Response.prototype.json;
  Response.prototype.json = async function () {
    await new Promise(later);
    return json.call(this);
  };
  const Sizes = window.ResizeObserver;
  window.ResizeObserver = class extends Sizes {
    constructor(act) { super((...seen) => later(() => act(...seen))); }
  };
})();
"""


def launch(driver: Any, **options: Any) -> Any:
    """Start the browser of Debian or Ubuntu; skips by name where there is none."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    return driver.chromium.launch(
        executable_path=CHROMIUM, args=list(ARGUMENTS), timeout=PATIENCE, **options
    )


def new_context(browser: Any, **options: Any) -> Any:
    """A user of the browser: with patience, and with a slow machine if that is asked for."""
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE)
    if SLOWER > 1:
        context.add_init_script(_LATE)
    return context


def new_page(context: Any) -> Any:
    """A page of `new_context`."""
    page = context.new_page()
    if SLOWER > 1:
        session = context.new_cdp_session(page)
        session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    return page


def expect(what: Any) -> Any:
    """What a locator or a page must show sooner or later; see playwright's assertions."""
    from playwright.sync_api import expect as found

    found.set_options(timeout=PATIENCE)
    return found(what)


def until(page: Any, is_so: Callable[[], object], what: str = "it did not happen in time") -> None:
    """Ask again and again until something is so; the page goes on meanwhile."""
    end = time.monotonic() + PATIENCE / 1000
    while not is_so():
        assert time.monotonic() < end, what
        page.wait_for_timeout(100)


def until_true(page: Any, expression: str, argument: Any = None) -> None:
    """Wait until an expression or a function of JavaScript is true in the page."""
    page.wait_for_function(expression, arg=argument)


def shown_text(locator: Any) -> str:
    """What an element shows now, as soon as it shows anything."""
    expect(locator).to_have_text(re.compile(r"\S"))
    text: str = locator.inner_text()
    return text
