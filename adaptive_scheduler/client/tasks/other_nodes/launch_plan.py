"""When which node of a job is to be started, again after it was lost; and when it is given up. No process, no clock."""

from __future__ import annotations

from collections.abc import Iterable

#: Seconds before a node that was lost, or did not come, is started anew.
PAUSE = 3.0
#: Seconds that a node may take to come once its launcher has been started.
ARRIVAL = 60.0
#: So often a node may be started in vain, one time after the other.
MOST_VAIN_STARTS = 5


class _Awaited:
    """A node that is not there.

    Attributes
    ----------
    start_at : float
        When it is to be started; infinity while a launcher is at it.
    until : float
        When that is taken to be in vain.
    """

    def __init__(self, start_at: float) -> None:
        self.start_at = start_at
        self.until = float("inf")


class LaunchPlan:
    """What is to be started when.

    Parameters
    ----------
    nodes : iterable of str
    """

    def __init__(self, nodes: Iterable[str]) -> None:
        self._awaited = {node: _Awaited(0.0) for node in nodes}
        self._vain: dict[str, int] = {}
        self._there: set[str] = set()
        self._is_over = False

    def due(self, now: float) -> list[str]:
        """Return the nodes that are to be started now, in their order."""
        for node, awaited in self._awaited.items():
            if now >= awaited.until:
                self.note_failed([node], now)
        return [node for node, awaited in self._awaited.items() if now >= awaited.start_at]

    def in_groups(self, nodes: list[str]) -> list[list[str]]:
        """Divide nodes by who is to be started by one launcher: after a vain start each one alone.

        A node that is down lets ``srun`` fail for all that it is to start.
        """
        fresh = [node for node in nodes if node not in self._vain]
        return [
            group for group in (fresh, *([node] for node in nodes if node in self._vain)) if group
        ]

    def note_started(self, nodes: Iterable[str], now: float) -> None:
        """A launcher for these nodes has been started."""
        for node in nodes:
            self._vain[node] = self._vain.get(node, 0) + 1
            self._awaited[node].start_at = float("inf")
            self._awaited[node].until = now + ARRIVAL

    def note_failed(self, nodes: Iterable[str], now: float, begun: float = float("inf")) -> None:
        """Their launcher has ended: those that are not there are started anew after a pause.

        Not those for which another one is at work, that was started after `begun`.
        """
        for node in nodes:
            awaited = self._awaited.get(node)
            if awaited is None or awaited.until == float("inf"):
                continue
            if awaited.until <= begun + ARRIVAL:
                awaited.until, awaited.start_at = float("inf"), now + PAUSE

    def note_there(self, node: str) -> None:
        """It has come."""
        self._awaited.pop(node, None)
        self._there.add(node)

    def is_there(self, node: str) -> bool:
        """Whether it has come, and is not lost."""
        return node in self._there

    def note_good(self, node: str) -> None:
        """It can run tasks: its starts were not in vain."""
        self._vain.pop(node, None)

    def note_lost(self, node: str, now: float) -> None:
        """It was there, and is lost."""
        self._there.discard(node)
        if not self._is_over:
            self._awaited[node] = _Awaited(now + PAUSE)

    def give_up(self, now: float) -> list[str]:
        """Return the nodes that have been started in vain too often; they are forgotten."""
        gone = [
            node
            for node, awaited in self._awaited.items()
            if now >= awaited.start_at and self._vain.get(node, 0) >= MOST_VAIN_STARTS
        ]
        for node in gone:
            del self._awaited[node]
        return gone

    def forget(self, node: str) -> None:
        """It is not to be started any more."""
        self._there.discard(node)
        self._awaited.pop(node, None)

    def end(self) -> None:
        """Nothing is to be started any more."""
        self._awaited.clear()
        self._is_over = True
