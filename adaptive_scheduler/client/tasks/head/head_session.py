"""What a head holds, what it begins next, and what it tells the manager. No socket, no clock.

It places nothing by itself: a task begins where the manager says, or where one of the same
resources has just ended (see `core.tasks.head_mirror`, which is the manager's side of this).
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from typing import Any

import msgspec

from adaptive_scheduler.core.tasks.place import Placement
from adaptive_scheduler.core.wire.tasks import End, EndKind, Given, Held, Order, Trade, Work

#: Seconds of work that is lined up at the agent behind each task that runs: for short calls the
#: agent must not wait for the head after each one.
LINE = 0.003
LONGEST_LINE = 64
#: Ends, and bytes of their values, in one message.
MOST_ENDS, MOST_BYTES = 1000, 2**20
#: How much one duration counts for the mean.
_WEIGHT = 0.1


class Begin(msgspec.Struct, frozen=True):
    """Begin this task there, behind those that were begun there before."""

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
        self._lines: dict[int, deque[int]] = {}  # by the token that runs: what follows it
        self._leaders: dict[int, deque[int]] = {}  # by the token in a line: that line
        self._mean: dict[str, float] = {}  # seconds, by function
        self._seen = self._told = self._ends = 0
        self._unheard: list[End] = []
        self._begun: list[tuple[int, int, int]] = []
        self._must_tell = False

    @property
    def has_news(self) -> bool:
        """Whether there is an end that the manager has not confirmed."""
        return bool(self._unheard)

    @property
    def has_worked(self) -> bool:
        """Whether it was ever given a task."""
        return self._seen > 0

    # ------------------------------------------------------------------ from the manager

    def take(self, work: Work) -> list[Begin | EndTask]:
        """Take in an answer; returns what follows."""
        self._unheard = [end for end in self._unheard if end.number > work.heard]
        self._must_tell = work.tell
        actions: list[Begin | EndTask] = []
        dropped = {order.token for order in work.orders if order.is_drop}
        for given in work.tasks:
            if given.token > self._seen:
                self._seen = given.token
                self._tasks[given.token] = given
                if given.token not in dropped:  # withdrawn on its way: see the order
                    actions += self._place(given)
        for order in work.orders:
            if order.number > self._told:
                self._told = order.number
                if order.place is not None and order.token in dropped:
                    continue
                actions += self._obey(order)
        for token in self.running:
            self._line_up(token, actions)
        return actions

    def _place(self, given: Given) -> list[Begin]:
        """Begin a task where the manager says, or let it wait."""
        if given.place is not None:
            return [self._begin(given, given.place)]
        self._wait(given)
        return []

    def _line_up(self, token: int, actions: list[Begin | EndTask]) -> None:
        """Let the agent have what is to follow a short task."""
        fits = self._tasks[token].fits
        mean = self._mean.get(self._tasks[token].function)
        if mean is None or not self._waiting[fits]:
            return  # behind one that may be long nothing waits: another place may be free before
        line = self._lines.setdefault(token, deque())
        room = min(LONGEST_LINE, int(LINE / mean)) - len(line)
        while room > 0 and (given := self._take_best(fits)) is not None:
            line.append(given.token)
            self._leaders[given.token] = line
            actions.append(Begin(given, self.running[token]))
            room -= 1

    def _obey(self, order: Order) -> list[Begin | EndTask]:
        given = self._tasks.get(order.token)
        if given is None:
            return []
        if order.place is not None:
            if order.token in self.running or order.token in self._leaders:
                return []  # it takes over another place, as the manager will hear
            return [self._begin(given, order.place)]
        if order.priority is not None:
            self._tasks[order.token] = msgspec.structs.replace(given, priority=order.priority)
            if order.token not in self.running and order.token not in self._leaders:
                self._wait(self._tasks[order.token])
            return []
        if order.token in self.running or order.token in self._leaders:
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

    def end(self, token: int, kind: EndKind, **facts: Any) -> list[Begin | EndTask]:
        """A task has ended: what is lined up behind it, or else the best that waits, takes its place."""
        place = self.running.pop(token, None)
        if place is None:
            self._leave_line(token, kind, facts)
            return []
        given = self._tasks.pop(token)
        self._note_seconds(given.function, facts.get("seconds", 0.0))
        line = self._lines.pop(token, deque())
        actions: list[Begin | EndTask] = []
        follower = 0
        if line:
            follower = line.popleft()
            del self._leaders[follower]
            self.running[follower] = place
        elif (best := self._take_best(given.fits)) is not None:
            follower = best.token
            actions.append(self._begin(best, place))
        self._end(End(self._ends + 1, token, kind, follower, **facts))
        if follower:
            self._lines[follower] = line
            self._line_up(follower, actions)
        return actions

    def _leave_line(self, token: int, kind: EndKind, facts: dict[str, Any]) -> None:
        """It was lined up, and comes back without having begun."""
        line = self._leaders.pop(token, None)
        if line is not None:
            line.remove(token)
            self._end(End(self._ends + 1, token, kind, **facts))

    def lose(self, kind: EndKind, text: str) -> None:
        """All that ran has died with its agent, and what was lined up comes back."""
        for token in list(self._leaders):
            self._leave_line(token, EndKind.BACK, {"begun": False})
        self._lines.clear()
        for token in list(self.running):
            del self.running[token]
            self._end(End(self._ends + 1, token, kind, text=text))

    def _note_seconds(self, function: str, seconds: float) -> None:
        mean = self._mean.get(function)
        seconds = max(seconds, 1e-6)
        self._mean[function] = seconds if mean is None else mean + _WEIGHT * (seconds - mean)

    def give_back_waiting(self) -> None:
        """Give back all that has not begun: the job ends."""
        for token in [t for t in self._tasks if t not in self.running and t not in self._leaders]:
            self._end(End(self._ends + 1, token, EndKind.BACK, begun=False))

    def _take_best(self, fits: int) -> Given | None:
        waiting = self._waiting[fits]
        while waiting:
            negative, token = heapq.heappop(waiting)
            given = self._tasks.get(token)
            is_free = token not in self.running and token not in self._leaders
            if given is not None and is_free and given.priority == -negative:
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
        return Trade(self._seen, self._told, self._first_ends(), begun, holds, wait, self._ends)

    def _first_ends(self) -> list[End]:
        """Return what is not confirmed, as far as one message may be large; the rest comes next."""
        n = size = 0
        for end in self._unheard[:MOST_ENDS]:
            size += len(end.value) + len(end.text)
            if n and size > MOST_BYTES:
                break
            n += 1
        return self._unheard[:n]
