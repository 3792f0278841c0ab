"""What a check found."""

from __future__ import annotations

import msgspec


class CheckResult(msgspec.Struct, frozen=True):
    """One thing that was tried.

    Attributes
    ----------
    what : str
        The thing, in few words.
    ok : bool
    found : str
        What was seen.
    remedy : str
        What to do about it; "" if it is well.
    """

    what: str
    ok: bool
    found: str = ""
    remedy: str = ""


def merge(findings: list[CheckResult]) -> list[CheckResult]:
    """One finding for each thing, in the order of their first mention: the worst of them."""
    merged: dict[str, CheckResult] = {}
    for finding in findings:
        known = merged.get(finding.what)
        if known is None or (known.ok and not finding.ok):
            merged[finding.what] = finding
    return list(merged.values())
