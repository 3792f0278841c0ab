"""Whether what a page shows is cut or overlaps."""

from __future__ import annotations

from typing import Any

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


def faults(view: Any) -> list[str]:
    """Return what is wrong with the layout of a playwright locator's element."""
    found: list[str] = view.evaluate(_FAULTS)
    return found
