"""Which nodes kill jobs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

#: Deaths on one node that make it a suspect: before the first claim, or with different items.
DEATHS = 3
#: A job that was heard for longer after a claim (seconds) does not speak against its node.
QUICK = 60.0
#: Seconds after its last death in which a node is avoided; nodes get repaired.
AVOIDED = 3600.0


class NodeHealth:
    """Deaths by node. Never more than half of the nodes seen are excluded."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._deaths: defaultdict[str, set[object]] = defaultdict(set)
        self._last: dict[str, float] = {}

    def see(self, nodes: Iterable[str]) -> None:
        """Jobs run on these nodes."""
        self._seen.update(nodes)

    def note_death(self, node: str, job: str, item: int | None, now: float) -> None:
        """A job died by its own fault, before its first claim or soon after one.

        Parameters
        ----------
        node : str
            "" if nobody knows.
        job : str
        item : int, optional
            What it held: three deaths with one item are that item's fault.
        now : float
            Monotonic seconds.
        """
        if not node:
            return
        self._seen.add(node)
        self._deaths[node].add(("job", job) if item is None else ("item", item))
        self._last[node] = now

    def excluded(self, now: float) -> tuple[str, ...]:
        """Hosts to avoid, the worst first."""
        suspects = [
            node for node, deaths in self._deaths.items()
            if len(deaths) >= DEATHS and now - self._last[node] < AVOIDED
        ]  # fmt: skip
        suspects.sort(key=lambda node: -len(self._deaths[node]))
        return tuple(suspects[: len(self._seen) // 2])
