"""Which nodes kill jobs, and are therefore avoided."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from adaptive_scheduler.core.jobs.job_tracking import TrackedJob

#: Deaths on one node after which it is avoided: before the first claim, or with different items.
DEATHS = 3
#: A job that was heard for longer after its claim (seconds) does not count against its node.
QUICK = 60.0
#: Seconds after its last death for which a node is avoided; nodes get repaired.
AVOIDED = 3600.0


class NodeHealth:
    """Counts deaths by node. Never more than half of the known nodes are excluded."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._deaths: defaultdict[str, set[object]] = defaultdict(set)
        self._last_death: dict[str, float] = {}

    def add(self, nodes: Iterable[str]) -> None:
        """Know these nodes: jobs that were given work run there."""
        self._known.update(nodes)

    def on_death(self, job: TrackedJob, item: int | None, crash: bool, now: float) -> None:
        """Count a job's death, if its node is under suspicion for it.

        That is so for a crash before the first claim or soon after one, and for a client that
        found that it could not work there.

        Parameters
        ----------
        job : TrackedJob
        item : int, optional
            What it held: several deaths with one item are that item's fault.
        crash : bool
            It died by its own fault, as far as is known.
        now : float
            Monotonic seconds.
        """
        record, node = job.record, job.node_name
        was_quick = (item is not None or not record.has_worked) and (job.worked_for or 0.0) < QUICK
        unusable = record.broken and not record.has_worked
        if node and ((crash and was_quick) or unusable):
            self._known.add(node)
            self._deaths[node].add(("job", job.id) if item is None else ("item", item))
            self._last_death[node] = now

    def excluded(self, now: float) -> tuple[str, ...]:
        """Return the hosts to avoid, the worst first."""
        suspects = [
            node for node, deaths in self._deaths.items()
            if len(deaths) >= DEATHS and now - self._last_death[node] < AVOIDED
        ]  # fmt: skip
        suspects.sort(key=lambda node: -len(self._deaths[node]))
        return tuple(suspects[: len(self._known) // 2])
