"""Results of `adaptive-scheduler check`."""

from __future__ import annotations

import msgspec


class CheckResult(msgspec.Struct, frozen=True):
    """Result of one thing that was tried.

    Attributes
    ----------
    what : str
        The thing, in few words.
    ok : bool
    found : str
        What was seen.
    remedy : str
        What to do about it; "" if it works.
    """

    what: str
    ok: bool
    found: str = ""
    remedy: str = ""


def merge(results: list[CheckResult]) -> list[CheckResult]:
    """Keep one result for each thing, a failed one if there is one, in the order of the first."""
    merged: dict[str, CheckResult] = {}
    for result in results:
        known = merged.get(result.what)
        if known is None or (known.ok and not result.ok):
            merged[result.what] = result
    return list(merged.values())
