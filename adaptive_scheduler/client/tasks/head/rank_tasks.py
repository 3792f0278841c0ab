"""Tasks of several nodes at their end: it is told when nothing is left of them on any node. No socket, no clock.

The agent of its first node starts such a task, and tells how it ended. What its ranks have left on the
other nodes may still use their cores: their agents are asked to end it, and until all have answered, or are
lost with their nodes, nobody else is given a core of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import structs

from adaptive_scheduler.client.tasks.messages import TaskEnd
from adaptive_scheduler.core.wire.tasks import EndKind


class RankTasks:
    """Those that have begun, and whose end has not been reported."""

    def __init__(self) -> None:
        self._nodes: dict[int, list[int]] = {}  # by token, the first one first
        self._ends: dict[int, TaskEnd] = {}
        self._unclean: dict[int, set[int]] = {}  # nodes that have not answered, by token
        self._asks: list[tuple[int, int]] = []

    def __contains__(self, token: int) -> bool:
        return token in self._nodes

    @property
    def nodes(self) -> set[int]:
        """Those on which any of them has ranks."""
        return {node for nodes in self._nodes.values() for node in nodes}

    def begin(self, token: int, nodes: list[int]) -> None:
        """A task begins on these nodes, started by the first of them."""
        self._nodes[token] = nodes

    def end(self, ended: TaskEnd, *, by_head: bool = False) -> None:
        """It has ended: the first word counts, unless it failed as a node of it was being lost.

        Parameters
        ----------
        ended : TaskEnd
        by_head : bool
            It died with an agent or a node: its first node may have something left of it as well.
        """
        before = self._ends.get(ended.token)
        if by_head and before is not None and before.kind is not EndKind.VALUE:
            self._ends[ended.token] = structs.replace(ended, seconds=before.seconds)
        if before is not None or ended.token not in self._nodes:
            return
        self._ends[ended.token] = ended
        asked = self._nodes[ended.token][not by_head :] if ended.begun else []
        self._unclean[ended.token] = set(asked)
        self._asks += [(node, ended.token) for node in asked]

    def forget(self, tokens: Iterable[int]) -> None:
        """No agent was given these: they come back."""
        for token in tokens:
            self._nodes.pop(token, None)

    def answered(self, node: int, token: int) -> None:
        """Nothing is left of a task on a node."""
        self._unclean.get(token, set()).discard(node)

    def lose(self, node: int) -> None:
        """A node is lost, with all that ran there."""
        for unclean in self._unclean.values():
            unclean.discard(node)
        self._asks = [ask for ask in self._asks if ask[0] != node]

    def asks(self) -> list[tuple[int, int]]:
        """Return what is to be asked now: (node, token) each."""
        asks, self._asks = self._asks, []
        return asks

    def ready(self) -> list[TaskEnd]:
        """Return the ends that can be told now."""
        clean = [token for token, nodes in self._unclean.items() if not nodes]
        for token in clean:
            del self._unclean[token], self._nodes[token]
        return [self._ends.pop(token) for token in clean]
