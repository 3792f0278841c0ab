"""Which nodes kill jobs, and are therefore avoided."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from adaptive_scheduler.core.jobs.job_tracking import TrackedJob

#: Deaths on one node after which it is avoided: before the first claim, or with different items.
DEATHS = 3
#: A job that was heard for longer after its claim (seconds) does not count against its node.
QUICK = 60.0
#: Seconds after its last death for which a node is avoided; nodes get repaired.
AVOIDED = 3600.0
#: So many tasks in a row that fail fast on one node, within so many seconds each, while tasks on
#: another one fail at most so often: that node is avoided. Tasks that fail everywhere blame none.
TASK_FAILURES, FAST, SELDOM = 10, 5.0, 0.1
#: How much one end counts for how often tasks fail on a node.
_WEIGHT = 0.1


class _TasksOfNode:
    """How tasks ended on one node of late: what failed fast in a row, and how often one fails."""

    def __init__(self) -> None:
        self.failed: set[int] = set()
        self.failing = 0.5
        self.last = 0.0

    def note(self, item: int, now: float, *, is_good: bool) -> None:
        self.failing += _WEIGHT * ((not is_good) - self.failing)
        if is_good:
            self.failed.clear()
        else:
            self.failed.add(item)
            self.last = now


class NodeHealth:
    """Counts deaths by node, and tasks that fail fast. Never more than half of the known nodes are excluded."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._deaths: defaultdict[str, set[object]] = defaultdict(set)
        self._last_death: dict[str, float] = {}
        self._tasks: defaultdict[str, _TasksOfNode] = defaultdict(_TasksOfNode)
        self._failing: dict[str, None] = {}  # nodes where so many have failed fast, in order

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

    def on_task_end(self, node: str, item: int, seconds: float, now: float, *, good: bool) -> None:
        """Count how a task has ended on a node, if that tells something: it failed fast, or was good."""
        if node and (good or seconds < FAST):
            self._known.add(node)
            self._tasks[node].note(item, now, is_good=good)
            if len(self._tasks[node].failed) >= TASK_FAILURES:
                self._failing.setdefault(node)
            else:
                self._failing.pop(node, None)

    def failing_tasks(self, now: float) -> Collection[str]:
        """Return the nodes where tasks fail fast and only there, so that they get no more."""
        return self._failing.keys() & set(self.excluded(now)) if self._failing else ()

    def _is_bad_for_tasks(self, node: str, now: float) -> bool:
        if now - self._tasks[node].last >= AVOIDED:
            return False
        return any(other.failing <= SELDOM for other in self._tasks.values())

    def excluded(self, now: float) -> tuple[str, ...]:
        """Return the hosts to avoid, the worst first."""
        suspects = [
            node for node, deaths in self._deaths.items()
            if len(deaths) >= DEATHS and now - self._last_death[node] < AVOIDED
        ]  # fmt: skip
        suspects += [
            node for node in self._failing
            if node not in suspects and self._is_bad_for_tasks(node, now)
        ]  # fmt: skip
        suspects.sort(key=lambda node: -len(self._deaths.get(node, ())))
        return tuple(suspects[: len(self._known) // 2])
