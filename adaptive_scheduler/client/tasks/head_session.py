"""What a head holds, what it begins next, and what it tells the manager. No socket, no clock.

It places nothing by itself: a task begins where the manager says, or where one of the same
resources has just ended (see `core.tasks.head_mirror`, which is the manager's side of this).
"""

from __future__ import annotations

import heapq
from collections import defaultdict

import msgspec

from adaptive_scheduler.core.tasks.place import Placement
from adaptive_scheduler.core.wire.tasks import End, EndKind, Given, Held, Order, Trade, Work


class Begin(msgspec.Struct, frozen=True):
    """Begin this task there."""

    given: Given
    place: Placement


class EndTask(msgspec.Struct, frozen=True):
    """End this task, which runs."""

    token: int


class HeadSession:
    """One head's tasks.

    Attributes
    ----------
    running : dict of int to Placement
        Where its tasks run, by token.
    """

    def __init__(self) -> None:
        self.running: dict[int, Placement] = {}
        self._tasks: dict[int, Given] = {}
        self._waiting: defaultdict[int, list[tuple[float, int]]] = defaultdict(list)
        self._dropped: set[int] = set()
        self._seen = self._told = self._ends = 0
        self._unheard: list[End] = []
        self._begun: list[tuple[int, int, int]] = []
        self._must_tell = False

    @property
    def has_news(self) -> bool:
        """Whether there is an end that the manager has not confirmed."""
        return bool(self._unheard)

    # ------------------------------------------------------------------ from the manager

    def take(self, work: Work) -> list[Begin | EndTask]:
        """Take in an answer; returns what follows."""
        self._unheard = [end for end in self._unheard if end.number > work.heard]
        self._must_tell = work.tell
        actions: list[Begin | EndTask] = []
        for given in work.tasks:
            if given.token > self._seen:
                self._seen = given.token
                self._tasks[given.token] = given
                if given.place is None:
                    self._wait(given)
                else:
                    actions.append(self._begin(given, given.place))
        for order in work.orders:
            if order.number > self._told:
                self._told = order.number
                actions += self._obey(order)
        return actions

    def _obey(self, order: Order) -> list[Begin | EndTask]:
        given = self._tasks.get(order.token)
        if given is None:
            return []
        if order.place is not None:
            if order.token in self.running:
                return []  # it has taken over another place, as the manager will hear
            return [self._begin(given, order.place)]
        if order.priority is not None:
            self._tasks[order.token] = msgspec.structs.replace(given, priority=order.priority)
            if order.token not in self.running:
                self._wait(self._tasks[order.token])
            return []
        if order.token in self.running:
            return [EndTask(order.token)]
        self._end(End(self._ends + 1, order.token, EndKind.CANCELLED, begun=False))
        return []

    def _wait(self, given: Given) -> None:
        heapq.heappush(self._waiting[given.fits], (-given.priority, given.token))

    def _begin(self, given: Given, place: Placement) -> Begin:
        self.running[given.token] = place
        return Begin(given, place)

    # ------------------------------------------------------------------ from the agents

    def note_begun(self, token: int, node: int, pid: int) -> None:
        """A task has been running for a moment."""
        if token in self.running:
            self._begun.append((token, node, pid))

    def end(self, token: int, kind: EndKind, **facts: object) -> list[Begin]:
        """A task has ended: the best that waits for such a place takes it over."""
        place = self.running.pop(token, None)
        if place is None:
            return []
        follower = self._take_best(self._tasks.pop(token).fits)
        number = 0 if follower is None else follower.token
        self._end(End(self._ends + 1, token, kind, number, **facts))  # type: ignore[arg-type]
        return [] if follower is None else [self._begin(follower, place)]

    def give_back_waiting(self) -> None:
        """Give back all that has not begun: the job ends."""
        for token in [token for token in self._tasks if token not in self.running]:
            self._end(End(self._ends + 1, token, EndKind.BACK, begun=False))

    def _take_best(self, fits: int) -> Given | None:
        waiting = self._waiting[fits]
        while waiting:
            negative, token = heapq.heappop(waiting)
            given = self._tasks.get(token)
            if given is not None and token not in self.running and given.priority == -negative:
                return given
        return None

    def _end(self, end: End) -> None:
        self._ends = end.number
        self._tasks.pop(end.token, None)
        self._unheard.append(end)

    # ------------------------------------------------------------------ to the manager

    def trade(self, wait: float) -> Trade:
        """Return what there is to tell."""
        begun, self._begun = self._begun, []
        holds = None
        if self._must_tell:
            holds = [Held(token, self.running.get(token)) for token in self._tasks]
        return Trade(self._seen, self._told, list(self._unheard), begun, holds, wait)
