"""Makes one check within its time: a disk or a command that hangs must not hold up the others."""

from __future__ import annotations

import threading
from collections.abc import Callable

from adaptive_scheduler.core.doctor.findings import Finding, Level
from adaptive_scheduler.core.doctor.table import CHECKS
from adaptive_scheduler.errors import AdaptiveSchedulerError

#: What one check returns.
Found = Finding | list[Finding]


def make_check(
    name: str, attempt: Callable[[], Found], seconds: float | None = None
) -> list[Finding]:
    """Make one check in a thread of its own, which is left behind if it takes too long.

    Parameters
    ----------
    name : str
        In `CHECKS`.
    attempt : callable
    seconds : float, optional
        Default: those of the table.

    Returns
    -------
    list of Finding
        One that says so if the check cannot be made.
    """
    limit = CHECKS[name].seconds if seconds is None else seconds
    results: list[list[Finding]] = []
    thread = threading.Thread(
        target=lambda: results.append(_findings(name, attempt)), name=name, daemon=True
    )
    thread.start()
    thread.join(limit)
    if results:
        return results[0]
    remedy = "Something hangs there: a file system that is away, or a program. Try again later."
    return [unknown(name, f"not found out: no answer within {limit:.0f} s", remedy)]


def _findings(name: str, attempt: Callable[[], Found]) -> list[Finding]:
    try:
        found = attempt()
    except (AdaptiveSchedulerError, OSError) as error:
        return [unknown(name, f"not found out: {error}")]
    return found if isinstance(found, list) else [found]


def unknown(name: str, found: str, remedy: str = "") -> Finding:
    """Return the finding that a check could not be made."""
    return Finding(name, Level.UNKNOWN, found, "", remedy)
