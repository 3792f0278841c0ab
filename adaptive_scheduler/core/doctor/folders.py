"""Verdicts on folders: what an error of a file system means."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from adaptive_scheduler.core.doctor.findings import Finding, worst, wrong
from adaptive_scheduler.core.doctor.observations import FolderSeen

#: Less than so many bytes is a warning.
LITTLE = 100 * 2**20


def judge_folders(check: str, seen: Sequence[FolderSeen]) -> list[Finding]:
    """Judge the folders of one check."""
    bad = [finding for one in seen for finding in _judge(check, one)]
    return worst(bad, check, "; ".join(f"{one.folder} on {one.host}" for one in seen))


def _judge(check: str, seen: FolderSeen) -> list[Finding]:
    facts = {"folder": seen.folder, "host": seen.host, "why": seen.words, "free": _size(seen.free)}
    if name := _fault(seen):
        return [wrong(name, check, **facts)]
    if seen.free is not None and seen.free < LITTLE:
        return [wrong("little-room", check, **facts)]
    return []


def _fault(seen: FolderSeen) -> str:
    if seen.step == "":
        return ""
    if seen.step == "read":
        return "garbled"
    if seen.number == errno.EDQUOT:
        return "quota"
    if seen.number == errno.ENOSPC:
        return "no-inodes" if seen.free_files == 0 and seen.free else "no-room"
    return "locks-fail" if seen.step == "lock" else "folder-unwritable"


def _size(n: int | None) -> str:
    if n is None:
        return "an unknown number of bytes"
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if n >= size:
            return f"{n / size:.3g} {unit}"
    return f"{n} bytes"
