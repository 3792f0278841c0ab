"""Entries of a run's logs, read and shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from rich.text import Text

from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.core.wire.snapshot import ItemView

#: Facts that are not shown in each line: they are shown elsewhere, or are the same everywhere.
_HIDDEN = frozenset({"timestamp", "event", "level", "job", "run", "item", "fname"})
_STYLES = {"warning": "yellow", "error": "red", "critical": "bold red"}


@dataclass(frozen=True)
class Entry:
    """One event of a log.

    Attributes
    ----------
    time : str
        ISO 8601, UTC.
    source : str
        The job, or ``manager``.
    event : str
    facts : dict
        Everything in the line of the log.
    """

    time: str
    source: str
    event: str
    facts: dict[str, Any]


def read_entries(path: Path, source: str) -> Iterator[Entry]:
    """Read a log file. Bytes that are not UTF-8 become a mark; an incomplete line is left out."""
    from adaptive_scheduler.io.system.read_logs import read_events

    for facts in read_events(path):
        entry = entry_of(facts, source)
        if entry.event != "unreadable":
            yield entry


def entry_of(facts: dict[str, Any], source: str) -> Entry:
    """Return a line of a log as an entry."""
    event, origin = str(facts.get("event", "unreadable")), str(facts.get("job") or source)
    return Entry(str(facts.get("timestamp", "")), origin, event, facts)


def entries_of(paths: Iterable[Path], item: int) -> list[Entry]:
    """The entries of one learner in all job logs, in the order of their times."""
    found = [
        entry
        for path in paths
        for entry in read_entries(path, path.stem)
        if entry.facts.get("item") == item
    ]
    return sorted(found, key=lambda entry: entry.time)


def entry_line(entry: Entry) -> Text:
    """One entry on one line."""
    facts = "  ".join(
        f"{key}={_short(value)}" for key, value in entry.facts.items() if key not in _HIDDEN
    )
    return Text.assemble(
        (entry.time[:19].replace("T", " "), "dim"),
        f"  {entry.source}  ",
        (entry.event, _STYLES.get(str(entry.facts.get("level")), "bold")),
        f"  {facts}",
    )


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    first = text.strip().splitlines()[0] if text.strip() else ""
    return first if len(first) <= 200 else f"{first[:200]}…"


def traceback_text(item: ItemView) -> Text:
    """Why a learner is where it is, with the traceback of the user's code."""
    head = f"learner {item.id} is {item.phase.value}"
    counts = (
        f"{counted(item.attempts, 'attempt')}, {counted(item.fails, 'failure')}, "
        f"{counted(item.crashes, 'crash', 'crashes')}"
    )
    reason = f": {item.reason}" if item.reason else ""
    return Text.assemble((head, "bold"), f"{reason} ({counts})\n", item.traceback)
