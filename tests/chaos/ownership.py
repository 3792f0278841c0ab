"""Which job owned a learner when, by the clients' logs."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from tests.chaos.fault import Fault
from tests.chaos.world import ChaosRun

#: Events of a client that has learned that another has its learner.
FENCED = {"item_taken_back", "item_lost", "learner_stopped", "data_repaired", "manager_unreachable"}
#: Written when the manager has answered: by then another may have the learner already.
ANSWERED = {"item_released", "item_failed"}
#: Seconds that a client may take to learn of it once it is continued.
TO_HEAR = 10.0


@dataclass(frozen=True)
class Owner:
    """One lease of a learner, by the log of its holder."""

    token: int
    job: str
    begin: float
    worked_until: float
    finished: bool
    was_fenced: bool


def check_owners(
    run: ChaosRun, faults: list[Fault], violations: list[str], figures: Counter[str]
) -> None:
    """No owner works on after the next one has begun, but for those that were stopped."""
    stops = [fault for fault in faults if fault.stops]
    for item, owners in owners_of(run.run.folder.logs).items():
        figures["leases"] += len(owners)
        figures["zombies fenced"] += sum(owner.was_fenced for owner in owners)
        if sum(owner.finished for owner in owners) > 1:
            violations.append(f"{run.name} item {item} was finished twice: {owners}")
        for before, after in pairwise(owners):
            if before.worked_until <= after.begin:
                continue
            if before.finished or not _was_stopped(before, stops, run):
                violations.append(f"{run.name} item {item} had two owners: {before}, {after}")


def _was_stopped(owner: Owner, stops: list[Fault], run: ChaosRun) -> bool:
    """Whether it was stopped when it lost its learner, and let go soon after."""
    return any(
        fault.job == owner.job and run.wall(fault.at) < owner.worked_until
        and owner.worked_until <= run.wall(fault.until) + TO_HEAR
        for fault in stops
    )  # fmt: skip


def owners_of(logs: Path) -> dict[int, list[Owner]]:
    """For each item its owners by token."""
    said: defaultdict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    for path in logs.glob("*.log"):
        for event in events_of(path):
            if event.get("token"):
                said[event["item"], event["token"]].append(event)
    owners: defaultdict[int, list[Owner]] = defaultdict(list)
    for (item, token), events in sorted(said.items()):
        work = [_at(event) for event in events if event["event"] not in FENCED | ANSWERED]
        owners[item].append(
            Owner(
                token, str(events[0]["job"]), min(map(_at, events)), max(work, default=0.0),
                any(event["event"] == "item_finished" for event in events),
                any(
                    event["event"] in ("item_taken_back", "item_lost")
                    or (event["event"], event.get("reason")) == ("learner_stopped", "lost")
                    for event in events
                ),
            )
        )  # fmt: skip
    return owners


def _at(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["timestamp"]).timestamp()


def events_of(path: Path) -> list[dict[str, Any]]:
    """Lines of a log; a full disk may have cut some."""
    found = []
    for line in path.read_bytes().splitlines():
        try:
            found.append(msgspec.json.decode(line))
        except msgspec.DecodeError:
            continue
    return found
