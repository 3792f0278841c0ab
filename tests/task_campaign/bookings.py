"""What a ledger says of places: no core and no GPU of a node is given to two tasks at a time."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

Interval = tuple[float, float, dict[str, Any]]


def read_ledger(path: Path) -> list[dict[str, Any]]:
    """Return what tasks noted."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def intervals(ledger: list[dict[str, Any]]) -> list[Interval]:
    """From when to when each ran, as far as it told: one that was killed may have run a little longer."""
    begun = {line["mark"]: line for line in ledger if line["what"] == "begin"}
    seen = {mark: line["at"] for mark, line in begun.items()}
    for line in ledger:
        seen[line["mark"]] = max(seen[line["mark"]], line["at"])
    return [(begun[mark]["at"], at, begun[mark]) for mark, at in seen.items()]


def double_bookings(
    ledger: list[dict[str, Any]], cores: int, unwatched: Collection[str] = ()
) -> list[str]:
    """What overlaps on one core of one node, among tasks that are bound to fewer than so many cores.

    Parameters
    ----------
    ledger : list of dict
    cores : int
    unwatched : collection of str
        Jobs that may have run on although their nodes were given to others.
    """
    by_core: dict[Any, list[tuple[float, float, str]]] = defaultdict(list)
    for begin, end, line in intervals(ledger):
        if len(line["cores"]) < cores:
            for core in line["cores"]:
                by_core[_where(line, unwatched), f"core {core}"].append((begin, end, line["key"]))
    return [
        f"{place}: {first} until {until}, but {second} from {begin}"
        for place, runs in by_core.items()
        for (_, until, first), (begin, _, second) in zip(sorted(runs), sorted(runs)[1:], strict=False)
        if begin < until
    ]  # fmt: skip


def _where(line: dict[str, Any], unwatched: Collection[str]) -> str:
    return f"{line['node']} of {line['job']}" if line["job"] in unwatched else str(line["node"])


def gpus_overbooked(
    ledger: list[dict[str, Any]], shares: Mapping[str, float], unwatched: Collection[str] = ()
) -> list[str]:
    """GPUs of a node of which more than a whole one was given away at a time, or to the wrong task.

    Parameters
    ----------
    ledger : list of dict
    shares : mapping of str to float
        GPUs of each rank, by the key of its task; below 1: a part of one.
    unwatched : collection of str
        As of `double_bookings`.
    """
    wrong = []
    changes: dict[Any, list[tuple[float, float]]] = defaultdict(list)
    for begin, end, line in intervals(ledger):
        its = [one for one in (line["gpus"] or "").split(",") if one]
        share = shares[line["key"]]
        if len(its) != (1 if 0 < share < 1 else share):
            wrong.append(f"{line['key']} has the GPUs {its}, and wants {share}")
        for gpu in its:
            changes[_where(line, unwatched), f"GPU {gpu}"] += [
                (begin, min(1.0, share)),
                (end, -min(1.0, share)),
            ]
    return wrong + [
        f"{place}: {most:g} taken at a time"
        for place, its in changes.items()
        if (most := most_at_a_time(its)) > 1.0 + 1e-9
    ]  # fmt: skip


def too_many_at_a_time(
    ledger: list[dict[str, Any]], threads: Mapping[str, int], cores: int
) -> list[str]:
    """Jobs in which more cores of a node were taken at a time than they have there."""
    changes: dict[Any, list[tuple[float, float]]] = defaultdict(list)
    for begin, end, line in intervals(ledger):
        n = threads[line["key"]]
        changes[line["job"], line["node"]] += [(begin, n), (end, -n)]
    return [
        f"job {job} on {node or 'its node'}: {most:g} cores taken at a time, it has {cores}"
        for (job, node), its in changes.items()
        if (most := most_at_a_time(its)) > cores
    ]


def most_at_a_time(changes: Iterable[tuple[float, float]]) -> float:
    """Return the highest sum of what is taken and given back."""
    taken = most = 0.0
    for _, change in sorted(changes):
        taken += change
        most = max(most, taken)
    return most
