"""Who held which learner from when to when, by the clients' own logs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

#: What a client notes of an item after it has let go of it.
AFTERWARDS = {
    "item_finished", "item_failed", "item_released", "item_lost", "manager_unreachable",
}  # fmt: skip


def events(logs: Path) -> Iterator[dict[str, Any]]:
    """Every event of every job, job by job."""
    for path in sorted(logs.glob("*.log")):
        yield from (msgspec.json.decode(line) for line in path.read_bytes().splitlines())


def ownership(logs: Path) -> dict[str, list[tuple[int, str, str]]]:
    """For each item the (token, claimed, stopped) of all that held it."""
    held: dict[str, dict[int, list[str]]] = {}
    for event in events(logs):
        if not event.get("token") or event["event"] in AFTERWARDS:
            continue
        times = held.setdefault(str(event["item"]), {}).setdefault(event["token"], [])
        times.append(event["timestamp"])
    return {
        item: [(token, min(times), max(times)) for token, times in sorted(tokens.items())]
        for item, tokens in held.items()
    }


def overlaps(logs: Path) -> list[str]:
    """Items that somebody was given while another still worked on them."""
    return [
        f"item {item}: {one} and {other}"
        for item, owners in ownership(logs).items()
        for one, other in pairwise(owners)
        if one[2] > other[1]
    ]
