"""Makes checks, each within its time: a disk or a command that hangs must not hold up the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from adaptive_scheduler.core.doctor.findings import Finding, unknown
from adaptive_scheduler.core.doctor.table import CHECKS
from adaptive_scheduler.errors import AdaptiveSchedulerError

#: What one check returns.
Found = Finding | list[Finding]


class _Attempt(threading.Thread):
    """One check in a thread of its own, which is left behind if it takes too long."""

    def __init__(self, check: str, attempt: Callable[[], Found]) -> None:
        super().__init__(name=check, daemon=True)
        self._check, self._attempt = check, attempt
        self._found: list[Finding] | None = None
        self._has_ended = threading.Event()  # join() returns at once after an interrupted one

    def run(self) -> None:
        try:
            self._found = _findings(self._check, self._attempt)
        finally:
            self._has_ended.set()

    def result(self, end: float) -> list[Finding]:
        """Wait until `end`, on the monotonic clock; say so if there is no result then."""
        self._has_ended.wait(max(end - time.monotonic(), 0))
        if self._found is not None:
            return self._found
        remedy = "Something hangs there: a file system that is away, or a program. Try again later."
        return [unknown(self._check, "not found out: it does not end", remedy)]


def make_checks(
    attempts: Mapping[str, Callable[[], Found]],
    seconds: float | None = None,
    *,
    to_the_end: bool = False,
) -> list[Finding]:
    """Make several checks at once.

    Parameters
    ----------
    attempts : mapping
        Of names in `CHECKS`.
    seconds : float, optional
        For each of them; default: those of the table.
    to_the_end : bool
        After Ctrl-C, too, they are waited for, because they undo what they have done; a second one
        ends that.

    Returns
    -------
    list of Finding
        In the order of `attempts`; one that says so if a check cannot be made.
    """
    begun = time.monotonic()
    threads = {name: _Attempt(name, attempt) for name, attempt in attempts.items()}
    for thread in threads.values():
        thread.start()
    limits = {name: CHECKS[name].seconds if seconds is None else seconds for name in threads}
    ends = {name: begun + limit for name, limit in limits.items()}
    try:
        return [one for name, thread in threads.items() for one in thread.result(ends[name])]
    except KeyboardInterrupt:
        if to_the_end:
            for name, thread in threads.items():
                thread.result(ends[name])
        raise


def _findings(name: str, attempt: Callable[[], Found]) -> list[Finding]:
    try:
        found = attempt()
    except (AdaptiveSchedulerError, OSError) as error:
        return [unknown(name, f"not found out: {error}")]
    return found if isinstance(found, list) else [found]
