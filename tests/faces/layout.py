"""Whether what a page shows is cut or overlaps."""

from __future__ import annotations

import time
from typing import Any

from tests.faces.browsers import PATIENCE

#: Leaves with text: none outside of the view, none over another, none cut without an ellipsis.
_FAULTS = """
(root) => {
  const scrolls = (node) => node && node !== root && (/auto|scroll/.test(getComputedStyle(node).overflowX + getComputedStyle(node).overflowY) ? node : scrolls(node.parentElement));
  const box = root.getBoundingClientRect();
  const leaves = [...root.querySelectorAll("*")].filter((node) => !node.closest("canvas, .uplot") && !node.children.length && node.textContent.trim() && node.checkVisibility());
  const faults = [];
  const shown = [];
  for (const node of leaves) {
    const range = document.createRange();
    range.selectNodeContents(node);
    const text = range.getBoundingClientRect();
    const clip = scrolls(node);
    const name = `${node.className || node.tagName} "${node.textContent.trim().slice(0, 40)}"`;
    if (!clip && (text.right > box.right + 1 || text.left < box.left - 1)) faults.push(`outside: ${name}`);
    if (node.scrollWidth > node.clientWidth + 1 && node.clientWidth && getComputedStyle(node).overflowX === "hidden" && getComputedStyle(node).textOverflow !== "ellipsis") faults.push(`cut: ${name}`);
    if (!clip) shown.push([name, text]);
  }
  shown.forEach(([name, a], n) => shown.slice(n + 1).forEach(([other, b]) => {
    const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (across > 2 && down > 3) faults.push(`overlap: ${name} and ${other}`);
  }));
  return faults;
}
"""


#: Ends when what has changed is drawn.
_DRAWN = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
#: The page is not wider than its window.
_FITS = "() => document.documentElement.scrollWidth <= innerWidth"


def expect_good_layout(page: Any, view: Any) -> None:
    """Wait until nothing of a locator's element is cut or overlaps, in two looks one after the other.

    A page that was made wider, or given other colours, is drawn anew a moment later.
    """
    end = time.monotonic() + PATIENCE / 1000
    good = 0
    while good < 2:
        page.evaluate(_DRAWN)
        found = view.evaluate(_FAULTS) + ([] if page.evaluate(_FITS) else ["wider than the window"])
        good = 0 if found else good + 1
        assert good or time.monotonic() < end, found
        page.wait_for_timeout(50)


def expect_shade(page: Any, scheme: str) -> None:
    """Wait until the background is ``light`` or ``dark``."""
    page.wait_for_function(
        """scheme => {
          const parts = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number);
          const isLight = parts[0] + parts[1] + parts[2] > 3 * 128;
          return isLight === (scheme === "light");
        }""",
        arg=scheme,
    )
