"""Verdicts on a run's folder: its keys, its lock, its manager."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from adaptive_scheduler.core.doctor.findings import Finding, fine, worst, wrong
from adaptive_scheduler.core.doctor.observations import FileSeen, LockSeen, UrlTried


def judge_files(seen: Sequence[FileSeen], me: int) -> list[Finding]:
    """Judge owner and mode of private files; `me` is this user's number."""
    bad = [finding for one in seen for finding in _judge_file(one, me)]
    return worst(bad, "keys", "they are yours, and closed to others")


def _judge_file(seen: FileSeen, me: int) -> list[Finding]:
    if seen.mode is None:
        return [wrong("keys-missing", path=seen.path)]
    if seen.owner != me:
        return [wrong("keys-foreign", path=seen.path, owner=seen.owner)]
    if seen.mode & 0o077:
        right = 0o700 if seen.is_folder else 0o600
        return [
            wrong(
                "keys-open", path=seen.path, mode=seen.mode, right=right,
                quoted=shlex.quote(seen.path),
            )
        ]  # fmt: skip
    return []


def judge_lock(seen: LockSeen, run: str) -> Finding:
    """Judge who holds a run's lock; `run` is its folder as a shell takes it."""
    mine = seen.holder[1] if seen.holder and seen.alive and seen.holder[0] == seen.here else None
    others = [pid for pid in seen.managers if pid != mine]
    if others and seen.alive and seen.holder is not None:
        host, pid = seen.holder
        return wrong(
            "another-manager", others=f"process {', '.join(map(str, others))} on {seen.here}",
            holder=f"process {pid} on {host}", pids=" ".join(map(str, others)),
        )  # fmt: skip
    if seen.holder is not None and not seen.alive:
        host, pid = seen.holder
        return wrong("stale-lock", pid=pid, host=host, run=run)
    if seen.holder is None:
        if seen.over:
            return fine("lock", "nobody holds it, and nothing is left to be done")
        return wrong("no-manager", run=run)
    return fine("lock", f"the manager, process {seen.holder[1]} on {seen.holder[0]}, holds it")


def judge_manager(tried: Sequence[UrlTried], host: str, pid: int, run: str) -> Finding:
    """Judge whether a manager that lives answers at one of its addresses."""
    good = [one.url for one in tried if one.outcome == "answered"]
    if good:
        return fine("manager", f"process {pid} on {host} answers at {good[0]}")
    attempts = ", ".join(f"{one.url} ({one.words or one.outcome})" for one in tried)
    return wrong("manager-silent", host=host, pid=pid, attempts=attempts or "any address", run=run)


def judge_versions(then: Mapping[str, str], now: Mapping[str, str], python: str) -> list[Finding]:
    """Judge whether the environment is the one of the start: minor versions alone matter."""
    changed = [
        wrong("python-changed", name=name, then=was, now=now.get(name, "none"), python=python)
        for name, was in then.items()
        if was.split(".")[:2] != now.get(name, "none").split(".")[:2]
    ]
    return worst(changed, "run", "its settings can be read, its packages are those of the start")
