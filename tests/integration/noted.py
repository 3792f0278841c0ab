"""A function that notes when it begins and ends, in a module that imports nothing: workers import it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any


def noted(seconds: float, ledger: str, point: Any) -> float:
    """Write down that a point has begun, and that it has ended; return a value."""
    note(ledger, f"begin {point!r}")
    time.sleep(seconds)
    note(ledger, f"end {point!r}")
    x, y = point if isinstance(point, tuple) else (point, 0.0)
    return float(x * x + y)


def noted_if_allowed(seconds: float, ledger: str, point: Any) -> float:
    """As `noted`; but once as many have ended as `allow` has allowed, others wait before they end."""
    note(ledger, f"begin {point!r}")
    while len(noted_in(ledger, "end")) >= allowed(ledger):
        time.sleep(0.02)
    time.sleep(seconds)
    note(ledger, f"end {point!r}")
    return float(point * point)


def allow(ledger: str, points: int) -> None:
    """Let so many points end in all, and those that have passed this already."""
    Path(f"{ledger}.next").write_text(str(points))
    Path(f"{ledger}.next").replace(f"{ledger}.allowed")


def allowed(ledger: str, default: int = 0) -> int:
    """How many points may end: what `allow` has said last, if it has."""
    try:
        return int(Path(f"{ledger}.allowed").read_text())
    except FileNotFoundError:
        return default


def note(ledger: str, line: str) -> None:
    """Append a line at once, whoever else does so."""
    file = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{line}\n".encode())
    os.close(file)


def noted_in(ledger: str, what: str) -> list[str]:
    """The points of which a ledger says so."""
    try:
        lines = Path(ledger).read_text().splitlines()
    except FileNotFoundError:
        return []
    return [line.removeprefix(f"{what} ") for line in lines if line.startswith(f"{what} ")]
