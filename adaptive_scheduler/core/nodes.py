"""Which nodes kill jobs."""

from __future__ import annotations

from collections import defaultdict

from adaptive_scheduler.core.job_records import JobRecord

#: Deaths on one node that make it a suspect: before the first claim, or with different items.
DEATHS = 3
#: Seconds after its last death in which a node is avoided; nodes get repaired.
AVOIDED = 3600.0


class NodeBook:
    """Deaths by node. Never more than half of the nodes seen are excluded."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._deaths: defaultdict[str, set[object]] = defaultdict(set)
        self._last: dict[str, float] = {}

    def note_life(self, node: str) -> None:
        """A job got work on this node, so it is not broken."""
        self._seen.add(node)
        self._deaths.pop(node, None)

    def note_death(self, record: JobRecord, item: int | None, crash: bool, now: float) -> None:
        """A job died.

        Parameters
        ----------
        record : JobRecord
        item : int, optional
            What it held: three deaths with one item are that item's fault.
        crash : bool
            By its own fault, as far as known.
        now : float
            Monotonic seconds.
        """
        if not record.host or not (crash or record.broken):
            return
        self._seen.add(record.host)
        self._deaths[record.host].add(("item", item) if item is not None else ("job", record.id))
        self._last[record.host] = now

    def excluded(self) -> tuple[str, ...]:
        """Hosts to avoid, the worst first."""
        suspects = [node for node, deaths in self._deaths.items() if len(deaths) >= DEATHS]
        suspects.sort(key=lambda node: -len(self._deaths[node]))
        return tuple(suspects[: len(self._seen) // 2])
